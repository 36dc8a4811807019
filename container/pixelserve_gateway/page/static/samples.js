// A call as a request in cURL, Python and JavaScript. A key and AWS's credentials are taken from the environment.

/** The samples by language. `call` is what playground.js makes of its form. */
export function writeSamples(call, authorization) {
  return {
    curl: writeCurl(call, authorization),
    python: writePython(call, authorization),
    javascript: writeJavascript(call, authorization),
  };
}

const KEY = "PIXELSERVE_API_KEY";
const quoteShell = (value) => `'${value.replaceAll("'", "'\\''")}'`;
const quoteForm = (value) => `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
const quote = (value) => JSON.stringify(value); // of Python too
const headersOf = (call) => ({ ...(call.form ? {} : { "Content-Type": call.files[0].type }), Accept: call.accept });

function writeCurl(call, authorization) {
  const lines = [`curl -sS --fail-with-body ${quoteShell(call.url)}`];
  for (const [name, value] of Object.entries(headersOf(call))) lines.push(`-H ${quoteShell(`${name}: ${value}`)}`);
  if (authorization === "API_KEY") lines.push(`-H "x-api-key: $${KEY}"`);
  if (authorization === "AWS_IAM") {
    lines.push('--aws-sigv4 "aws:amz:$AWS_REGION:execute-api"', '--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"');
  }
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
