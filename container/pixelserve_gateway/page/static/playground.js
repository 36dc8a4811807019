// The playground: a form that makes one call, and what came of it.
import { costsAbout, findCosts } from "./costs.js";
import { writeSamples } from "./samples.js";
import { readJson, send, sendAsJob } from "./sending.js";
import { language, showTexts, text } from "./texts.js";

const UPSCALE = "image_super_resolution";
const CUT_OUT = "human_image_segmentation";
const COMPARE = "image_similarity";
const UNKNOWN_TYPE = "application/octet-stream";
const ENDINGS = { "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp" };
const TARGET_MEGAPIXELS = { "2k": 4.2, "4k": 16.8 };
const LARGE_BYTES = 4e6; // Lambda and API Gateway take little more
const LARGE_MEGAPIXELS = 4; // of the answer: some seconds on two cores
const HINTS = {
  body_too_large: "hint_large",
  image_too_large: "hint_large",
  output_too_large: "hint_large",
  too_large: "hint_large",
  too_slow: "hint_large",
  out_of_memory: "hint_large",
  invalid_image: "hint_format",
  unsupported_media_type: "hint_format",
  unreachable: "hint_unreachable",
};

const find = (selector) => document.querySelector(selector);
const service = await (await fetch("page/service.json")).json();
const pictures = [null, null]; // {file, url, width, height}
let running = null; // the AbortController of the call in work
let outcome = null; // what the last call came to, until another is chosen

// ---- the form ----

function chosenFeature() {
  return service.features.find((feature) => feature.name === find("#features :checked").value);
}

function usedPictures() {
  return chosenFeature().name === COMPARE ? pictures : pictures.slice(0, 1);
}

/** The call that the form says; where no picture is chosen, one of a name that stands for it. */
function readCall() {
  const feature = chosenFeature();
  const url = new URL(feature.path, document.baseURI);
  const call = { feature: feature.name, form: null, accept: "image/png", output: "answer.png", fields: {}, files: [] };
  call.files = usedPictures().map((picture, index) => ({
    name: picture?.file.name ?? (index ? "other.jpg" : "photo.jpg"),
    type: picture ? typeOf(picture.file) : "image/jpeg",
  }));
  if (feature.name === UPSCALE) {
    const [option, value] = find("#size").value.split("=");
    call.accept = `image/${find("#format").value}`;
    call.output = `answer.${ENDINGS[call.accept]}`;
    call.fields[option] = option === "scale" ? Number(value) : value;
    if (call.accept !== "image/png") call.fields.quality = Number(find("#quality").value);
  } else if (feature.name === CUT_OUT) {
    if (find("#cut").value) call.fields.type = find("#cut").value;
  } else {
    Object.assign(call, { form: ["image_1", "image_2"], accept: "application/json", output: null });
  }
  for (const [name, value] of Object.entries(call.fields)) url.searchParams.set(name, value);
  return { ...call, url: url.href, isJob: isLarge(call) };
}

function typeOf(file) {
  return file.type.startsWith("image/") ? file.type : UNKNOWN_TYPE;
}

function listFeatures() {
  for (const [index, feature] of service.features.entries()) {
    const label = document.createElement("label");
    label.className = "feature";
    const input = Object.assign(document.createElement("input"), {
      type: "radio",
      name: "feature",
      value: feature.name,
      checked: index === 0,
    });
    const name = document.createElement("span");
    name.dataset.feature = feature.name;
    label.append(input, name);
    find("#features").append(label);
  }
}

async function choosePicture(index, file) {
  if (pictures[index]) URL.revokeObjectURL(pictures[index].url);
  const url = URL.createObjectURL(file);
  const preview = find(`.drop[data-index="${index}"] img`);
  preview.src = url;
  const picture = { file, url, width: 0, height: 0 };
  pictures[index] = picture;
  forget();
  draw();
  try {
    await preview.decode();
    [picture.width, picture.height] = [preview.naturalWidth, preview.naturalHeight];
  } catch {
    // a format that this browser does not draw; the service may read it nevertheless
  }
  draw();
}

function takeChosen(index, input) {
  if (input.files.length) choosePicture(index, input.files[0]);
}

function watchDrops() {
  for (const drop of document.querySelectorAll(".drop")) {
    const index = Number(drop.dataset.index);
    const target = drop.querySelector(".target");
    const input = drop.querySelector("input");
    input.addEventListener("change", () => takeChosen(index, input));
    target.addEventListener("dragover", (event) => {
      event.preventDefault();
      target.classList.add("over");
    });
    target.addEventListener("dragleave", () => target.classList.remove("over"));
    target.addEventListener("drop", (event) => {
      event.preventDefault();
      target.classList.remove("over");
      if (event.dataTransfer.files.length) choosePicture(index, event.dataTransfer.files[0]);
    });
  }
}

// ---- the call ----

/** Whether a call is made as a job: it may take longer than a request lasts, and a job tells how far it is. */
function isLarge(call) {
  const picture = pictures[0];
  if (!service.jobs || call.form || !picture) return false;
  return picture.file.size > LARGE_BYTES || describeJob().megapixels * describeJob().scale ** 2 > LARGE_MEGAPIXELS;
}

async function run(event) {
  event.preventDefault();
  if (find("#run").disabled) return;
  forget();
  const call = readCall();
  running = new AbortController();
  draw();
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  let [step, percent] = ["sending", 0];
  const show = () => showProgress(step, percent, seconds());
  const clock = setInterval(show, 100);
  const tell = (...told) => {
    [step, percent] = told;
    show();
  };
  show();
  try {
    const answer = await makeCall(call, { headers: keyHeaders(), signal: running.signal, tell });
    outcome = await readOutcome(call, answer, seconds());
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    outcome = { canceled: true };
  } finally {
    clearInterval(clock);
    running = null;
    draw();
  }
}

function makeCall(call, { headers, signal, tell }) {
  if (call.isJob) return sendAsJob(call, pictures[0].file, { headers, signal, tell });
  const type = call.form ? {} : { "Content-Type": call.files[0].type };
  return send("POST", call.url, {
    headers: { Accept: call.accept, ...type, ...headers },
    body: bodyOf(call),
    signal,
    tell,
  });
}

function keyHeaders() {
  return service.authorization === "API_KEY" ? { "x-api-key": find("#key").value.trim() } : {};
}

function bodyOf(call) {
  if (!call.form) return pictures[0].file;
  const form = new FormData();
  call.form.forEach((name, index) => form.append(name, pictures[index].file));
  return form;
}

async function readOutcome(call, answer, seconds) {
  if (answer.status !== 200) return { error: readError(answer) };
  if (call.form) return { alike: readJson(answer), seconds };
  const url = URL.createObjectURL(new Blob([answer.body], { type: answer.type }));
  const after = find(".after img");
  after.src = url;
  find(".before").src = pictures[0].url;
  await after.decode();
  return {
    url,
    name: call.output,
    width: after.naturalWidth,
    height: after.naturalHeight,
    bytes: answer.body.byteLength,
    seconds,
  };
}

function readError(answer) {
  if (!answer.status) return { code: "unreachable", message: text("unreachable"), id: "" };
  const fallback = { code: "", message: text("status", { status: answer.status }) };
  const told = answer.error ?? readJson(answer)?.error;
  return { ...fallback, ...told, status: answer.status, id: answer.id, retryAfter: answer.retryAfter };
}

/** What to do about an error. */
function adviseOn(error) {
  if (error.status === 401 || error.status === 403) return text("hint_unauthorized");
  if (error.retryAfter) return text("hint_wait", { seconds: error.retryAfter });
  if (error.code in HINTS) return text(HINTS[error.code]);
  return text(error.retryable || error.status >= 500 ? "hint_again" : "hint_change");
}

function forget() {
  if (outcome?.url) URL.revokeObjectURL(outcome.url);
  outcome = null;
}

// ---- what is shown ----

function draw() {
  const feature = chosenFeature();
  const compares = feature.name === COMPARE;
  for (const element of document.querySelectorAll("span[data-feature]")) {
    element.textContent = service.features.find(({ name }) => name === element.dataset.feature).title[language()];
  }
  for (const fieldset of document.querySelectorAll("fieldset[data-feature]")) {
    fieldset.hidden = fieldset.dataset.feature !== feature.name;
  }
  find("#description").textContent = feature.description[language()];
  find('label[for="file-0"]').textContent = text(compares ? "first_picture" : "picture");
  find('.drop[data-index="1"]').hidden = !compares;
  find("#quality-field").hidden = find("#format").value === "png";
  find("#key-field").hidden = service.authorization !== "API_KEY";
  find("#iam").hidden = service.authorization !== "AWS_IAM";
  find("#run").disabled = running !== null || service.authorization === "AWS_IAM" || usedPictures().includes(null);
  find("#cancel").hidden = running === null;
  drawPreviews();
  drawOutcome();
  drawSample();
  drawCosts();
}

function drawPreviews() {
  for (const [index, picture] of pictures.entries()) {
    const drop = find(`.drop[data-index="${index}"]`);
    drop.querySelector("img").hidden = !picture?.width;
    if (!picture) continue;
    const size = picture.width ? `${picture.width} × ${picture.height}` : text("no_preview");
    drop.querySelector(".told").textContent = `${picture.file.name} (${size}, ${formatBytes(picture.file.size)})`;
  }
}

function drawOutcome() {
  if (running) return;
  find("#progress").hidden = true;
  find("#error").hidden = !outcome?.error;
  find("#picture").hidden = !outcome?.url;
  find("#alike").hidden = !outcome?.alike;
  find("#status").textContent = describeOutcome();
  if (outcome?.error) {
    find("#error .message").textContent = outcome.error.message;
    find("#error .hint").textContent = adviseOn(outcome.error);
    find("#error .id").textContent = outcome.error.id && text("request_id", outcome.error);
  }
  if (outcome?.url) {
    const bytes = formatBytes(outcome.bytes);
    find("#facts").textContent = text("facts", { ...outcome, bytes, seconds: outcome.seconds.toFixed(2) });
    Object.assign(find("#download"), { href: outcome.url, download: outcome.name });
  }
  if (outcome?.alike) {
    const { similarity, cosine } = outcome.alike;
    find("#similarity").textContent = text("similarity", { percent: (100 * similarity).toFixed(1) });
    find("meter").value = similarity;
    find("#cosine").textContent = text("cosine", { cosine: cosine.toFixed(4) });
  }
}

function describeOutcome() {
  if (!outcome) return text("nothing_yet");
  if (outcome.canceled) return text("canceled");
  if (outcome.error) return text("failed");
  return text("done", { seconds: outcome.seconds.toFixed(2) });
}

/** `step` is the key of what is told; `percent` null: nobody knows. */
function showProgress(step, percent, seconds) {
  const bar = find("progress");
  find("#progress").hidden = false;
  find("#error").hidden = find("#picture").hidden = find("#alike").hidden = true;
  if (percent === null) bar.removeAttribute("value");
  else bar.value = percent;
  const whole = Math.round(percent ?? 0);
  find("#status").textContent = text(step, { percent: whole, seconds: seconds.toFixed(1) });
}

function drawSample() {
  const tab = find('[role="tab"][aria-selected="true"]');
  find("#sample").setAttribute("aria-labelledby", tab.id);
  find("#sample code").textContent = writeSamples(readCall(), service.authorization)[tab.id.replace("tab-", "")];
}

function drawCosts() {
  const row = findCosts(describeJob());
  const format = new Intl.NumberFormat(language(), {
    style: "currency",
    currency: costsAbout.currency,
    maximumFractionDigits: 0,
  });
  const detail = row.format ? `, × ${row.scale}, ${row.format.toUpperCase()}` : "";
  find("#costs-job").textContent = text("costs_job", { megapixels: row.megapixels, detail });
  find("#costs-amount").textContent = text("costs_amount", costsAbout);
  find("#costs-about").textContent = text("costs_about", costsAbout);
  const least = Math.min(...Object.values(row.costs));
  find("#costs").replaceChildren(
    ...Object.entries(row.costs).map(([mode, amount]) => {
      const line = document.createElement("tr");
      const name = Object.assign(document.createElement("th"), { scope: "row", textContent: text(mode) });
      line.append(name, Object.assign(document.createElement("td"), { textContent: format.format(amount) }));
      if (amount === least) {
        line.className = "cheapest";
        name.append(` (${text("cheapest")})`);
      }
      return line;
    }),
  );
}

/** The call as the table of costs knows it; without a picture, of one megapixel. */
function describeJob() {
  const picture = pictures[0];
  const megapixels = picture?.width ? (picture.width * picture.height) / 1e6 : 1;
  const [option, value] = find("#size").value.split("=");
  const scale = option === "scale" ? Number(value) : Math.sqrt(TARGET_MEGAPIXELS[value] / megapixels);
  const upscales = chosenFeature().name === UPSCALE;
  return { feature: chosenFeature().name, megapixels, scale: upscales ? scale : 1, format: find("#format").value };
}

function formatBytes(bytes) {
  const [size, unit] = bytes < 1e6 ? [bytes / 1e3, "kilobyte"] : [bytes / 1e6, "megabyte"];
  const style = { style: "unit", unit, maximumSignificantDigits: 3 };
  return new Intl.NumberFormat(language(), style).format(size);
}

// ---- the slider, the tabs ----

function moveSlider() {
  const value = find("#slider").value;
  find(".layers").style.setProperty("--position", `${value}%`);
  find(".layers").dataset.position = value;
}

function watchStage() {
  const [layers, slider] = [find(".layers"), find("#slider")];
  const follow = (event) => {
    const box = layers.getBoundingClientRect();
    slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    moveSlider();
  };
  slider.addEventListener("input", moveSlider);
  layers.addEventListener("pointerdown", (event) => {
    layers.setPointerCapture(event.pointerId);
    follow(event);
  });
  layers.addEventListener("pointermove", (event) => layers.hasPointerCapture(event.pointerId) && follow(event));
  layers.addEventListener("dragstart", (event) => event.preventDefault());
  find("#actual").addEventListener("change", (event) => {
    find(".stage").classList.toggle("actual", event.target.checked);
  });
}

function watchTabs() {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const choose = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
  };
  choose(tabs[0]);
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => {
      choose(tab);
      drawSample();
    });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(index + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
  }
  find("#copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(find("#sample code").textContent);
    find("#copy").textContent = text("copied");
    setTimeout(() => {
      find("#copy").textContent = text("copy");
    }, 1500);
  });
}

listFeatures();
watchDrops();
watchStage();
watchTabs();
find("#features").addEventListener("change", () => {
  forget();
  draw();
});
for (const fieldset of document.querySelectorAll("fieldset[data-feature]")) fieldset.addEventListener("input", draw);
find("#call").addEventListener("submit", run);
find("#cancel").addEventListener("click", () => running?.abort());
showTexts(draw);
[0, 1].forEach((index) => takeChosen(index, find(`#file-${index}`))); // chosen before this script ran
