/** Streams of responses that do not simply run: second attempts, readers that leave, come back or are slow, failures, stops. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { LiveClient } from "./helpers/events.ts";
import { aCompletedTask, AS, aTask, FakeRun, ID, listening, testConfig, testServer } from "./helpers/http.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { ask, envelopeOf } from "./helpers/openai.ts";
import { ResponseClient, responseEventOf, responseEventsOf } from "./helpers/response-client.ts";
import { endNumber, itemNumber } from "../src/http/openai/responses/sequence.ts";
import { type ResponseNote } from "../src/http/openai/responses/note.ts";
import { type ChatRequest } from "../src/request.ts";
import { type TaskSnapshot } from "../src/tasks/task-api.ts";

const PATH = "/v1/responses";
const RESPONSE = `resp_${ID.replaceAll("-", "")}`;
const STREAM = `${PATH}/${RESPONSE}?stream=true`;
const REQUEST: ChatRequest = {
  kind: "chat",
  messages: [{ role: "user", content: "Hello" }],
  sampling: { maxTokens: 9, temperature: 0 },
};
const NOTE: ResponseNote = {
  api: "response",
  background: true,
  store: true,
  metadata: {},
  previous_response_id: null,
  instructions: false,
  own: 0,
  user: null,
  top_logprobs: 0,
  parallel_tool_calls: true,
};

/** A server with one response, whose task goes on as the test lets it. */
async function followable(t: TestContext, task: Partial<TaskSnapshot> = {}, note: Partial<ResponseNote> = {}) {
  const server = testServer(t, testConfig());
  const run = new FakeRun();
  server.tasks.runs.set(ID, run);
  server.tasks.tasks = [aTask({ status: "running", gpuId: 0, request: REQUEST, ...task })];
  server.tasks.noted.set(1, JSON.stringify({ ...NOTE, ...note }));
  const port = await listening(server.app);
  const post = (body: object): Promise<LiveClient> =>
    LiveClient.open(port, PATH, {
      method: "POST",
      headers: { ...AS.user, "content-type": "application/json" },
      body: JSON.stringify({ input: "Hello", stream: true, ...body }),
    });
  const follow = (query = ""): Promise<LiveClient> => LiveClient.open(port, STREAM + query, { headers: AS.user });
  return { ...server, run, post, follow };
}

function completed(text: string, attempts = 1, fields: Partial<TaskSnapshot> = {}): TaskSnapshot {
  const task = aCompletedTask({ request: REQUEST, ...fields });
  const attempt = task.attempts[0]!;
  return { ...task, attempts: Array.from({ length: attempts }, () => attempt), result: { ...task.result!, text } };
}

/** Resolves when a run is followed. */
async function followed(run: FakeRun): Promise<void> {
  if (run.readers.size === 0) await once(run, "followed");
}

/** Reads until the client has got so many events, or to the end. @returns the comments meanwhile */
async function read(live: LiveClient, client: ResponseClient, count = Infinity): Promise<string[]> {
  const comments: string[] = [];
  for (let got = 0; got < count;) {
    const block = await live.until("\n\n");
    if (block === null) break;
    const event = responseEventOf(block);
    if (event === null) comments.push(block);
    else {
      got++;
      client.take(event);
    }
  }
  return comments;
}

for (const background of [true, false]) {
  test(`a second attempt is another item, for a reader that has words of the first${background ? ", in the background" : ""}`, async (t) => {
    const { run, post, tasks, app } = await followable(t);
    const opening = post({ background });
    await followed(run);
    run.place(1, 3);
    run.say("First ");
    const live = await opening;
    run.requeue();
    run.place(2, 4, "Sec");
    run.say("ond try");
    run.end(completed("Second try", 2));
    const client = new ResponseClient();
    await read(live, client);
    const items = [...client.items].map(([index, { id, said, status }]) => [index, id, said, status]);
    const hex = RESPONSE.slice(5);
    assert.deepEqual(items, [
      [0, `msg_${hex}_1`, "", "incomplete"],
      [1, `msg_${hex}_2`, "Second try", "completed"],
    ]);
    assert.equal(client.types.filter((type) => type === "response.in_progress").length, 2);
    assert.deepEqual(client.ended!.output.map(({ id }) => id), [`msg_${hex}_2`]); // prettier-ignore
    assert.equal(client.last, endNumber(2));
    assert.deepEqual(tasks.canceled, []);
    // Whoever comes new gets the last attempt alone.
    tasks.runs.clear();
    tasks.tasks = [completed("Second try", 2)];
    const fresh = new ResponseClient().read(
      responseEventsOf((await app.inject({ url: STREAM, headers: AS.user })).body),
    );
    assert.deepEqual([...fresh.items].map(([index, { id, said }]) => [index, id, said]), [[0, `msg_${hex}_2`, "Second try"]]); // prettier-ignore
  });
}

test("a worker that dies under a response closes its item, and the next attempt's answer is whole", async (t) => {
  const config = "engine: { simulated: { tokens_per_second: 200 } }";
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.loaded();
  const live = await LiveClient.open(Number(new URL(server.url).port), PATH, {
    method: "POST",
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json" },
    body: JSON.stringify({ input: "Hello", stream: true, max_output_tokens: 30, temperature: 0 }),
  });
  const client = new ResponseClient();
  while (client.said().join("").length < 20) await read(live, client, 1);
  server.signalWorker(0, "SIGKILL");
  await read(live, client);
  const [first, second] = [...client.items.values()];
  assert.deepEqual([first!.said, first!.status, second!.status], ["", "incomplete", "incomplete"]);
  assert.equal(second!.said.trim().split(" ").length, 30);
  assert.deepEqual(client.ended!["incomplete_details"], { reason: "max_output_tokens" });
});

test("a reader that comes back into a later attempt has its item closed, and the whole answer once", async (t) => {
  const { run, follow } = await followable(t);
  run.place(1, 0, "First ");
  const client = new ResponseClient();
  const live = await follow();
  await read(live, client, 6);
  assert.equal(client.said().join(""), "First ");
  live.leave();
  await once(run, "stopped");
  run.requeue();
  run.place(2, 0, "Second");
  const again = await follow(`&starting_after=${client.last}`);
  run.say(" try");
  run.end(completed("Second try", 2));
  await read(again, client);
  assert.deepEqual([...client.items].map(([index, { said, status }]) => [index, said, status]), [[0, "", "incomplete"], [1, "Second try", "completed"]]); // prettier-ignore
});

test("a reader is told how long the line is, and its numbers are checked as far as they can be known", async (t) => {
  const { run, follow, app, tasks } = await followable(t, { status: "queued", gpuId: null });
  tasks.whys.set(ID, { reason: "gpu_busy", sentence: "", detail: null, since: 0, ahead: 2 });
  const live = await follow();
  const client = new ResponseClient();
  await read(live, client, 2);
  assert.equal(await live.until("\n\n"), ": it waits, 2 ahead");
  live.leave();
  await once(run, "stopped");
  const sentenceFor = async (last: number): Promise<string> => {
    const { message, param } = envelopeOf(
      await app.inject({ url: `${STREAM}&starting_after=${last}`, headers: AS.user }),
      400,
    );
    assert.equal(param, "starting_after");
    return message;
  };
  assert.match(await sentenceFor(2), /, 1 at most; got 2\.$/);
  tasks.whys.clear();
  run.place(1, 0, "Hello");
  const known = itemNumber(1, { kind: "message", index: 0, base: 0 }, "delta", 5);
  assert.match(await sentenceFor(known + 1), new RegExp(`, ${known} at most`));
  assert.match(await sentenceFor(endNumber(1)), new RegExp(`, ${known} at most`));
  const last = await follow(`&starting_after=${known}`);
  run.say("!");
  const event = responseEventOf((await last.until("\n\n"))!);
  assert.deepEqual([event?.delta, event?.sequence_number], ["!", known + 1]);
});

test("a failure before the first word has a status of its own, but not in the background", async (t) => {
  const { app, tasks } = testServer(t);
  const error = {
    code: "prompt_too_long",
    sentence: "The prompt has 9 tokens, which leaves no room in a context of 8 tokens.",
  } as const;
  tasks.tasks = [aTask({ status: "failed", request: REQUEST, error })];
  for (const stream of [true, false]) {
    const response = await ask(app, PATH, { input: "Hello", stream });
    assert.equal(envelopeOf(response, 400).code, "context_length_exceeded");
    assert.equal(response.headers["x-should-retry"], "false");
  }
  const streamed = await ask(app, PATH, { input: "Hello", stream: true, background: true });
  const client = new ResponseClient().read(responseEventsOf(streamed.body));
  const expected = { code: "context_length_exceeded", message: error.sentence };
  assert.deepEqual(client.ended!["error"], expected);
  assert.equal(client.types.at(-1), "response.failed");
  const { status, error: told } = (await ask(app, PATH, { input: "Hello", background: true })).json<
    Record<string, unknown>
  >();
  assert.deepEqual([status, told], ["failed", expected]);
});

test("what fails after its first words ends with response.failed, and a viewer learns no inside", async (t) => {
  const { run, post } = await followable(t);
  const opening = post({});
  await followed(run);
  run.place(1);
  run.say("Once");
  const client = new ResponseClient();
  const live = await opening;
  run.end(
    aTask({
      status: "failed",
      gpuId: 2,
      attempts: completed("").attempts,
      error: { code: "model_error", sentence: "secret" },
    }),
  );
  await read(live, client);
  assert.equal(client.types.at(-1), "response.failed");
  assert.deepEqual(client.ended!["error"], { code: "model_error", message: "GPU 2 could not run the task." });
});

test("response.failed is in the language of the stream's reader", async (t) => {
  const { app, tasks } = testServer(t, testConfig());
  const error = { code: "timeout", sentence: "The task was not done 3 s after its submission." } as const;
  tasks.tasks = [aTask({ status: "failed", request: REQUEST, error })];
  const body = { input: "Hello", stream: true, background: true };
  const streamed = await ask(app, PATH, body, { ...AS.user, "accept-language": "tr" });
  const client = new ResponseClient().read(responseEventsOf(streamed.body));
  assert.equal(client.types.at(-1), "response.failed");
  const message = "Görev, gönderildikten 3 sn sonra bitmemişti.";
  assert.deepEqual(client.ended!["error"], { code: "timeout", message });
});

test("what is canceled is incomplete at the end of its stream, with the words that there are", async (t) => {
  const { run, follow } = await followable(t);
  run.place(1, 0, "Once ");
  const live = await follow();
  const whole = completed("Once upon");
  run.end({ ...whole, status: "canceled", result: { ...whole.result!, finishReason: "canceled" } });
  const client = new ResponseClient();
  await read(live, client);
  assert.equal(client.types.at(-1), "response.incomplete");
  assert.equal(client.ended!.status, "cancelled");
  assert.deepEqual(client.ended!.output.map(({ status }) => status), ["incomplete"]); // prettier-ignore
  assert.equal(client.said().join(""), "Once upon");
});

test("a server that stops says so with the number of the last event, with which a reader comes back", async (t) => {
  const { run, follow } = await followable(t);
  run.place(1, 0, "Once");
  const live = await follow();
  const client = new ResponseClient();
  await read(live, client, 6);
  run.close();
  const event = responseEventOf((await live.until("\n\n"))!)!;
  assert.deepEqual([event.type, event.sequence_number, event.error!.code], ["error", client.last, "draining"]);
  assert.match(event.error!.message, /the response goes on when it is started again\.$/);
  assert.equal(await live.until("\n\n"), null);
});

test("a reader that leaves cancels its response, unless that is in the background", async (t) => {
  for (const background of [false, true]) {
    const { run, tasks, post, follow } = await followable(t);
    const canceled = new Promise<void>((resolve) => (tasks.onCancel = () => resolve()));
    const opening = post({ background });
    await followed(run);
    run.place(1, 0, "Once");
    const live = await opening;
    const stopped = once(run, "stopped");
    live.leave();
    await stopped;
    if (!background) await canceled;
    const other = await follow();
    const again = once(run, "stopped");
    other.leave();
    await again;
    assert.deepEqual(tasks.canceled, background ? [] : [ID]);
    assert.equal(tasks.submitted[0]!.options.endsWithClient, !background);
  }
});

test("a reader that is slow gets the rest in few pieces, and nothing is kept for it", async (t) => {
  const { run, follow } = await followable(t);
  run.place(1);
  const live = await follow();
  const piece = "word ".repeat(20_000);
  let text = "";
  for (let index = 0; index < 50; index++) {
    run.say(piece);
    text += piece;
  }
  run.end(completed(text));
  const client = new ResponseClient();
  await read(live, client);
  assert.equal(client.said().join(""), text);
  const pieces = client.types.filter((type) => type === "response.output_text.delta").length;
  assert.ok(pieces < 25, `${pieces} pieces`);
});

test("reasoning, text and calls are items of their own, each closed before the next", async (t) => {
  const { run, follow } = await followable(t);
  run.place(1);
  const live = await follow();
  run.say("Hm.", "reasoning");
  run.say("I add.");
  run.tell({ kind: "tool_call", index: 0, call: { id: "call_1", name: "add" }, arguments: "" });
  run.tell({ kind: "tool_call", index: 0, arguments: '{"a":1}' });
  run.tell({ kind: "tool_call", index: 1, call: { id: "call_2", name: "now" }, arguments: "{}" });
  const toolCalls = [
    { id: "call_1", name: "add", arguments: '{"a":1}' },
    { id: "call_2", name: "now", arguments: "{}" },
  ];
  const task = completed("I add.");
  run.end({ ...task, result: { ...task.result!, reasoning: "Hm.", toolCalls } });
  const client = new ResponseClient();
  await read(live, client);
  assert.deepEqual([...client.items.values()].map(({ type, said, status }) => [type, said, status]), [
    ["reasoning", "Hm.", "completed"],
    ["message", "I add.", "completed"],
    ["function_call", '{"a":1}', "completed"],
    ["function_call", "{}", "completed"],
  ]); // prettier-ignore
  const short = client.types.map((type) => type.replace("response.", ""));
  assert.deepEqual(short, [
    "created", "queued", "in_progress",
    "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done", "output_item.done",
    "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done", "output_item.done",
    "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
    "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
    "completed",
  ]); // prettier-ignore
  const { output } = client.ended!;
  assert.deepEqual(output.map(({ call_id, name }) => [call_id, name]), [[undefined, undefined], [undefined, undefined], ["call_1", "add"], ["call_2", "now"]]); // prettier-ignore
  assert.deepEqual((output[0] as unknown as { summary: object[] }).summary, []);
});

test("an answer that says nothing is an empty text, and one that was cut within its reasoning has an empty text, too", async (t) => {
  const { app, tasks } = await followable(t);
  tasks.runs.clear();
  for (const reasoning of ["", "Hm"]) {
    const task = completed("");
    const result = { ...task.result!, finishReason: "length" as const, ...(reasoning !== "" && { reasoning }) };
    tasks.tasks = [{ ...task, result }];
    const { body } = await app.inject({ url: STREAM, headers: AS.user });
    const client = new ResponseClient().read(responseEventsOf(body));
    assert.deepEqual(client.said(), reasoning === "" ? [""] : [reasoning, ""]);
    assert.equal(client.ended!.output.at(-1)!.status, "incomplete");
  }
});

test("nobody has somebody else's response, not even an admin; what is not stored is nobody's", async (t) => {
  const { app, tasks } = await followable(t);
  const paths = [["GET", ""], ["GET", "?stream=true"], ["GET", "/input_items"], ["POST", "/cancel"], ["DELETE", ""]] as const; // prettier-ignore
  for (const headers of [AS.admin, AS.viewer]) {
    for (const [method, end] of paths) {
      const response = await app.inject({ method, url: `${PATH}/${RESPONSE}${end}`, headers });
      const isViewer = headers === AS.viewer && method !== "GET";
      envelopeOf(response, isViewer ? 403 : 404);
    }
    const body = { input: "x", previous_response_id: RESPONSE };
    if (headers === AS.admin) envelopeOf(await ask(app, PATH, body, headers), 404);
  }
  tasks.noted.set(1, JSON.stringify({ ...NOTE, store: false }));
  for (const [method, end] of paths)
    envelopeOf(await app.inject({ method, url: `${PATH}/${RESPONSE}${end}`, headers: AS.user }), 404);
  tasks.noted.set(1, JSON.stringify({ api: "line", custom_id: "a" }));
  for (const [method, end] of paths)
    envelopeOf(await app.inject({ method, url: `${PATH}/${RESPONSE}${end}`, headers: AS.user }), 404);
  assert.deepEqual([tasks.canceled, tasks.removed], [[], []]);
});

test("a response cannot go on with one that has not ended or has failed", async (t) => {
  const { app, tasks } = await followable(t);
  const body = { input: "x", previous_response_id: RESPONSE };
  assert.match(envelopeOf(await ask(app, PATH, body), 409).message, /has not ended\.$/);
  tasks.tasks = [aTask({ status: "failed", error: { code: "timeout", sentence: "Late." } })];
  assert.match(envelopeOf(await ask(app, PATH, body), 409).message, /has no answer: it is failed\.$/);
});

test("one that runs is canceled before it is deleted", async (t) => {
  const { app, tasks } = await followable(t);
  tasks.onCancel = () => (tasks.tasks = [completed("")]);
  const response = await app.inject({ method: "DELETE", url: `${PATH}/${RESPONSE}`, headers: AS.user });
  assert.deepEqual(response.json(), { id: RESPONSE, object: "response", deleted: true });
  assert.deepEqual([tasks.canceled, tasks.removed], [[ID], [ID]]);
});
