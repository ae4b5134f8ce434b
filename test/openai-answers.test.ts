/** The answers of OpenAI's API, with each field that some client breaks without, from a whole server with the simulated engine. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { numbersOf } from "../src/common/vectors.ts";
import { SIMULATED_CAPABILITIES } from "../src/engine/engine.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { briefly, type Chunk, chunksOf, envelopeOf } from "./helpers/openai.ts";

const server = await startLocalServer(
  { after },
  {
    config: "engine: { simulated: { tokens_per_second: 0 } }\napi: { openai: { default_max_tokens: 6 } }",
    devices: "simulated:2",
  },
);
await server.loaded();

const MESSAGES = [{ role: "user", content: "Hello" }];

async function asked(path: string, body?: object, headers: Record<string, string> = {}, of = server) {
  const response = await fetch(of.url + path, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${of.key}`, "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

async function answered<T>(path: string, body?: object, of = server): Promise<T> {
  const { status, text } = await asked(path, body, {}, of);
  assert.equal(status, 200, text);
  return JSON.parse(text) as T;
}

type Fields = Readonly<Record<string, unknown>>;

test("a chat answer has every field, and its id is that of its task", async () => {
  const { headers, text } = await asked("/v1/chat/completions", {
    model: "simulated",
    messages: MESSAGES,
    max_tokens: 3,
  });
  const { id, created, ...answer } = JSON.parse(text) as Fields;
  assert.deepEqual(answer, {
    object: "chat.completion",
    model: "simulated",
    choices: [
      {
        index: 0,
        message: { role: "assistant", content: " an old mill", refusal: null },
        logprobs: null,
        finish_reason: "length",
      },
    ],
    usage: {
      prompt_tokens: 2,
      completion_tokens: 3,
      total_tokens: 5,
      prompt_tokens_details: { cached_tokens: 0 },
    },
  });
  const taskId = headers.get("x-task-id")!;
  assert.equal(id, `chatcmpl-${taskId.replaceAll("-", "")}`);
  assert.equal(headers.get("x-task-ids"), taskId);
  const task = await server.task(taskId);
  assert.equal(created, Math.floor(Date.parse(task.created_at) / 1000));
  assert.equal(headers.get("x-gpu-id"), String(task.gpu_id));
});

test("a chat stream has its chunks in the order that clients insist on", async () => {
  const { headers, text } = await asked("/v1/chat/completions", {
    messages: MESSAGES,
    stream: true,
    stream_options: { include_usage: true },
    max_completion_tokens: 3,
  });
  assert.equal(headers.get("content-type"), "text/event-stream; charset=utf-8");
  const chunks = chunksOf(text);
  assert.equal(chunks.pop(), "[DONE]");
  const [first, ...others] = chunks as Chunk[];
  const id = `chatcmpl-${headers.get("x-task-id")!.replaceAll("-", "")}`;
  assert.deepEqual(first, {
    id,
    object: "chat.completion.chunk",
    created: first!.created,
    model: "simulated",
    choices: [{ index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }],
    usage: null,
  });
  for (const { choices: _, usage: __, ...facts } of others) {
    assert.deepEqual(facts, { id, object: "chat.completion.chunk", created: first!.created, model: "simulated" });
  }
  assert.deepEqual(briefly(others), [
    '0 {"content":" an old mill"}',
    "0 ends: length",
    'usage {"prompt_tokens":2,"completion_tokens":3,"total_tokens":5,"prompt_tokens_details":{"cached_tokens":0}}',
  ]);
  assert.deepEqual(others.at(-1)!.choices, []);
});

test("without include_usage no chunk speaks of usage", async () => {
  const { text } = await asked("/v1/chat/completions", { messages: MESSAGES, stream: true, max_tokens: 1 });
  const chunks = chunksOf(text);
  assert.equal(chunks.length, 4);
  for (const chunk of chunks.slice(0, -1)) assert.ok(!("usage" in (chunk as Chunk)));
});

test("several choices are several tasks with a seed after the other, in one answer", async () => {
  const { headers, text } = await asked("/v1/chat/completions", {
    messages: MESSAGES,
    n: 3,
    seed: -1,
    max_tokens: 2,
  });
  const answer = JSON.parse(text) as { choices: { index: number }[]; usage: Fields };
  assert.deepEqual(
    answer.choices.map(({ index }) => index),
    [0, 1, 2],
  );
  const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
  assert.deepEqual([prompt_tokens, completion_tokens, total_tokens], [2, 6, 8]);
  const ids = headers.get("x-task-ids")!.split(", ");
  assert.equal(ids[0], headers.get("x-task-id"));
  const tasks = await Promise.all(ids.map((id) => server.task(id)));
  assert.deepEqual(
    tasks.map(({ seed }) => seed),
    [2 ** 32 - 1, 0, 1],
  );
});

test("a stream of several choices tells each of them whole", async () => {
  const { text } = await asked("/v1/chat/completions", { messages: MESSAGES, n: 2, stream: true, max_tokens: 2 });
  const told = briefly(chunksOf(text));
  assert.equal(told.pop(), "[DONE]");
  for (const index of [0, 1]) {
    assert.deepEqual(
      told.filter((line) => line.startsWith(`${index} `)),
      [`${index} {"role":"assistant","content":""}`, `${index} {"content":" an old"}`, `${index} ends: length`],
    );
  }
});

function choice(index: number, text: string) {
  return { index, text, logprobs: null, finish_reason: "length" };
}

test("a completion continues each prompt as it is, with choices of its own", async () => {
  const { headers, text } = await asked("/v1/completions", { prompt: ["a", "b"], n: 2, max_tokens: 1 });
  const { id, created: _, ...answer } = JSON.parse(text) as Fields;
  assert.deepEqual(answer, {
    object: "text_completion",
    model: "simulated",
    choices: [choice(0, " above"), choice(1, " above"), choice(2, " door"), choice(3, " door")],
    usage: { prompt_tokens: 2, completion_tokens: 4, total_tokens: 6, prompt_tokens_details: { cached_tokens: 0 } },
  });
  assert.equal(id, `cmpl-${headers.get("x-task-id")!.replaceAll("-", "")}`);
});

test("a completion stream has texts and no deltas", async () => {
  const { text } = await asked("/v1/completions", { prompt: "a", stream: true, max_tokens: 1 });
  const [first, last, done] = chunksOf(text) as [Chunk, Chunk, string];
  assert.equal(first.object, "text_completion");
  assert.deepEqual(first.choices, [{ index: 0, text: " above", logprobs: null, finish_reason: null }]);
  assert.deepEqual(last.choices, [{ index: 0, text: "", logprobs: null, finish_reason: "length" }]);
  assert.equal(done, "[DONE]");
});

test("vectors come as numbers, and as base64 to who asks so, each of length 1", async () => {
  interface Vectors {
    readonly data: readonly { object: string; index: number; embedding: unknown }[];
  }
  const input = ["one", "another text", [1, 2, 3]];
  const { data, ...answer } = await answered<Vectors & Fields>("/v1/embeddings", { input });
  assert.deepEqual(Object.keys(answer), ["object", "model", "usage"]);
  assert.equal(answer["object"], "list");
  assert.deepEqual(Object.keys(answer["usage"] as object), ["prompt_tokens", "total_tokens"]);
  const encoded = await answered<Vectors>("/v1/embeddings", { input, encoding_format: "base64" });
  for (const [index, one] of data.entries()) {
    const numbers = one.embedding as number[];
    assert.deepEqual({ ...one, embedding: [] }, { object: "embedding", index, embedding: [] });
    assert.ok(Math.abs(Math.hypot(...numbers) - 1) < 1e-6);
    assert.deepEqual(numbersOf(encoded.data[index]!.embedding as string), numbers);
  }
  assert.equal(data.length, 3);
  assert.equal((await answered<Vectors>("/v1/embeddings", { input: "one" })).data.length, 1);
  assert.equal((await answered<Vectors>("/v1/embeddings", { input: [1, 2] })).data.length, 1);
});

test("models are listed, and told one by one", async () => {
  const { data, object } = await answered<{ object: string; data: Fields[] }>("/v1/models");
  assert.equal(object, "list");
  const [{ created, ...model } = {}] = data;
  assert.deepEqual(model, {
    id: "simulated",
    object: "model",
    owned_by: "alt-las",
    context_length: 32_768,
    capabilities: SIMULATED_CAPABILITIES,
  });
  assert.ok(Number.isInteger(created));
  assert.deepEqual(await answered("/v1/models/simulated"), data[0]);
});

test("a base URL that has lost its /v1 works as well", async () => {
  await answered("/chat/completions", { messages: MESSAGES });
  await answered("/completions", { prompt: "a" });
  await answered("/embeddings", { input: "a" });
  await answered("/models");
  await answered("/models/simulated");
});

test("an answer that names no length is as long as the configuration lets it be", async () => {
  const answer = await answered<{ usage: Fields }>("/v1/chat/completions", { messages: MESSAGES });
  assert.equal(answer.usage["completion_tokens"], 6);
});

test("a call that is sent again under its key gets the same answer, streamed as well", async () => {
  for (const stream of [false, true]) {
    const body = { messages: MESSAGES, stream };
    const first = await asked("/v1/chat/completions", body, { "idempotency-key": `again-${stream}` });
    const second = await asked("/v1/chat/completions", body, { "idempotency-key": `again-${stream}` });
    assert.equal(first.headers.get("idempotent-replayed"), null);
    assert.equal(second.headers.get("idempotent-replayed"), "true");
    assert.equal(second.headers.get("x-task-id"), first.headers.get("x-task-id"));
    assert.equal(second.text, first.text);
  }
  const other = await asked("/v1/chat/completions", { messages: MESSAGES, n: 2 }, { "idempotency-key": "again-false" });
  assert.equal(other.status, 409);
});

test("of several models the one that can do it answers, and names may have slashes and spaces", async (t) => {
  const several = await startLocalServer(t, {
    config:
      "engine: { simulated: { tokens_per_second: 0, models: [{ gpu_id: 0, name: org/talker, capabilities: [chat, completion] }, { gpu_id: 1, name: mini vectors, capabilities: [embedding] }] } }",
    devices: "simulated:2",
  });
  await several.loaded();
  const models = await answered<{ data: { id: string }[] }>("/v1/models", undefined, several);
  assert.deepEqual(
    models.data.map(({ id }) => id),
    ["org/talker", "mini vectors"],
  );
  for (const [path, model] of [
    ["/v1/models/org/talker", "org/talker"],
    ["/v1/models/org%2Ftalker", "org/talker"],
    ["/v1/models/mini%20vectors", "mini vectors"],
  ] as const) {
    assert.equal((await answered<{ id: string }>(path, undefined, several)).id, model);
  }
  const chat = { messages: MESSAGES, max_tokens: 1 };
  assert.equal((await answered<Fields>("/v1/chat/completions", chat, several))["model"], "org/talker");
  assert.equal((await answered<Fields>("/v1/embeddings", { input: "x" }, several))["model"], "mini vectors");
  const { text } = await asked("/v1/chat/completions", { ...chat, stream: true }, {}, several);
  assert.equal((chunksOf(text)[0] as Chunk).model, "org/talker");
  const wrong = await asked("/v1/chat/completions", { ...chat, model: "mini vectors" }, {}, several);
  const { param, code, message } = envelopeOf({ statusCode: wrong.status, body: wrong.text }, 400);
  assert.deepEqual([param, code], ["messages", "unsupported"]);
  assert.match(message, /^messages cannot be answered by the model mini vectors; org\/talker can\.$/);
});

test("what no model here can do is refused before the queue, by the field that asks for it", async () => {
  const cases: [path: string, body: object, status: number, param: string, code: string, sentence: RegExp][] = [
    ["/v1/chat/completions", { model: "gpt-4o", messages: MESSAGES }, 404, "model", "model_not_found", /^model must be the name of a model \(simulated\); got "gpt-4o"\.$/],
    ["/v1/completions", { model: "gpt-4o", prompt: "x" }, 404, "model", "model_not_found", /simulated/],
    ["/v1/embeddings", { model: "gpt-4o", input: "x" }, 404, "model", "model_not_found", /simulated/],
    ["/v1/chat/completions", { messages: [{ role: "user", content: "x".repeat(200_000) }] }, 400, "messages", "context_length_exceeded", /^messages has at least 50000 tokens/],
    ["/v1/completions", { prompt: "x".repeat(200_000) }, 400, "prompt", "context_length_exceeded", /^prompt has at least 50000 tokens/],
    ["/v1/completions", { prompt: "x", gpu_options: { specific_gpu_id: 7 } }, 400, "gpu_options.specific_gpu_id", "invalid_input", /got 7\.$/],
  ]; // prettier-ignore
  for (const [path, body, status, param, code, sentence] of cases) {
    const answer = await asked(path, body);
    const error = envelopeOf({ statusCode: answer.status, body: answer.text }, status);
    assert.match(error.message, sentence);
    assert.deepEqual([error.param, error.code], [param, code]);
  }
});
