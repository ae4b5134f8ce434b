/** How calls of OpenAI's API end that do not simply run: failures, second attempts, readers that leave or are slow. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { LiveClient } from "./helpers/events.ts";
import { aCompletedTask, AS, aTask, FakeRun, ID, listening, OTHER_ID, testConfig, testServer } from "./helpers/http.ts";
import { ask, briefly, chunkOf, chunksOf, envelopeOf } from "./helpers/openai.ts";
import { AltLasError } from "../src/errors.ts";
import { completionOf } from "../src/request.ts";
import { type TaskSnapshot } from "../src/tasks/task-api.ts";

const CHAT = "/v1/chat/completions";
const MESSAGES = [{ role: "user", content: "Hello" }];

/** A server whose next call becomes one task, or two, that can be followed. */
async function followable(t: TestContext, ids: readonly string[] = [ID]) {
  const server = testServer(t, testConfig());
  const runs = ids.map((id) => {
    const run = new FakeRun();
    server.tasks.runs.set(id, run);
    return run;
  });
  server.tasks.tasks = ids.map((id) => aTask({ id, status: "running", gpuId: 0 }));
  server.tasks.submission = {
    ...server.tasks.submission,
    tasks: ids.map((id) => ({ id, gpuId: 0, status: "running" as const })),
  };
  const port = await listening(server.app);
  const open = (body: object = {}, headers: Record<string, string> = {}): Promise<LiveClient> =>
    LiveClient.open(port, CHAT, {
      method: "POST",
      headers: { ...AS.user, "content-type": "application/json", ...headers },
      body: JSON.stringify({ messages: MESSAGES, stream: true, ...body }),
    });
  const send = (body: object, headers: Record<string, string>, signal: AbortSignal): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${CHAT}`, {
      method: "POST",
      headers: { ...AS.user, "content-type": "application/json", ...headers },
      body: JSON.stringify({ messages: MESSAGES, ...body }),
      signal,
    });
  return { ...server, runs, run: runs[0]!, open, send };
}

function completed(text: string, fields: Partial<TaskSnapshot> = {}): TaskSnapshot {
  const task = aCompletedTask(fields);
  return { ...task, result: { ...task.result!, text } };
}

function attempts(count: number): TaskSnapshot["attempts"] {
  return Array.from({ length: count }, () => aCompletedTask().attempts[0]!);
}

/** Resolves when a run is followed. */
async function followed(run: FakeRun): Promise<void> {
  if (run.readers.size === 0) await once(run, "followed");
}

async function rest(client: LiveClient): Promise<string[]> {
  const told: string[] = [];
  for (let block = await client.until("\n\n"); block !== null; block = await client.until("\n\n")) {
    if (!block.startsWith(":")) told.push(...briefly([chunkOf(block)]));
  }
  return told;
}

const ROLE = '0 {"role":"assistant","content":""}';

test("a chat is streamed as it comes, what a model reasons in a field of its own", async (t) => {
  const { run, open } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1, 3);
  run.say("Once ");
  const client = await opening;
  assert.equal(client.headers["x-gpu-id"], "3");
  assert.equal(client.headers["x-task-id"], ID);
  run.say("upon");
  run.end(completed("Once upon a time"));
  assert.deepEqual(await rest(client), [
    ROLE,
    '0 {"content":"Once "}',
    '0 {"content":"upon"}',
    '0 {"content":" a time"}',
    "0 ends: stop",
    "[DONE]",
  ]);
});

test("a task that has ended already is told whole", async (t) => {
  const { app, tasks } = testServer(t);
  const task = completed("Paris.");
  tasks.tasks = [{ ...task, result: { ...task.result!, reasoning: "Hm." } }];
  const response = await ask(app, CHAT, { messages: MESSAGES, stream: true });
  assert.deepEqual(briefly(chunksOf(response.body)), [
    ROLE,
    '0 {"reasoning_content":"Hm."}',
    '0 {"content":"Paris."}',
    "0 ends: stop",
    "[DONE]",
  ]);
  const whole = await ask(app, CHAT, { messages: MESSAGES });
  const { choices } = whole.json<{ choices: { message: object }[] }>();
  assert.deepEqual(choices[0]!.message, {
    role: "assistant",
    content: "Paris.",
    reasoning_content: "Hm.",
    refusal: null,
  });
});

const ENDS: readonly [what: string, task: Partial<TaskSnapshot>, status: number, type: string, code: string, sentence: RegExp, param?: string][] =
  [
    ["a prompt that is too long", { status: "failed", error: { code: "prompt_too_long", sentence: "The prompt has 9 tokens, which leaves no room in a context of 8 tokens." } }, 400, "invalid_request_error", "context_length_exceeded", /^The prompt has 9 tokens/],
    ["a deadline", { status: "failed", error: { code: "timeout", sentence: "Late." } }, 500, "server_error", "timeout", /^Late\.$/],
    ["a model that fails", { status: "failed", gpuId: 2, error: { code: "model_error", sentence: "secret" } }, 500, "server_error", "model_error", /^GPU 2 could not run the task\.$/],
    ["a model that is not there any more", { status: "failed", error: { code: "model_not_found", sentence: "Gone." } }, 404, "not_found_error", "model_not_found", /^Gone\.$/, "model"],
    ["what the model cannot do", { status: "failed", request: { ...completionOf(""), kind: "chat", messages: [] }, error: { code: "unsupported", sentence: "The model has no chat template, so that it takes a text, but no messages." } }, 400, "invalid_request_error", "unsupported", /no chat template/, "messages"],
    ["a form that the server behind the GPU does not know", { status: "failed", request: { ...completionOf(""), kind: "chat", messages: [] }, error: { code: "unsupported", sentence: "The server behind this GPU takes no response_format for chats. It does with a text with raw: true." } }, 400, "invalid_request_error", "unsupported", /^The server behind this GPU takes no response_format for chats\./, "response_format"],
    ["tools that the model knows nothing of", { status: "failed", error: { code: "unsupported", sentence: "The server behind this GPU takes no tool_choice but auto and required." } }, 400, "invalid_request_error", "unsupported", /takes no tool_choice but auto and required\.$/, "tool_choice"],
    ["a cancellation", { status: "canceled" }, 409, "invalid_request_error", "conflict", /was canceled\.$/],
    ["a server that stops", { status: "queued" }, 503, "server_error", "draining", /The server is stopping; task .* goes on/],
  ]; // prettier-ignore

for (const [what, fields, status, type, code, sentence, param = null] of ENDS) {
  test(`what ends without a result is no 200, streamed or not: ${what}`, async (t) => {
    const { app, tasks } = testServer(t);
    tasks.tasks = [aTask(fields)];
    for (const stream of [false, true]) {
      for (const [path, body] of [
        [CHAT, { messages: MESSAGES, stream }],
        ["/v1/completions", { prompt: "x", stream }],
        ["/v1/embeddings", { input: "x" }],
      ] as const) {
        const response = await ask(app, path, body);
        const { message, ...error } = envelopeOf(response, status);
        assert.deepEqual(error, { type, param, code });
        assert.match(message, sentence);
        assert.equal(response.headers["x-task-id"], ID);
        assert.equal(response.headers["retry-after"], code === "draining" ? "5" : undefined);
        // OpenAI's clients try twice more, unless told.
        assert.equal(response.headers["x-should-retry"], code === "draining" ? undefined : "false");
      }
    }
  });
}

test("a failure after the first words is an event, and the end", async (t) => {
  const { run, open } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1);
  run.say("Once");
  const client = await opening;
  run.end(aTask({ status: "failed", gpuId: 0, error: { code: "gpu_lost", sentence: "secret" } }));
  assert.deepEqual(await rest(client), [ROLE, '0 {"content":"Once"}', "error gpu_lost"]);
});

test("a second attempt after words were sent ends the answer, and without any it goes on", async (t) => {
  const { run, open, tasks } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1);
  run.requeue();
  run.place(2, 4);
  run.say("Once");
  const client = await opening;
  assert.equal(client.headers["x-gpu-id"], "0");
  run.requeue();
  run.place(3);
  assert.deepEqual(await rest(client), [ROLE, '0 {"content":"Once"}', "error gpu_lost"]);
  assert.deepEqual(tasks.canceled, [ID]);
});

test("a stream that is taken up again goes on, although some of its choices have ended", async (t) => {
  const { runs, tasks, open } = await followable(t, [OTHER_ID, ID]);
  const [ended, run] = runs as [FakeRun, FakeRun];
  run.place(2, 3, "Once ");
  tasks.runs.delete(OTHER_ID);
  tasks.tasks = [completed("Paris.", { id: OTHER_ID })];
  const reading = Promise.withResolvers<void>();
  const { get } = tasks;
  tasks.get = async (id) => {
    // While the store is read, the other choice goes on.
    run.say("upon");
    reading.resolve();
    return get.call(tasks, id);
  };
  const client = await open({ n: 2 }, { "idempotency-key": "mine" });
  await reading.promise;
  run.say(" a time");
  run.end(completed("Once upon a time.", { attempts: attempts(2) }));
  const told = await rest(client);
  assert.equal(ended.readers.size, 0);
  assert.deepEqual(
    told.filter((line) => line.startsWith("1")),
    ['1 {"role":"assistant","content":""}', '1 {"content":"Once "}', '1 {"content":"upon"}', '1 {"content":" a time"}', '1 {"content":"."}', "1 ends: stop"],
  ); // prettier-ignore
  assert.deepEqual(
    told.filter((line) => !line.startsWith("1")),
    [ROLE, '0 {"content":"Paris."}', "0 ends: stop", "[DONE]"],
  );
});

test("a server that stops tells who reads along", async (t) => {
  const { run, open } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1, 0, "Once");
  const client = await opening;
  run.close();
  assert.deepEqual(await rest(client), [ROLE, '0 {"content":"Once"}', "error draining"]);
});

test("a client that leaves cancels its tasks: before the first word, after it, and when it reads no stream", async (t) => {
  const leaves = async (words: string, stream: boolean): Promise<void> => {
    const { runs, tasks, send } = await followable(t, [ID, OTHER_ID]);
    const canceled = new Promise<void>((resolve) => {
      tasks.onCancel = () => tasks.canceled.length === 2 && resolve();
    });
    const waiting = Promise.withResolvers<void>();
    tasks.onWait = async (id, signal) => {
      waiting.resolve();
      await once(signal, "abort");
      return tasks.get(id);
    };
    const leaving = new AbortController();
    const answer = send({ n: 2, stream }, {}, leaving.signal);
    if (stream) await Promise.all(runs.map(followed));
    else await waiting.promise;
    if (words !== "") {
      runs[1]!.place(1, 0, words);
      await answer;
    }
    leaving.abort();
    await answer.catch(() => {});
    await canceled;
    assert.deepEqual(tasks.canceled.toSorted(), [ID, OTHER_ID]);
    assert.ok(runs.every(({ readers }) => readers.size === 0));
  };
  // Each is noticed after seconds.
  await Promise.all([leaves("", true), leaves("Once", true), leaves("", false)]);
});

test("a call with an Idempotency-Key goes on without its client, which may come again for it", async (t) => {
  const { run, tasks, send } = await followable(t);
  const leaving = new AbortController();
  const answer = send({ stream: true }, { "idempotency-key": "mine" }, leaving.signal);
  await followed(run);
  const stopped = once(run, "stopped");
  leaving.abort();
  await answer.catch(() => {});
  await stopped;
  assert.deepEqual(tasks.canceled, []);
  assert.equal(tasks.submitted[0]!.options.idempotency?.key, "mine");
});

test("when one choice fails, the others are canceled and the answer is its failure", async (t) => {
  const { tasks, app } = await followable(t, [ID, OTHER_ID]);
  tasks.runs.clear();
  tasks.tasks = [aTask(), aTask({ id: OTHER_ID, status: "failed", error: { code: "timeout", sentence: "Late." } })];
  tasks.onWait = (id) => (id === ID ? new Promise(() => {}) : tasks.get(id));
  const response = await ask(app, CHAT, { messages: MESSAGES, n: 2 });
  assert.equal(envelopeOf(response, 500).code, "timeout");
  assert.deepEqual(tasks.canceled.toSorted(), [ID, OTHER_ID]);
});

test("a reader that is slow gets the rest at once, and nothing is kept for it", async (t) => {
  const { run, open } = await followable(t);
  const opening = open();
  await followed(run);
  run.place(1);
  const piece = "word ".repeat(20_000);
  let text = "";
  for (let index = 0; index < 100; index++) {
    run.say(piece);
    text += piece;
  }
  run.end(completed(text));
  const client = await opening;
  let read = "";
  let pieces = 0;
  for (let block = await client.until("\n\n"); block !== null; block = await client.until("\n\n")) {
    const chunk = chunkOf(block);
    if (chunk === "[DONE]" || "error" in chunk) continue;
    read += chunk.choices[0]!.delta!["content"] ?? "";
    pieces++;
  }
  assert.equal(read, text);
  assert.ok(pieces < 50, `${pieces} pieces`);
});

test("a refusal of the queue says when to come again", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.failure = new AltLasError("queue_full", "The queue has no room.", { retryAfter: 7 });
  const response = await ask(app, CHAT, { messages: MESSAGES });
  assert.deepEqual(envelopeOf(response, 503), {
    message: "The queue has no room.",
    type: "server_error",
    param: null,
    code: "queue_full",
  });
  assert.equal(response.headers["retry-after"], "7");
  assert.equal(response.headers["x-should-retry"], undefined);
  tasks.failure = undefined;
  tasks.overLimit = new AltLasError("rate_limited", "Too many.", { retryAfter: 2 });
  const limited = await ask(app, CHAT, { messages: MESSAGES });
  const { type, code } = envelopeOf(limited, 429);
  assert.deepEqual([type, code, limited.headers["retry-after"]], ["rate_limit_error", "rate_limit_exceeded", "2"]);
});
