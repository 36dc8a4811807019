// How the playground's call is made: one request, or a job where a request would take too long.

/**
 * Sends a request; resolves to {status, type, body, id, retryAfter}, with status 0 where nobody answered. Rejects with
 * an AbortError when `signal` aborts it. `tell` is given a step, "sending" or "receiving", and how far it is in percent.
 */
export function send(method, url, { headers = {}, body = null, signal, tell = () => {} } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = "arraybuffer";
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    const report = (step) => (event) => event.lengthComputable && tell(step, (100 * event.loaded) / event.total);
    request.upload.onprogress = report("sending");
    request.upload.onload = () => tell("working", null);
    request.onprogress = report("receiving");
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onloadend = () =>
      resolve({
        status: request.status,
        type: request.getResponseHeader("content-type") ?? "",
        body: request.response,
        id: request.getResponseHeader("x-request-id") ?? "",
        retryAfter: request.getResponseHeader("retry-after"),
      });
    signal?.addEventListener("abort", () => request.abort());
    if (signal?.aborted) reject(new DOMException("", "AbortError"));
    else request.send(body);
  });
}

/** The JSON of an answer, or null where it is none: a proxy in between may answer in its own words. */
export function readJson(answer) {
  try {
    return JSON.parse(new TextDecoder().decode(answer.body));
  } catch {
    return null;
  }
}

/**
 * Makes a call as a job: uploads its picture, follows the job, fetches the result, and removes the job, whatever
 * became of it. Resolves as `send` does: to the result, or to the first answer that is an error.
 */
export async function sendAsJob(call, file, { headers, signal, tell }) {
  const ask = (method, path, options) => send(method, new URL(path, document.baseURI), { signal, ...options });
  const json = { ...headers, "Content-Type": "application/json" };
  const upload = await ask("POST", "v1/uploads", { headers });
  if (upload.status !== 201) return upload;
  const { id } = readJson(upload);
  const stored = await ask("POST", `v1/uploads/${id}`, { headers, body: file, tell });
  if (stored.status !== 204) return stored;
  const wanted = { feature: call.feature, input: { upload: id, ...call.fields }, accept: call.accept };
  let answer = await ask("POST", "v1/jobs", { headers: json, body: JSON.stringify(wanted) });
  if (answer.status !== 202) return answer;
  let job = readJson(answer);
  const path = `v1/jobs/${job.id}`;
  try {
    while (!job.finished_at) {
      const { value, estimated } = job.progress;
      tell(job.state === "queued" ? "queued" : estimated ? "estimated" : "computing", 100 * value);
      answer = await ask("GET", path, { headers: { ...headers, Prefer: "wait=1" } });
      if (answer.status !== 200) return answer;
      job = readJson(answer);
    }
    if (!job.result) return { status: 422, error: job.error ?? { code: job.state, message: job.state }, id: job.id };
    const link = new URL(job.result.url); // its host is how the gateway knows itself, which may differ from how we do
    return await ask("GET", link.pathname.slice(link.pathname.indexOf("/results/") + 1) + link.search, { tell });
  } finally {
    send("DELETE", new URL(path, document.baseURI), { headers }); // a canceled one ends by that
  }
}
