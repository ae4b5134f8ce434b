/** The package openai for Node: files, and batches of what they ask. */
import OpenAI, { toFile } from "openai";
import { API_KEY, BASE_URL, failure, LONG, SLOW_MODEL, TEXTS } from "./steps.mjs";
import { until } from "./stories.mjs";

export const clientOf = (baseURL) => new OpenAI({ baseURL, apiKey: API_KEY, maxRetries: 0 });
const client = clientOf(BASE_URL);
const said = ({ status, code, message }) => ({ status, code, message });

export const CHATS = "/v1/chat/completions";
const RESPONSES = "/v1/responses";
const EMBEDDINGS = "/v1/embeddings";

/** One line each. @param bodies by `custom_id` */
export const linesOf = (bodies, url) =>
  Object.entries(bodies)
    .map(([custom_id, body]) => `${JSON.stringify({ custom_id, method: "POST", url, body })}\n`)
    .join("");
export const chatOf = (text, changes) => ({
  model: SLOW_MODEL,
  messages: [{ role: "user", content: text }],
  max_tokens: 8,
  temperature: 0,
  ...changes,
});

export async function begun({ batches, files }, text, endpoint, changes) {
  const file = await files.create({ file: await toFile(Buffer.from(text), "lines.jsonl"), purpose: "batch" });
  return batches.create({ input_file_id: file.id, endpoint, completion_window: "24h", ...changes });
}

/** What came of a batch, by `custom_id`, each as often as it is there. */
export async function resultsOf({ files }, { output_file_id: output, error_file_id: errors }) {
  const results = {};
  for (const id of [output, errors].filter((one) => typeof one === "string")) {
    const text = await (await files.content(id)).text();
    for (const line of text.split("\n").slice(0, -1)) {
      const { custom_id, response, error } = JSON.parse(line);
      (results[custom_id] ??= []).push(
        response === null || response === undefined
          ? { code: error.code, in: id === output ? "output" : "errors" }
          : { status: response.status_code, said: saidIn(response.body), in: id === output ? "output" : "errors" },
      );
    }
  }
  return results;
}

function saidIn({ object, choices, output, data, error }) {
  if (error !== undefined && error !== null) return error.code;
  if (object === "chat.completion") return choices[0].message.content;
  if (object === "response") return output[0].content[0].text;
  return data.map(({ embedding }) => embedding.length);
}

async function ran(bodies, endpoint) {
  const { id } = await begun(client, linesOf(bodies, endpoint), endpoint);
  const batch = await until(() => client.batches.retrieve(id));
  return { status: batch.status, counts: batch.request_counts, results: await resultsOf(client, batch) };
}

export const steps = {
  async stored() {
    const text = linesOf({ one: chatOf("Stored") }, CHATS);
    const upload = async () =>
      client.files.create({ file: await toFile(Buffer.from(text), "stored.jsonl"), purpose: "batch" });
    const { id, object, bytes, filename, purpose } = await upload();
    const again = await upload();
    const listed = [];
    for await (const file of client.files.list({ purpose: "batch" })) listed.push(file.id);
    const found = await client.files.retrieve(id);
    const content = await (await client.files.content(id)).text();
    const { deleted } = await client.files.delete(id);
    return {
      file: { object, bytes, filename, purpose },
      same: again.id === id && listed.includes(id) && found.bytes === Buffer.byteLength(text) && content === text,
      deleted,
      ...(await failure(() => client.files.retrieve(id), said)),
    };
  },
  chats: () =>
    ran(
      { first: chatOf("One"), second: chatOf("Two, which is more"), wrong: chatOf("Three", { model: "nothing" }) },
      CHATS,
    ),
  responses: () =>
    ran({ one: { model: SLOW_MODEL, input: "Say it", max_output_tokens: 8, temperature: 0 } }, RESPONSES),
  embeddings: () => ran({ all: { model: SLOW_MODEL, input: TEXTS } }, EMBEDDINGS),
  async listed() {
    const metadata = { of: "a test" };
    const ids = [];
    for (const text of ["Eight", "Nine", "Ten"])
      ids.push((await begun(client, linesOf({ it: chatOf(text) }, CHATS), CHATS, { metadata })).id);
    const listed = [];
    for await (const { id, metadata: own } of client.batches.list({ limit: 2 }))
      if (ids.includes(id)) listed.push([id, own.of]);
    for (const id of ids) await until(() => client.batches.retrieve(id));
    return { same: JSON.stringify(listed) === JSON.stringify(ids.toReversed().map((id) => [id, "a test"])) };
  },
  async canceled() {
    const bodies = Object.fromEntries(
      Array.from({ length: 400 }, (_, n) => [`line-${n}`, chatOf(`Line ${n}`, n < 2 ? {} : { max_tokens: LONG })]),
    );
    const { id } = await begun(client, linesOf(bodies, CHATS), CHATS);
    await until(
      () => client.batches.retrieve(id),
      ({ request_counts: counts }) => counts.completed === 2,
    );
    const { status } = await client.batches.cancel(id);
    const batch = await until(() => client.batches.retrieve(id));
    const results = await resultsOf(client, batch);
    const done = Object.keys(results).filter((key) => results[key][0].status === 200);
    return { begun: status, status: batch.status, counts: batch.request_counts, done };
  },
  async noLines() {
    const text = `${linesOf({ one: chatOf("One") }, CHATS)}this is no JSON\n`;
    return refusalOf(() => begun(client, text, CHATS));
  },
  async twice() {
    const line = linesOf({ one: chatOf("One") }, CHATS);
    return refusalOf(() => begun(client, line + line, CHATS));
  },
  unauthorized: () =>
    failure(() => new OpenAI({ baseURL: BASE_URL, apiKey: "wrong", maxRetries: 0 }).files.list(), said),
  unknown: () => failure(() => client.batches.retrieve("batch_00000000000040008000000000000000"), said),
};

/** A batch is refused at once, or fails when its file is read. */
async function refusalOf(begin) {
  let batch;
  try {
    batch = await begin();
  } catch (error) {
    return { message: error.message };
  }
  const { status, errors } = await until(() => client.batches.retrieve(batch.id));
  return { status, message: errors?.data?.map(({ line, message }) => `line ${line}: ${message}`).join("; ") };
}
