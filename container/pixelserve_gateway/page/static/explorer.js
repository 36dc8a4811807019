// The API explorer: Swagger UI of this gateway's own OpenAPI.
import { showTexts, text } from "./texts.js";

const OFF = { API_KEY: "explorer_off_key", AWS_IAM: "explorer_off_iam" };
const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

const service = await (await fetch("page/service.json")).json();
const off = document.querySelector("#off");

showTexts(() => {
  off.hidden = !(service.authorization in OFF);
  if (!off.hidden) off.textContent = text(OFF[service.authorization]);
});

window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  validatorUrl: null, // its default is a service elsewhere
  queryConfigEnabled: false,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  supportedSubmitMethods: service.authorization === "NONE" ? METHODS : [],
});
