import assert from "node:assert/strict";
import { once } from "node:events";
import { type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { brief, LiveClient, parseEvents, type ServerEvent } from "./helpers/events.ts";
import {
  aCompletedTask,
  API,
  AS,
  aTask,
  FakeRun,
  get,
  ID,
  listening,
  OTHER_ID,
  post,
  refusal,
  testConfig,
  testServer,
  UNKNOWN_ID,
} from "./helpers/http.ts";

const EVENTS = `/task/${ID}/events`;

/** A server that listens, with a task that can be followed. */
async function followable(t: TestContext, config = testConfig()) {
  const server = testServer(t, config);
  const run = new FakeRun();
  server.tasks.tasks = [aTask({ status: "running", gpuId: 0 })];
  server.tasks.runs.set(ID, run);
  const sockets: Socket[] = [];
  server.app.server.on("connection", (socket: Socket) => sockets.push(socket));
  const port = await listening(server.app);
  const open = (headers: Record<string, string> = {}, path = EVENTS) =>
    LiveClient.open(port, API + path, { headers: { ...AS.user, ...headers } });
  return { ...server, run, sockets, port, open };
}

/** A completed task with this text, which ran as often as this. */
function completedWith(text: string, attempts = 1) {
  const task = aCompletedTask();
  return {
    ...task,
    attempts: Array.from({ length: attempts }, () => task.attempts[0]!),
    result: { ...task.result!, text },
  };
}

test("a task is told from its placement to its end, each event with an id to go on from", async (t) => {
  const { run, open } = await followable(t);
  const client = await open();
  run.place(1, 3);
  run.say("Once ");
  run.say("upon");
  run.end(completedWith("Once upon"));
  const events = await client.rest();
  assert.deepEqual(events.slice(0, 3), [
    { event: "placed", id: `${ID}:1:0`, data: { task_id: ID, gpu_id: 3, attempt: 1 } },
    { event: "token", id: `${ID}:1:5`, data: { text: "Once " } },
    { event: "token", id: `${ID}:1:9`, data: { text: "upon" } },
  ]);
  assert.equal(events.length, 4);
  assert.equal(events[3]!.event, "completed");
  assert.equal(events[3]!.id, `${ID}:end`);
});

test("the final event has the whole task, as GET /task gives it", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [completedWith("all of it")];
  const final = parseEvents((await get(app, EVENTS)).body).at(-1)!;
  assert.deepEqual(final.data, (await get(app, `/task/${ID}`)).json());
});

test("a client has the headers before anything happens, and no proxy may hold back what follows", async (t) => {
  const origin = "https://app.example.com";
  const { run, open } = await followable(t, testConfig(`server: { cors_origins: ["${origin}"] }`));
  const client = await open({ origin, "x-request-id": "mine" });
  assert.equal(client.status, 200);
  const { headers } = client;
  assert.equal(headers["content-type"], "text/event-stream; charset=utf-8");
  assert.equal(headers["cache-control"], "no-cache, no-transform");
  assert.equal(headers["x-accel-buffering"], "no");
  assert.equal(headers.connection, "keep-alive");
  assert.equal(headers["content-length"], undefined);
  assert.equal(headers["x-request-id"], "mine");
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.equal(headers["access-control-allow-origin"], origin);
  run.end(aTask({ status: "canceled" }));
  assert.deepEqual(brief(await client.rest()), ["canceled"]);
});

test("who joins later gets the text so far as one piece", async (t) => {
  const { run, open } = await followable(t);
  run.place(1);
  run.say("so ");
  run.say("far");
  const client = await open();
  assert.deepEqual(brief([(await client.next())!, (await client.next())!]), ["placed 1 on 0", "token so far"]);
  run.say(", so good");
  run.end(completedWith("so far, so good"));
  assert.deepEqual(brief(await client.rest()), ["token , so good", "completed"]);
});

test("a task that loses its GPU begins again, which a placement with a higher attempt says", async (t) => {
  const { run, open } = await followable(t);
  const client = await open();
  run.place(1, 0);
  run.say("void");
  run.requeue();
  run.place(2, 5);
  run.say("valid");
  run.end(completedWith("valid", 2));
  const told = ["placed 1 on 0", "token void", "placed 2 on 5", "token valid", "completed"];
  assert.deepEqual(brief(await client.rest()), told);
});

test("Last-Event-ID replays exactly what was missed while the task runs", async (t) => {
  const { run, open } = await followable(t);
  run.place(2);
  run.say("Hello, world");
  const cases: [lastEventId: string, told: string[]][] = [
    [`${ID}:2:7`, ["token world"]],
    [`${ID}:2:12`, []],
    [`${ID}:2:0`, ["token Hello, world"]],
    [`${ID}:1:7`, ["placed 2 on 0", "token Hello, world"]],
    [`${ID}:2:13`, ["placed 2 on 0", "token Hello, world"]],
    ["", ["placed 2 on 0", "token Hello, world"]],
  ];
  const clients: { readers: LiveClient[]; told: string[] }[] = [];
  for (const [id, told] of cases) {
    const byQuery = `${EVENTS}?last_event_id=${encodeURIComponent(id)}`;
    clients.push({ readers: [await open({ "last-event-id": id }), await open({}, byQuery)], told });
  }
  run.end(completedWith("Hello, world", 2));
  for (const { readers, told } of clients) {
    for (const reader of readers) assert.deepEqual(brief(await reader.rest()), [...told, "completed"]);
  }
});

test("a task that has ended is told from wherever a client left off", async (t) => {
  const { app, tasks } = testServer(t);
  const cases: [task: ReturnType<typeof aTask>, lastEventId: string, told: string[]][] = [
    [completedWith("Hello"), "", ["placed 1 on 0", "token Hello", "completed"]],
    [completedWith("Hello"), `${ID}:1:0`, ["token Hello", "completed"]],
    [completedWith("Hello"), `${ID}:1:3`, ["token lo", "completed"]],
    [completedWith("Hello"), `${ID}:1:5`, ["completed"]],
    [completedWith("Hello"), `${ID}:1:6`, ["placed 1 on 0", "token Hello", "completed"]],
    [completedWith("Hello", 2), `${ID}:1:3`, ["placed 2 on 0", "token Hello", "completed"]],
    [completedWith(""), "", ["placed 1 on 0", "completed"]],
    [aTask({ status: "failed", error: { code: "timeout", sentence: "Late." } }), "", ["failed"]],
    [{ ...completedWith("Hel"), status: "canceled" }, `${ID}:1:1`, ["token el", "canceled"]],
    [{ ...completedWith(""), status: "failed", result: null }, `${ID}:1:70`, ["failed"]],
  ];
  for (const [task, id, told] of cases) {
    tasks.tasks = [task];
    const response = await get(app, EVENTS, { ...AS.user, ...(id !== "" && { "last-event-id": id }) });
    assert.deepEqual(brief(parseEvents(response.body)), told, id);
  }
});

test("after the final event there is nothing, which a 204 tells an EventSource", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  const response = await get(app, EVENTS, { ...AS.user, "last-event-id": `${ID}:end` });
  assert.equal(response.statusCode, 204);
  assert.equal(response.body, "");
});

test("a Last-Event-ID that no event of this task has is refused", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask()];
  const ids = [`${OTHER_ID}:1:0`, `${OTHER_ID}:end`, "nonsense", `${ID}`, `${ID}:0:0`, `${ID}:1:-1`, `${ID}:1:x`];
  for (const id of [...ids, `${ID}:1:1e9`, `${ID}:1:0x`, `x${ID}:1:0`]) {
    const sentence = refusal(await get(app, EVENTS, { ...AS.user, "last-event-id": id }), 400, "invalid_input");
    assert.match(sentence, /^Last-Event-ID must be the id of an event of this task, like "123e.*:1:42"; got ".*\.$/);
  }
  assert.deepEqual(tasks.followed, []);
});

test("only who may see a task may follow it", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask(), aCompletedTask({ id: OTHER_ID, user: "somebody" })];
  refusal(await get(app, `/task/${OTHER_ID}/events`), 404, "not_found");
  refusal(await get(app, `/task/${UNKNOWN_ID}/events`), 404, "not_found");
  refusal(await get(app, "/task/nonsense/events"), 404, "not_found");
  refusal(await get(app, EVENTS, {}), 401, "unauthorized");
  assert.deepEqual(tasks.followed, []);
  assert.equal((await get(app, `/task/${OTHER_ID}/events`, AS.viewer)).statusCode, 200);
  assert.equal((await get(app, `/task/${OTHER_ID}/events`, AS.admin)).statusCode, 200);
});

test("a HEAD gets the headers and follows nothing", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask()];
  tasks.runs.set(ID, new FakeRun());
  const response = await app.inject({ method: "HEAD", url: API + EVENTS, headers: AS.user });
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers["content-type"], "text/event-stream; charset=utf-8");
  assert.deepEqual(tasks.followed, []);
});

test("a task that ends between being found and being followed is told all the same", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask({ status: "running" })];
  tasks.follow = () => {
    tasks.tasks = [completedWith("quick")];
    return null;
  };
  assert.deepEqual(brief(parseEvents((await get(app, EVENTS)).body)), ["placed 1 on 0", "token quick", "completed"]);
  tasks.tasks = [aTask({ status: "running" })];
  tasks.follow = () => {
    tasks.tasks = [];
    return null;
  };
  assert.equal(refusal(await get(app, EVENTS), 404, "not_found"), `There is no task ${ID} any more.`);
});

test("a server that stops ends the stream without a final event, so that the client comes back", async (t) => {
  const { run, open } = await followable(t);
  const client = await open();
  run.place(1);
  run.close();
  assert.deepEqual(brief(await client.rest()), ["placed 1 on 0"]);
});

test("a client that leaves is heard of, and its task goes on", async (t) => {
  const { run, tasks, open } = await followable(t);
  const client = await open();
  run.place(1);
  await client.next();
  const stopped = once(run, "stopped");
  client.leave();
  await stopped;
  assert.equal(run.readers.size, 0);
  assert.deepEqual(tasks.canceled, []);
});

test("a client that has left before its task was found is not followed for", async (t) => {
  const { app, tasks, sockets, open } = await followable(t);
  const found = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const task = tasks.tasks[0]!;
  tasks.get = async () => {
    asked.resolve();
    await found.promise;
    return task;
  };
  const opening = open();
  opening.catch(() => {});
  await asked.promise;
  const closed = once(sockets[0]!, "close");
  sockets[0]!.destroy();
  await closed;
  found.resolve();
  assert.equal((await get(app, "/gpus")).statusCode, 200);
  assert.deepEqual(tasks.followed, []);
});

/** Bytes that the server holds for a reader that does not read. */
function heldFor(sockets: Socket[]): number {
  return Math.max(...sockets.map((socket) => socket.writableLength));
}

function textOf(events: readonly ServerEvent[]): string {
  return events.filter(({ event }) => event === "token").reduce((text, { data }) => text + String(data["text"]), "");
}

test("a reader that does not read costs its position, and gets all of the text when it does", async (t) => {
  const { run, sockets, open } = await followable(t);
  const client = await open();
  run.place(1);
  const pieces = Array.from({ length: 300 }, (_, i) => `${i}:${"x".repeat(10_000)} `);
  for (const piece of pieces) run.say(piece);
  assert.ok(heldFor(sockets) < 1_000_000, `${heldFor(sockets)} bytes are held`);
  run.end(completedWith(pieces.join("")));
  const events = await client.rest();
  assert.ok(textOf(events) === pieces.join(""), "the text is not the same");
  assert.ok(events.length < 100, `${events.length} events for what could go out as a few`);
  assert.deepEqual([events.at(0)!.event, events.at(-1)!.event], ["placed", "completed"]);
});

test("a reader that was held up hears of a new attempt before its text, and of the end once", async (t) => {
  const { run, sockets, open } = await followable(t);
  const client = await open();
  run.place(1);
  while (heldFor(sockets) === 0 || !sockets[0]!.writableNeedDrain) run.say("x".repeat(1_000_000));
  run.say("never heard");
  run.requeue();
  run.place(2, 1);
  run.say("again");
  assert.equal((await client.next())!.event, "placed");
  const told: ServerEvent[] = [];
  while (told.at(-1)?.data["text"] !== "again") told.push((await client.next())!);
  assert.ok(told.slice(0, -2).every(({ data }) => /^x+$/.test(String(data["text"]))));
  assert.deepEqual(brief(told.slice(-2)), ["placed 2 on 1", "token again"]);
  run.end(completedWith("again", 2));
  assert.deepEqual(brief(await client.rest()), ["completed"]);
});

test("a task that ends while its reader is held up is told to the end", async (t) => {
  const { run, sockets, open } = await followable(t);
  const client = await open();
  run.place(1);
  let text = "";
  while (!sockets[0]!.writableNeedDrain) {
    run.say("x".repeat(1_000_000));
    text += "x".repeat(1_000_000);
  }
  run.end(completedWith(`${text}rest`));
  const events = await client.rest();
  assert.ok(textOf(events) === `${text}rest`);
  assert.deepEqual(brief(events.slice(-2)), ["token rest", "completed"]);
});

// --- POST /predict with "stream": true ----------------------------------------------------------------------------

function openPredict(port: number, body: object, headers: Record<string, string> = {}): Promise<LiveClient> {
  return LiveClient.open(port, `${API}/predict`, {
    method: "POST",
    headers: { ...AS.user, "content-type": "application/json", ...headers },
    body: JSON.stringify({ text: "x", ...body }),
  });
}

test("predict with stream answers with the task's events, and says where else it is", async (t) => {
  const { run, tasks, port } = await followable(t);
  // With both, the stream wins.
  const client = await openPredict(port, { stream: true }, { prefer: "wait=30" });
  assert.equal(client.status, 200);
  assert.equal(client.headers["content-type"], "text/event-stream; charset=utf-8");
  assert.equal(client.headers["x-task-id"], ID);
  assert.equal(client.headers.location, `/api/v1/task/${ID}`);
  assert.equal(client.headers["preference-applied"], undefined);
  run.place(1);
  run.say("hi");
  run.end(completedWith("hi"));
  assert.deepEqual(brief(await client.rest()), ["placed 1 on 0", "token hi", "completed"]);
  assert.equal(tasks.waits.length, 0);
});

test("a submission that is refused is refused as JSON, also when a stream was asked for", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.failure = new AltLasError("queue_full", "Full.", { retryAfter: 3 });
  const response = await post(app, "/predict", { text: "x", stream: true });
  assert.equal(refusal(response, 503, "queue_full"), "Full.");
  assert.equal(response.headers["retry-after"], "3");
  refusal(await post(app, "/predict", { stream: true }), 400, "invalid_input");
});

test("a repeated request streams the first one's task", async (t) => {
  const { run, tasks, port } = await followable(t);
  tasks.submission = { ...tasks.submission, replayed: true };
  const client = await openPredict(port, { stream: true }, { "idempotency-key": "a" });
  assert.equal(client.headers["idempotent-replayed"], "true");
  run.place(1);
  run.end(completedWith(""));
  assert.deepEqual(brief(await client.rest()), ["placed 1 on 0", "completed"]);
  assert.deepEqual(tasks.followed, [ID]);
});

test("a client that leaves cancels its task only when it has asked for that", async (t) => {
  const { run, tasks, port } = await followable(t);
  for (const cancel_on_disconnect of [false, true]) {
    const client = await openPredict(port, { stream: true, cancel_on_disconnect });
    const stopped = once(run, "stopped");
    client.leave();
    await stopped;
    assert.deepEqual(tasks.canceled, cancel_on_disconnect ? [ID] : []);
  }
});

test("neither the end of a task nor a server that stops is taken for a client that leaves", async (t) => {
  const { run, tasks, sockets, port } = await followable(t);
  for (const finish of [() => run.end(completedWith("")), () => run.close()]) {
    const client = await openPredict(port, { stream: true, cancel_on_disconnect: true }, { connection: "close" });
    const closed = once(sockets.at(-1)!, "close");
    finish();
    await client.rest();
    client.leave();
    await closed;
  }
  assert.deepEqual(tasks.canceled, []);
});

test("a task that has just ended need not be canceled, and any other trouble is logged", async (t) => {
  const { app, run, tasks, log, port } = await followable(t);
  const failures = [new AltLasError("conflict", "It has ended."), new AltLasError("store_unavailable", "Disk full.")];
  for (const failure of failures) {
    tasks.onCancel = () => {
      throw failure;
    };
    const client = await openPredict(port, { stream: true, cancel_on_disconnect: true });
    const stopped = once(run, "stopped");
    client.leave();
    await stopped;
  }
  // A whole request later, what had to be logged is.
  await get(app, "/gpus");
  assert.equal(tasks.canceled.length, 2);
  const errors = log.filter((line) => line.includes('"level":50'));
  assert.equal(errors.length, 1);
  assert.match(errors[0]!, /Disk full.*a task whose client has left could not be canceled/);
});

test("cancel_on_disconnect holds for Prefer: wait too", async (t) => {
  const { tasks, port, sockets } = await followable(t);
  const waiting = Promise.withResolvers<void>();
  tasks.onWait = async (_id, signal) => {
    waiting.resolve();
    await once(signal, "abort");
    return aTask({ status: "running" });
  };
  const canceled = Promise.withResolvers<string>();
  tasks.onCancel = canceled.resolve;
  const opening = openPredict(port, { cancel_on_disconnect: true }, { prefer: "wait=300" });
  opening.catch(() => {});
  await waiting.promise;
  sockets[0]!.destroy();
  assert.equal(await canceled.promise, ID);
});

test("a wait that is over, or cut short by a server that stops, cancels nothing", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask({ status: "running" })];
  const body = { text: "x", cancel_on_disconnect: true };
  const response = await post(app, "/predict", body, { ...AS.user, prefer: "wait=1" });
  assert.equal(response.json<{ status: string }>().status, "running");
  assert.deepEqual(tasks.kept, [ID], "it goes on without its client, who may ask for it later");
  await post(app, "/predict", body);
  assert.deepEqual(tasks.canceled, []);
  assert.deepEqual(
    tasks.submitted.map(({ options }) => options.endsWithClient),
    [true, false],
    "whoever is answered at once has no connection that could close",
  );
});
