// A call as a request in cURL, Python and JavaScript. A key and AWS's credentials are taken from the environment.

/** The samples by language. `call` is what playground.js makes of its form. */
export function writeSamples(call, authorization) {
  if (call.isJob) {
    return {
      curl: writeCurlJob(call, authorization),
      python: writePythonJob(call, authorization),
      javascript: writeJavascriptJob(call, authorization),
    };
  }
  return {
    curl: writeCurl(call, authorization),
    python: writePython(call, authorization),
    javascript: writeJavascript(call, authorization),
  };
}

const KEY = "PIXELSERVE_API_KEY";
const CURL = "curl -sS --fail-with-body";
const quoteShell = (value) => `'${value.replaceAll("'", "'\\''")}'`;
const quoteForm = (value) => `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
const quote = (value) => JSON.stringify(value); // of Python too
const headersOf = (call) => ({ ...(call.form ? {} : { "Content-Type": call.files[0].type }), Accept: call.accept });

/** Options of cURL that show who calls. */
function curlProof(authorization) {
  if (authorization === "API_KEY") return [`-H "x-api-key: $${KEY}"`];
  if (authorization === "NONE") return [];
  return ['--aws-sigv4 "aws:amz:$AWS_REGION:execute-api"', '--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"'];
}

function writeCurl(call, authorization) {
  const lines = [`${CURL} ${quoteShell(call.url)}`];
  for (const [name, value] of Object.entries(headersOf(call))) lines.push(`-H ${quoteShell(`${name}: ${value}`)}`);
  lines.push(...curlProof(authorization));
  if (call.form) {
    call.files.forEach((file, index) => {
      lines.push(`-F ${quoteShell(`${call.form[index]}=@${quoteForm(file.name)}`)}`);
    });
  } else {
    lines.push(`--data-binary ${quoteShell(`@${call.files[0].name}`)}`);
  }
  if (call.output) lines.push(`-o ${call.output}`);
  return lines.join(" \\\n  ");
}

function writePython(call, authorization) {
  const headers = Object.entries(headersOf(call)).map(([name, value]) => `${quote(name)}: ${quote(value)}`);
  if (authorization === "API_KEY") headers.push(`"x-api-key": os.environ["${KEY}"]`);
  const iam = authorization === "AWS_IAM";
  const body = call.form
    ? `files={${call.files.map((file, index) => `"${call.form[index]}": open(${quote(file.name)}, "rb")`).join(", ")}},`
    : `data=open(${quote(call.files[0].name)}, "rb").read(),`;
  return [
    ...(authorization === "NONE" ? [] : ["import os", ""]),
    "import requests",
    ...(iam ? ["from aws_requests_auth.boto_utils import BotoAWSRequestsAuth"] : []),
    "",
    "answer = requests.post(",
    `    ${quote(call.url)},`,
    `    headers={${headers.join(", ")}},`,
    ...(iam
      ? [
          "    auth=BotoAWSRequestsAuth(",
          `        ${quote(new URL(call.url).host)}, os.environ["AWS_REGION"], "execute-api"`,
          "    ),",
        ]
      : []),
    `    ${body}`,
    "    timeout=60,",
    ")",
    "if not answer.ok:",
    "    raise SystemExit(answer.text)",
    call.output ? `open(${quote(call.output)}, "wb").write(answer.content)` : "print(answer.json())",
  ].join("\n");
}

function writeJavascript(call, authorization) {
  const headers = Object.entries(headersOf(call)).map(([name, value]) => `${quote(name)}: ${quote(value)}`);
  if (authorization === "API_KEY") headers.push('"x-api-key": key');
  const inputs = 'document.querySelectorAll("input[type=file]")';
  const body = call.form
    ? [
        "const body = new FormData();",
        ...call.files.map((_, index) => `body.append("${call.form[index]}", ${inputs}[${index}].files[0]);`),
      ]
    : [`const body = ${inputs}[0].files[0];`];
  return [
    ...(authorization === "AWS_IAM" ? ["// On a server that signs it: a web page has no credentials of AWS."] : []),
    ...body,
    `const answer = await fetch(${quote(call.url)}, {`,
    '  method: "POST",',
    `  headers: { ${headers.join(", ")} },`,
    "  body,",
    "});",
    "if (!answer.ok) throw new Error((await answer.json()).error.message);",
    call.output ? "const picture = await answer.blob();" : "const { similarity, cosine } = await answer.json();",
  ].join("\n");
}

// ---- jobs: send the picture, begin the job, ask for it until it has ended, fetch the result ----

const API = () => new URL("v1", document.baseURI).href;
const jobOf = (call, upload) =>
  [
    "{",
    `  "feature": ${quote(call.feature)},`,
    `  "input": {${[`"upload": ${upload}`, ...fieldsOf(call)].join(", ")}},`,
    `  "accept": ${quote(call.accept)}`,
    "}",
  ].join("\n");
const fieldsOf = (call) => Object.entries(call.fields).map(([name, value]) => `${quote(name)}: ${quote(value)}`);

function writeCurlJob(call, authorization) {
  const curl = [`${CURL}`, ...curlProof(authorization)].join(" ");
  return [
    "# needs jq",
    `ask() { ${curl} "$@"; }`,
    `api=${quoteShell(API())}`,
    'upload=$(ask -X POST "$api/uploads" | jq -r .id)',
    `ask "$api/uploads/$upload" -F ${quoteShell(`file=@${quoteForm(call.files[0].name)}`)}`,
    `job=$(ask "$api/jobs" -H 'Content-Type: application/json' -d '${jobOf(call, `"'$upload'"`)}' | jq -r .id)`,
    "while answer=$(ask \"$api/jobs/$job\" -H 'Prefer: wait=20')",
    "  jq -e '.finished_at == null' <<< \"$answer\" > /dev/null",
    "do",
    "  jq .progress.value <<< \"$answer\"",
    "done",
    'if url=$(jq -er .result.url <<< "$answer"); then',
    `  ${CURL} "$url" -o ${call.output}`,
    "else",
    '  jq .error <<< "$answer"',
    "fi",
  ].join("\n");
}

function writePythonJob(call, authorization) {
  const iam = authorization === "AWS_IAM";
  return [
    ...(authorization === "NONE" ? [] : ["import os", ""]),
    "import requests",
    ...(iam ? ["from aws_requests_auth.boto_utils import BotoAWSRequestsAuth"] : []),
    "",
    "api = requests.Session()",
    ...(authorization === "API_KEY" ? [`api.headers["x-api-key"] = os.environ["${KEY}"]`] : []),
    ...(iam
      ? [`api.auth = BotoAWSRequestsAuth(${quote(new URL(API()).host)}, os.environ["AWS_REGION"], "execute-api")`]
      : []),
    "",
    "def ask(method, path, **options):",
    `    answer = api.request(method, f"${API()}/{path}", timeout=60, **options)`,
    "    if not answer.ok:",
    "        raise SystemExit(answer.text)",
    "    return answer",
    "",
    'upload = ask("POST", "uploads").json()["id"]',
    `ask("POST", f"uploads/{upload}", files={"file": open(${quote(call.files[0].name)}, "rb")})`,
    `job = ask("POST", "jobs", json=${jobOf(call, "upload")}).json()`,
    'while not job["finished_at"]:',
    '    print(job["progress"]["value"])',
    '    job = ask("GET", f"jobs/{job[\'id\']}", headers={"Prefer": "wait=20"}).json()',
    'if job["error"]:',
    '    raise SystemExit(job["error"]["message"])',
    `open(${quote(call.output)}, "wb").write(requests.get(job["result"]["url"], timeout=60).content)`,
  ].join("\n");
}

function writeJavascriptJob(call, authorization) {
  return [
    ...(authorization === "AWS_IAM" ? ["// On a server that signs it: a web page has no credentials of AWS."] : []),
    "async function ask(method, path, body, more = {}) {",
    `  const headers = { ${[...(authorization === "API_KEY" ? ['"x-api-key": key'] : []), "...more"].join(", ")} };`,
    `  const answer = await fetch(${quote(`${API()}/`)} + path, { method, headers, body });`,
    "  if (!answer.ok) throw new Error((await answer.json()).error.message);",
    "  return answer.status === 204 ? null : answer.json();",
    "}",
    'const upload = (await ask("POST", "uploads")).id;',
    'await ask("POST", `uploads/${upload}`, document.querySelector("input[type=file]").files[0]);',
    `const call = ${jobOf(call, "upload")};`,
    'let job = await ask("POST", "jobs", JSON.stringify(call));',
    'while (!job.finished_at) job = await ask("GET", `jobs/${job.id}`, undefined, { Prefer: "wait=20" });',
    "if (job.error) throw new Error(job.error.message);",
    "const picture = await (await fetch(job.result.url)).blob();",
  ].join("\n");
}
