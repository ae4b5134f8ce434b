/** Answers that nobody reads, or that are long. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AltLasError } from "../src/errors.ts";
import { type TaskSnapshot } from "../src/tasks/task-api.ts";
import {
  aBatch,
  aCompletedTask,
  API,
  AS,
  aTask,
  BATCH_ID,
  DONE,
  FakeRun,
  get,
  ID,
  KEYS,
  listening,
  OTHER_ID,
  refusal,
  testConfig,
  testServer,
  UNKNOWN_ID,
} from "./helpers/http.ts";

const MIB = 2 ** 20;

function withText(text: string, fields: Partial<TaskSnapshot> = {}): TaskSnapshot {
  const task = aCompletedTask(fields);
  return { ...task, result: { ...task.result!, text } };
}

/** Asks and reads nothing; `closed` resolves when the server breaks the connection off. */
function silent(t: TestContext, port: number, path: string): { socket: Socket; closed: Promise<void> } {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  t.after(() => socket.destroy());
  socket.pause();
  socket.on("error", () => {});
  socket.write(`GET ${API}${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${KEYS.user}\r\n\r\n`);
  // Paused, it sees no end: what is written to it does.
  return { socket, closed: new Promise((resolve) => socket.once("close", () => resolve())) };
}

test("a long list is sent part by part, and is the same as one that is sent whole", async (t) => {
  const { app, tasks } = testServer(t);
  const all = [
    aCompletedTask({ seq: 9 }),
    // Of one that waits it would say how long, which grows.
    aTask({ id: OTHER_ID, seq: 7, status: "running", startedAt: DONE }),
    withText('"é\u2028\ud83d\ude00', { id: UNKNOWN_ID, seq: 4 }),
  ];
  tasks.tasks = all;
  const whole = await get(app, "/tasks?limit=3&status=completed");
  tasks.parts = [
    { tasks: all.slice(0, 1), total: 3, more: true },
    { tasks: all.slice(1, 2), total: 0, more: true },
    { tasks: all.slice(2), total: 0 },
  ];
  const parts = await get(app, "/tasks?limit=3&status=completed");
  assert.equal(parts.body, whole.body);
  assert.equal(parts.headers["content-type"], whole.headers["content-type"]);
  assert.deepEqual(
    tasks.filters.slice(1).map(({ after, limit, status }) => [after, limit, status]),
    [
      [undefined, 3, "completed"],
      [9, 2, "completed"],
      [7, 1, "completed"],
    ],
  );
  tasks.parts = [
    { tasks: all.slice(0, 2), total: 3, more: true },
    { tasks: [], total: 0 },
  ];
  const { tasks: left, next } = (await get(app, "/tasks?limit=3")).json<{ tasks: object; next: string | null }>();
  assert.deepEqual([Object.keys(left), next], [[ID, OTHER_ID], null]);
  tasks.parts = [{ tasks: all, total: 3, more: true }];
  const head = await app.inject({ method: "HEAD", url: `${API}/tasks`, headers: AS.user });
  assert.deepEqual([head.statusCode, head.body], [200, ""]);
});

test("a list that cannot be read to its end breaks off", async (t) => {
  const { app, tasks } = testServer(t);
  const port = await listening(app);
  let asked = 0;
  tasks.list = async () => {
    if (asked++ > 0) throw new AltLasError("store_unavailable", "the disk is gone");
    return { tasks: [withText("x".repeat(100_000))], total: 2, more: true };
  };
  const client = request({ port, path: `${API}/tasks`, headers: AS.user }).end();
  const [response] = (await once(client, "response")) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  await assert.rejects(once(response.resume(), "end"), /aborted/);
});

test("a reader that takes nothing for 30 seconds is cut off, whatever it asked for, and costs no more than a part until then", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const { app, tasks } = testServer(t);
  const long = withText("x".repeat(16 * MIB));
  tasks.batches = [aBatch()];
  const sent: number[] = [];
  tasks.results = (function* () {
    while (sent.length < 100) yield withText("y".repeat(MIB), { seq: sent.push(1) });
  })();
  tasks.parts = Array.from({ length: 100 }, (_, index) => ({
    tasks: [withText("z".repeat(MIB), { seq: 100 - index })],
    total: 100,
    more: true as const,
  }));
  tasks.tasks = [long];
  const run = new FakeRun();
  const port = await listening(app);
  const answers: IncomingMessage[] = [];
  app.server.on("request", (asked: IncomingMessage) => answers.push(asked));
  const paths = [`/task/${ID}`, "/tasks?limit=1000", `/batch/${BATCH_ID}/results`, `/task/${ID}/events`];
  const readers = paths.map((path) => silent(t, port, path));
  while (answers.length < paths.length || tasks.filters.length === 0 || sent.length === 0) await nextTurn();
  const open = answers.map(({ socket }) => socket);
  const closed = Promise.all(open.map((socket) => once(socket, "close")));
  // One that waits for its task has nothing to take, and stays.
  tasks.runs.set(ID, run);
  const waiting = silent(t, port, `/task/${ID}/events`);
  await once(run, "followed");
  while (open.some(({ destroyed }) => !destroyed)) {
    t.mock.timers.tick(5000);
    for (let turn = 0; turn < 20; turn++) await nextTurn();
  }
  await closed;
  assert(
    sent.length < 50 && tasks.filters.length < 50,
    `${sent.length} results and ${tasks.filters.length} parts were read`,
  );
  assert.equal(run.readers.size, 1);
  for (const { socket } of [...readers, waiting]) socket.destroy();
});

test("large answers of one caller that nobody has read have a bound, and are a 429 beyond it", async (t) => {
  const config = testConfig(
    "limits: { max_text_bytes: 1000, max_batch_size: 10, max_body_bytes: 1024, max_open_bytes: 40000000 }\n",
  );
  const { app, tasks } = testServer(t, config);
  tasks.tasks = [withText("x".repeat(9_000_000)), withText("y", { id: OTHER_ID })];
  const port = await listening(app);
  const readers = [silent(t, port, `/task/${ID}`), silent(t, port, `/task/${ID}`)];
  const ends: Promise<unknown>[] = [];
  app.server.on("request", (_request, response: IncomingMessage) => {
    ends.push(once(response, "close"));
  });
  while (ends.length < 2) await nextTurn();
  await nextTurn();
  assert.match(refusal(await get(app, `/task/${ID}`), 429, "rate_limited"), /limits\.max_open_bytes/);
  assert.equal((await get(app, `/task/${OTHER_ID}`)).statusCode, 200);
  assert.equal((await get(app, `/task/${ID}`, AS.admin)).statusCode, 200);
  for (const { socket } of readers) socket.destroy();
  await Promise.all(ends);
  assert.equal((await get(app, `/task/${ID}`)).statusCode, 200);
});

test("one caller may have so many requests open, waits and readers among them, and one more is a 429", async (t) => {
  const { app, tasks } = testServer(t, testConfig("limits: { max_open_requests: 3 }\n"));
  tasks.tasks = [aTask()];
  const run = new FakeRun();
  tasks.runs.set(ID, run);
  const port = await listening(app);
  tasks.onWait = async (_id, signal) => {
    if (!signal.aborted) await once(signal, "abort");
    return aTask();
  };
  const wait = silent(t, port, `/task/${ID}?wait=300`);
  silent(t, port, `/task/${ID}?wait=300`);
  const follow = silent(t, port, `/task/${ID}/events`);
  while (tasks.waits.length < 2 || run.readers.size === 0) await nextTurn();
  assert.match(
    refusal(await get(app, "/gpus"), 429, "rate_limited"),
    /^user has 3 requests open, and limits\.max_open_requests/,
  );
  assert.equal((await get(app, "/gpus", AS.admin)).statusCode, 200);
  const stopped = once(run, "stopped");
  follow.socket.resetAndDestroy();
  await stopped;
  assert.equal((await get(app, "/gpus")).statusCode, 200);
  wait.socket.destroy();
});
