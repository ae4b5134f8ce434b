/** The same request for a terminal and for programs. The key is never in them: they are copied into chats and tickets. */

/** The name of the environment's variable that has the key. */
const KEY = "ALT_LAS_API_KEY";

/** @typedef {Record<string, unknown>} Body of `POST /predict` */

/**
 * @param {string} base the server's address, without a slash at its end
 * @param {Body} body
 */
export function curlOf(base, body) {
  return [
    `curl -sN ${shellWord(`${base}/api/v1/predict`)} \\`,
    `  -H "Authorization: Bearer $${KEY}" -H 'Content-Type: application/json' \\`,
    `  -d ${shellWord(JSON.stringify({ ...body, stream: true }))}`,
  ].join("\n");
}

/**
 * With `requests`, which waits for the end.
 * @param {string} base
 * @param {Body} body
 */
export function requestsOf(base, body) {
  return `import os
import requests

answer = requests.post(
    ${pythonOf(`${base}/api/v1/predict`)},
    headers={"Authorization": "Bearer " + os.environ["${KEY}"], "Prefer": "wait=300"},
    json=${pythonOf(body, 1)},
)
answer.raise_for_status()
task = answer.json()
print(task["result"]["text"] if "result" in task else task)
`;
}

/**
 * With OpenAI's own library, against `/v1`.
 * @param {string} base
 * @param {Body} body
 * @param {string | undefined} model that serves it where the body names none: OpenAI's library wants one
 */
export function openaiOf(base, body, model) {
  const { call, fields, extra, piece } = openaiCall(body, model);
  const lines = Object.entries(fields).map(([name, value]) => `    ${name}=${pythonOf(value, 1)},`);
  if (Object.keys(extra).length > 0) lines.push(`    extra_body=${pythonOf(extra, 1)},`);
  return `import os
from openai import OpenAI

client = OpenAI(base_url=${pythonOf(`${base}/v1`)}, api_key=os.environ["${KEY}"])
stream = client.${call}.create(
${lines.join("\n")}
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].${piece} or "", end="", flush=True)
print()
`;
}

/** Fields that OpenAI's library knows; all else goes in `extra_body`. */
const KNOWN = new Set([
  "temperature",
  "top_p",
  "seed",
  "stop",
  "presence_penalty",
  "frequency_penalty",
  "logit_bias",
  "response_format",
]);
/** Where `/v1` has another default than `/predict`, a request that says nothing is still to give the same answer. */
const DEFAULTS = { temperature: 0.7, top_p: 0.95 };
const EXTRA_DEFAULTS = { top_k: 40, min_p: 0.05 };

/**
 * @param {Body} body
 * @param {string | undefined} served
 */
function openaiCall(body, served) {
  const { text, messages, raw, max_length = 128, model = served ?? "MODEL", logprobs, ...rest } = body;
  const isRaw = text !== undefined && raw === true;
  const input = isRaw ? { prompt: text } : { messages: messages ?? [{ role: "user", content: text }] };
  /** @type {Body} */
  const fields = { model, ...input, max_tokens: max_length };
  // A conversation's field says whether, and another one how many; that of a text says both.
  if (logprobs !== undefined) Object.assign(fields, isRaw ? { logprobs } : { logprobs: true, top_logprobs: logprobs });
  /** @type {Body} */
  const extra = {};
  for (const [name, value] of Object.entries({ ...DEFAULTS, ...EXTRA_DEFAULTS, ...rest })) {
    if (KNOWN.has(name)) fields[name] = value;
    else extra[name] = value;
  }
  return isRaw
    ? { call: "completions", fields, extra, piece: "text" }
    : { call: "chat.completions", fields, extra, piece: "delta.content" };
}

/**
 * Between single quotes nothing means anything to a shell but a single quote.
 * @param {string} text
 */
export function shellWord(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

const CONSTANTS = new Map([
  [true, "True"],
  [false, "False"],
  [null, "None"],
]);

/**
 * A value as Python writes it. A string of JSON is one of Python as it is.
 * @param {unknown} value
 * @param {number} [depth] by how much its further lines are indented
 * @returns {string}
 */
export function pythonOf(value, depth = 0) {
  const constant = CONSTANTS.get(/** @type {boolean} */ (value));
  if (constant !== undefined) return constant;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
  const items = Array.isArray(value)
    ? value.map((item) => pythonOf(item, depth + 1))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${pythonOf(item, depth + 1)}`);
  const line = `${open}${items.join(", ")}${close}`;
  if (line.length <= 80 && !line.includes("\n")) return line;
  const indent = "    ".repeat(depth + 1);
  return `${open}\n${items.map((item) => `${indent}${item},\n`).join("")}${"    ".repeat(depth)}${close}`;
}
