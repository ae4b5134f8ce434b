/** Streams of Anthropic's API: the order of their events, failures, second attempts, readers that leave. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { assembled, messageEvent, messageEvents, type StreamEvent } from "./helpers/anthropic.ts";
import { LiveClient } from "./helpers/events.ts";
import { aCompletedTask, AS, aTask, FakeRun, ID, listening, testConfig, testServer } from "./helpers/http.ts";
import { ask } from "./helpers/openai.ts";
import { type TaskSnapshot } from "../src/tasks/task-api.ts";

const PATH = "/v1/messages";
const BODY = { max_tokens: 9, messages: [{ role: "user", content: "Hello" }], stream: true };
const MESSAGE_ID = `msg_${ID.replaceAll("-", "")}`;

function server(t: TestContext) {
  return testServer(t, testConfig("api: { anthropic: true }"));
}

/** A server whose next call becomes one task that can be followed. */
async function followable(t: TestContext) {
  const made = server(t);
  const run = new FakeRun();
  made.tasks.runs.set(ID, run);
  made.tasks.tasks = [aTask({ status: "running", gpuId: 0 })];
  const port = await listening(made.app);
  const open = (): Promise<LiveClient> =>
    LiveClient.open(port, PATH, {
      method: "POST",
      headers: { ...AS.user, "content-type": "application/json" },
      body: JSON.stringify(BODY),
    });
  return { ...made, run, open };
}

async function followed(run: FakeRun): Promise<void> {
  if (run.readers.size === 0) await once(run, "followed");
}

async function rest(client: LiveClient): Promise<StreamEvent[]> {
  const events: StreamEvent[] = [];
  for (let block = await client.until("\n\n"); block !== null; block = await client.until("\n\n"))
    events.push(messageEvent(block));
  return events;
}

function completed(fields: Partial<NonNullable<TaskSnapshot["result"]>>): TaskSnapshot {
  const task = aCompletedTask({ ranModel: "demo" });
  return { ...task, result: { ...task.result!, ...fields } };
}

const CALLS = [
  { id: "t1", name: "weather", arguments: '{"city":"Izmir"}' },
  { id: "t2", name: "clock", arguments: "{}" },
];
const BLOCKS = [
  { type: "thinking", thinking: "Hm. Well.", signature: "" },
  { type: "text", text: "Once upon" },
  { type: "tool_use", id: "t1", name: "weather", input: { city: "Izmir" } },
  { type: "tool_use", id: "t2", name: "clock", input: {} },
];

test("a message is streamed as it comes, block by block, and its tokens are told at the end", async (t) => {
  const { run, open } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1, 3);
  run.say("Hm. ", "reasoning");
  const client = await opening;
  assert.equal(client.headers["content-type"], "text/event-stream; charset=utf-8");
  assert.equal(client.headers["x-task-id"], ID);
  assert.equal(client.headers["request-id"], client.headers["x-request-id"]);
  run.say("Well.", "reasoning");
  run.say("Once ");
  run.say("upon");
  run.tell({ kind: "tool_call", index: 0, call: { id: "t1", name: "weather" }, arguments: "" });
  run.tell({ kind: "tool_call", index: 0, arguments: '{"city":' });
  run.tell({ kind: "tool_call", index: 0, arguments: '"Izmir"}' });
  run.tell({ kind: "tool_call", index: 1, call: { id: "t2", name: "clock" }, arguments: "{}" });
  const counts = { promptTokens: 9, cachedTokens: 5, completionTokens: 7 };
  run.end(completed({ text: "Once upon", reasoning: "Hm. Well.", toolCalls: CALLS, ...counts }));
  const events = await rest(client);
  assert.deepEqual(assembled(events), {
    id: MESSAGE_ID,
    type: "message",
    role: "assistant",
    model: "demo",
    content: BLOCKS,
    stop_reason: "tool_use",
    stop_sequence: null,
    usage: { input_tokens: 4, output_tokens: 7, cache_read_input_tokens: 5, cache_creation_input_tokens: 0 },
  });
  assert.deepEqual(
    events.map(({ type, delta }) => (type === "content_block_delta" ? delta!["type"] : type)),
    [
      "message_start",
      "content_block_start",
      "thinking_delta",
      "thinking_delta",
      "content_block_stop",
      "content_block_start",
      "text_delta",
      "text_delta",
      "content_block_stop",
      "content_block_start",
      "input_json_delta",
      "input_json_delta",
      "content_block_stop",
      "content_block_start",
      "input_json_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ],
  );
});

test("a task that has ended already is told whole, streamed and not", async (t) => {
  const { app, tasks } = server(t);
  tasks.tasks = [completed({ text: "Once upon", reasoning: "Hm. Well.", toolCalls: CALLS })];
  const streamed = assembled(messageEvents((await ask(app, PATH, BODY)).body));
  assert.deepEqual(streamed.content, BLOCKS);
  const { body } = await ask(app, PATH, { ...BODY, stream: false });
  assert.deepEqual(JSON.parse(body), streamed);
});

test("an answer of nothing is a text of nothing, and one that was cut off says so", async (t) => {
  const { app, tasks } = server(t);
  tasks.tasks = [completed({ text: "", finishReason: "length" })];
  const streamed = assembled(messageEvents((await ask(app, PATH, BODY)).body));
  assert.deepEqual([streamed.content, streamed.stop_reason], [[{ type: "text", text: "" }], "max_tokens"]);
  assert.deepEqual(JSON.parse((await ask(app, PATH, { ...BODY, stream: false })).body), streamed);
});

test("a call whose input was cut off is left out, with a warning, and never made up", async (t) => {
  const { app, tasks } = server(t);
  for (const given of ['{"city":', "[1]", "5"]) {
    const toolCalls = [{ id: "t1", name: "weather", arguments: given }];
    tasks.tasks = [completed({ text: "I look.", toolCalls, finishReason: "length" })];
    const { body, headers } = await ask(app, PATH, { ...BODY, stream: false });
    const { content, stop_reason: reason } = JSON.parse(body) as Record<string, unknown>;
    assert.deepEqual([content, reason], [[{ type: "text", text: "I look." }], "max_tokens"]);
    assert.equal(headers["x-warning"], 'A call of "weather" is left out: its input is no whole JSON object.');
  }
});

test("a server that did not count the prompt leaves it at 0, as clients want a number", async (t) => {
  const { app, tasks } = server(t);
  tasks.tasks = [completed({ promptTokens: null, cachedTokens: null, completionTokens: 3 })];
  const { body } = await ask(app, PATH, { ...BODY, stream: false });
  assert.deepEqual((JSON.parse(body) as { usage: object }).usage, {
    input_tokens: 0,
    output_tokens: 3,
    cache_read_input_tokens: 0,
    cache_creation_input_tokens: 0,
  });
});

test("a failure after the first event is an event of its own, and the end", async (t) => {
  const { run, open } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1);
  run.say("Once");
  const client = await opening;
  run.end(aTask({ status: "failed", error: { code: "timeout", sentence: "It took too long." } }));
  const events = await rest(client);
  assert.deepEqual(
    events.map(({ type }) => type),
    ["message_start", "content_block_start", "content_block_delta", "error"],
  );
  assert.deepEqual(events.at(-1), {
    type: "error",
    error: { type: "api_error", message: "It took too long." },
    request_id: client.headers["request-id"],
  });
});

test("a second attempt, whose words may be others, ends the stream with an error", async (t) => {
  const { run, open, tasks } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1);
  run.say("Once");
  const client = await opening;
  run.requeue();
  run.place(2);
  run.say("Twice");
  const last = (await rest(client)).at(-1);
  assert.equal(last?.type, "error");
  assert.equal(last.error!.type, "api_error");
  assert.deepEqual(tasks.canceled, [ID]);
});

test("a task whose reader leaves is canceled", async (t) => {
  const { run, open, tasks } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1);
  run.say("Once");
  const client = await opening;
  const stopped = once(run, "stopped");
  client.leave();
  await stopped;
  assert.deepEqual(tasks.canceled, [ID]);
});
