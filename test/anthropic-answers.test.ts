/** Anthropic's API from a whole server with the simulated engine. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type MessageAnswer } from "../src/http/schemas/anthropic-answers.ts";
import { assembled, messageEvents } from "./helpers/anthropic.ts";
import { startLocalServer } from "./helpers/local-server.ts";

const server = await startLocalServer(
  { after },
  {
    config: "engine: { simulated: { tokens_per_second: 0 } }\napi: { anthropic: true }",
    devices: "simulated:1",
  },
);
await server.loaded();

const VERSION = { "anthropic-version": "2023-06-01" };

async function asked(path: string, body?: object, headers: Record<string, string> = VERSION) {
  const response = await fetch(server.url + path, {
    method: body === undefined ? "GET" : "POST",
    headers: { "x-api-key": server.key, "content-type": "application/json", ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

async function answered<T>(path: string, body?: object, headers?: Record<string, string>): Promise<T> {
  const { status, text } = await asked(path, body, headers);
  assert.equal(status, 200, text);
  return JSON.parse(text) as T;
}

const HELLO = { model: "simulated", max_tokens: 3, messages: [{ role: "user", content: "Hello" }], temperature: 0 };

test("a message has every field, and its id is that of its task", async () => {
  const { headers, text } = await asked("/v1/messages", HELLO);
  const { id, ...message } = JSON.parse(text) as MessageAnswer;
  assert.deepEqual(message, {
    type: "message",
    role: "assistant",
    model: "simulated",
    content: [{ type: "text", text: " an old mill" }],
    stop_reason: "max_tokens",
    stop_sequence: null,
    usage: { input_tokens: 2, output_tokens: 3, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 },
  });
  const taskId = headers.get("x-task-id")!;
  assert.equal(id, `msg_${taskId.replaceAll("-", "")}`);
  assert.equal((await server.task(taskId)).status, "completed");
});

test("a streamed message comes to the same", async () => {
  const whole = await answered<MessageAnswer>("/v1/messages", HELLO);
  const { text } = await asked("/v1/messages?beta=true", { ...HELLO, stream: true });
  const { id, ...streamed } = assembled(messageEvents(text));
  assert.match(id, /^msg_[0-9a-f]{32}$/);
  assert.deepEqual({ id: whole.id, ...streamed }, whole);
});

const TOOLS = [
  {
    name: "weather",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
];

test("a tool is called, and what it said is answered", async () => {
  const messages = [{ role: "user", content: "weather, please" }];
  const body = { ...HELLO, max_tokens: 500, tools: TOOLS, messages };
  const { content, stop_reason: reason } = await answered<MessageAnswer>("/v1/messages", body);
  const [call, ...others] = content;
  assert.ok(call?.type === "tool_use" && others.length === 0 && reason === "tool_use");
  assert.equal(call.name, "weather");
  assert.equal(typeof (call.input as { city?: unknown }).city, "string");
  const { text } = await asked("/v1/messages", { ...body, stream: true });
  const [streamed] = assembled(messageEvents(text)).content;
  assert.ok(streamed?.type === "tool_use");
  assert.deepEqual(streamed.input, call.input);
  const result = { type: "tool_result", tool_use_id: call.id, content: [{ type: "text", text: "sunny" }] };
  const next = await answered<MessageAnswer>("/v1/messages", {
    ...body,
    messages: [...messages, { role: "assistant", content }, { role: "user", content: [result] }],
  });
  assert.deepEqual(next.content, [{ type: "text", text: "The tools say: sunny" }]);
  assert.equal(next.stop_reason, "end_turn");
});

test("the text has the form that was asked for", async () => {
  const schema = { type: "object", properties: { age: { type: "integer" } }, required: ["age"] };
  const { content } = await answered<MessageAnswer>("/v1/messages", {
    ...HELLO,
    max_tokens: 500,
    output_config: { format: { type: "json_schema", schema } },
  });
  assert.ok(content[0]?.type === "text");
  assert.ok(Number.isInteger((JSON.parse(content[0].text) as { age: unknown }).age));
});

test("the models are listed in Anthropic's shape for those that speak it, and else in OpenAI's", async () => {
  const page = await answered<{ data: { id: string }[] }>("/v1/models?limit=1000&beta=true");
  const [{ created_at: at, ...model }] = page.data as unknown as [Record<string, unknown>];
  assert.ok(!Number.isNaN(Date.parse(String(at))));
  const context = model["max_input_tokens"];
  assert.ok(Number.isInteger(context));
  const shown = { max_input_tokens: context, max_tokens: context };
  assert.deepEqual(model, { type: "model", id: "simulated", display_name: "simulated", ...shown });
  assert.deepEqual({ ...page, data: [] }, { data: [], has_more: false, first_id: "simulated", last_id: "simulated" });
  assert.deepEqual(await answered("/v1/models/simulated"), page.data[0]);
  assert.deepEqual((await answered<{ data: object[] }>("/v1/models?after_id=simulated")).data, []);
  assert.equal((await asked("/v1/models?before_id=nobody")).status, 400);
  assert.equal((await answered<{ object: string }>("/v1/models", undefined, {})).object, "list");
});

test("the tokens of a prompt are counted as its answer tells them", async () => {
  const { max_tokens: _1, temperature: _2, ...prompt } = HELLO;
  const body = { ...prompt, system: "Be brief, and kind." };
  const { headers, text } = await asked("/v1/messages/count_tokens?beta=true", body);
  const { usage } = await answered<MessageAnswer>("/v1/messages", { ...HELLO, ...body });
  assert.deepEqual(JSON.parse(text), { input_tokens: usage.input_tokens });
  assert.ok(usage.input_tokens > 2);
  assert.equal(headers.get("x-warning"), null);
  assert.equal(headers.get("x-task-id"), null);
  assert.equal((await asked("/v1/messages/count_tokens", { ...body, model: "claude" })).status, 404);
});

test("a model that is not there is a 404 that lists those that are", async () => {
  const { status, text } = await asked("/v1/messages", { ...HELLO, model: "claude" });
  assert.equal(status, 404);
  const { error } = JSON.parse(text) as { error: { type: string; message: string } };
  assert.equal(error.type, "not_found_error");
  assert.match(error.message, /simulated/);
});
