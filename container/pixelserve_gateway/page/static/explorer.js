// The API explorer: Swagger UI of this gateway's own OpenAPI.
import { showTexts, text } from "./texts.js";

const OFF = { API_KEY: "explorer_off_key", AWS_IAM: "explorer_off_iam" };
const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

const service = await (await fetch("page/service.json")).json();
const off = document.querySelector("#off");
const reference = document.querySelector("#reference");

showTexts(() => {
  off.hidden = !(service.authorization in OFF);
  if (!off.hidden) off.textContent = text(OFF[service.authorization]);
});

new MutationObserver(nameElements).observe(reference, { childList: true, subtree: true });
window.SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  validatorUrl: null, // its default is a service elsewhere
  queryConfigEnabled: false,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  responseInterceptor: (response) => {
    if (response.url.endsWith("/openapi.json")) response.text = emptyForms(response.text);
    return response;
  },
  supportedSubmitMethods: service.authorization === "NONE" ? METHODS : [],
});

/** An OpenAPI document whose forms begin empty: Swagger UI would fill every field with a value made up for its type. */
function emptyForms(openapi) {
  const document = JSON.parse(openapi);
  for (const path of Object.values(document.paths)) {
    for (const operation of Object.values(path)) {
      const form = operation.requestBody?.content?.["multipart/form-data"];
      for (const field of Object.values(form?.schema?.properties ?? {})) field.examples = [""];
    }
  }
  return JSON.stringify(document);
}

/** Gives Swagger UI's elements the names and levels that screen readers need, whenever it draws some. */
function nameElements() {
  const label = (selector, name) => {
    for (const element of reference.querySelectorAll(`${selector}:not([aria-label])`)) {
      element.setAttribute("aria-label", name(element));
    }
  };
  const level = (selector, number) => {
    for (const heading of reference.querySelectorAll(selector)) heading.setAttribute("aria-level", number);
  };
  label("tr[data-param-name] select", (select) => select.closest("tr").dataset.paramName);
  label(".examples-select-element", () => "Examples");
  label("[role=region]", (region) => region.id);
  label("textarea", () => "Request body");
  label(".information-container", () => "About");
  label(".scheme-container", () => "Server");
  label("#servers", () => "Server");
  for (const part of reference.querySelectorAll(".information-container, .scheme-container")) {
    part.setAttribute("role", "region");
  }
  level("h3.opblock-tag", 2);
  level(".opblock h4", 3);
  level(".opblock h5", 4);
}
