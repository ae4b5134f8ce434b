import assert from "node:assert/strict";
import { type Socket } from "node:net";
import { test } from "node:test";
import { type TaskSnapshot } from "../src/tasks/task-api.ts";
import { LiveClient } from "./helpers/events.ts";
import {
  aBatch,
  aCompletedTask,
  API,
  AS,
  aTask,
  BATCH_ID,
  DONE,
  get,
  ID,
  listening,
  OTHER_ID,
  post,
  postNothing,
  refusal,
  testServer,
  UNKNOWN_ID,
} from "./helpers/http.ts";

const BATCH = `/batch/${BATCH_ID}`;

test("a batch says how far it is", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch()];
  assert.deepEqual((await get(app, `/batch/${BATCH_ID.toUpperCase()}`)).json(), {
    batch_id: BATCH_ID,
    status: "running",
    total: 3,
    size: 3,
    counts: { queued: 0, running: 1, completed: 1, failed: 0, canceled: 1 },
    progress: 2 / 3,
    created_at: "2025-08-10T12:34:55.789Z",
    finished_at: null,
  });
});

test("tasks that were removed had ended", async (t) => {
  const { app, tasks } = testServer(t);
  const { batch } = aBatch();
  tasks.batches = [
    aBatch({
      batch: { ...batch, size: 10, finishedAt: DONE },
      counts: { queued: 0, running: 0, completed: 4, failed: 0, canceled: 0 },
      status: "completed",
    }),
  ];
  const view = (await get(app, BATCH)).json<Record<string, unknown>>();
  assert.deepEqual([view["total"], view["size"], view["progress"], view["status"]], [4, 10, 1, "completed"]);
  assert.equal(view["finished_at"], "2025-08-10T12:34:56.789Z");
});

test("a batch is seen by its user and by the other roles, and changed by no viewer", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch({ batch: { ...aBatch().batch, user: "somebody" } })];
  const hidden = `There is no batch ${BATCH_ID}, or it belongs to somebody else.`;
  for (const path of [BATCH, `${BATCH}/results`, `${BATCH}/webhooks`]) {
    assert.equal(refusal(await get(app, path), 404, "not_found"), hidden);
    assert.equal((await get(app, path, AS.viewer)).statusCode, 200);
    assert.equal((await get(app, path, AS.admin)).statusCode, 200);
  }
  assert.equal(refusal(await post(app, `${BATCH}/cancel`, {}), 404, "not_found"), hidden);
  refusal(await post(app, `${BATCH}/cancel`, {}, AS.viewer), 403, "forbidden");
  assert.deepEqual(tasks.canceled, []);
  refusal(await get(app, `/batch/${UNKNOWN_ID}`), 404, "not_found");
  assert.equal(refusal(await get(app, "/batch/1"), 404, "not_found"), 'There is no batch "1"; a batch_id is a UUID.');
});

test("canceling a batch cancels what has not ended, and says how much that was", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch()];
  tasks.matching = 1;
  const response = await postNothing(app, `${BATCH}/cancel`);
  const seen = (await get(app, BATCH)).json<object>();
  assert.deepEqual(response.json(), { ...seen, canceled: 1 });
  assert.deepEqual(tasks.canceled, [{ ids: undefined, user: undefined, status: undefined, batchId: BATCH_ID }]);
});

test("a batch whose tasks have all ended cannot be canceled", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch({ status: "completed" })];
  const response = await post(app, `${BATCH}/cancel`, {});
  const sentence = refusal(response, 409, "conflict", { status: "completed" });
  assert.equal(sentence, `All tasks of the batch ${BATCH_ID} have ended already.`);
  // The last task ended by this very request.
  tasks.matching = 1;
  assert.equal((await post(app, `${BATCH}/cancel`, {})).statusCode, 200);
  // What can be canceled is being written just now: neither canceled nor ended.
  tasks.matching = 0;
  tasks.batches = [aBatch()];
  assert.equal((await post(app, `${BATCH}/cancel`, {})).json<{ canceled: number }>().canceled, 0);
});

test("results are a line for each task, in the order of their ends, with its place in the batch", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch({ batch: { ...aBatch().batch, firstSeq: 40 } })];
  tasks.results = [aCompletedTask({ seq: 42 }), aTask({ id: OTHER_ID, seq: 40, status: "canceled" })];
  tasks.tasks = [aCompletedTask()];
  const response = await get(app, `${BATCH}/results`);
  assert.equal(response.headers["content-type"], "application/x-ndjson; charset=utf-8");
  assert.equal(response.headers["x-accel-buffering"], "no");
  assert.ok(response.headers["x-request-id"]);
  const lines = response.body.split("\n");
  assert.equal(lines.pop(), "");
  const results = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.deepEqual(results[0], { index: 2, ...(await get(app, `/task/${ID}`)).json<object>() });
  assert.deepEqual([results[1]!["index"], results[1]!["task_id"], results[1]!["status"]], [0, OTHER_ID, "canceled"]);
  assert.equal(results.length, 2);
});

test("a line of results has no character at which any reader breaks a line", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch()];
  const task = aCompletedTask();
  const text = "a\u2028b\u2029c\u0085d";
  tasks.results = [{ ...task, result: { ...task.result!, text } }];
  const { body } = await get(app, `${BATCH}/results`);
  assert.doesNotMatch(body, /[\u0085\u2028\u2029]/);
  assert.equal((JSON.parse(body) as { result: { text: string } }).result.text, text);
});

test("results go on until the batch has ended, unless the client wants what is there", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch()];
  for (const query of ["", "?follow=true", "?follow=false"]) await get(app, `${BATCH}/results${query}`);
  assert.deepEqual(
    tasks.resultsAsked.map(({ id, follow }) => [id, follow]),
    [
      [BATCH_ID, true],
      [BATCH_ID, true],
      [BATCH_ID, false],
    ],
  );
  const sentence = refusal(await get(app, `${BATCH}/results?follow=maybe`), 400, "invalid_input");
  assert.equal(sentence, 'follow must be true or false; got "maybe".');
  const head = await app.inject({ method: "HEAD", url: `${API}${BATCH}/results`, headers: AS.user });
  assert.equal(head.statusCode, 200);
  assert.equal(tasks.resultsAsked.length, 3, "a HEAD reads nothing");
});

/** Results that a test lets come. */
function channel() {
  const waiting: ((result: IteratorResult<TaskSnapshot>) => void)[] = [];
  const results: AsyncIterable<TaskSnapshot> = {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise((resolve) => void waiting.push(resolve)),
      return: async () => ({ done: true, value: undefined }),
    }),
  };
  return { results, send: (value: TaskSnapshot) => waiting.shift()!({ done: false, value }), waiting };
}

test("a result arrives when it is there, and the headers before", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch()];
  const { results, send, waiting } = channel();
  tasks.results = results;
  const port = await listening(app);
  const client = await LiveClient.open(port, `${API}${BATCH}/results`, { headers: AS.user });
  assert.equal(client.status, 200);
  for (const seq of [3, 1]) {
    send(aCompletedTask({ seq }));
    assert.equal((JSON.parse((await client.until("\n"))!) as { index: number }).index, seq - 1);
  }
  waiting.shift()!({ done: true, value: undefined });
  assert.equal(await client.until("\n"), null);
});

test("results are read no faster than the client takes them, and no longer than it stays", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.batches = [aBatch()];
  const task = aCompletedTask();
  const large = { ...task, result: { ...task.result!, text: "x".repeat(100_000) } };
  const sockets: Socket[] = [];
  app.server.on("connection", (socket: Socket) => sockets.push(socket));
  let read = 0;
  const stalled = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  tasks.results = (async function* () {
    try {
      for (; read < 10_000; read++) {
        setImmediate(() => sockets[0]!.writableNeedDrain && stalled.resolve());
        yield large;
      }
    } finally {
      over.resolve();
    }
  })();
  const port = await listening(app);
  const client = await LiveClient.open(port, `${API}${BATCH}/results`, { headers: AS.user });
  await stalled.promise;
  assert.ok(read < 1000, `${read} results of 100 kB were read for a client that takes none`);
  assert.ok(sockets[0]!.writableLength < 10_000_000);
  assert.equal(tasks.resultsAsked[0]!.signal.aborted, false);
  client.leave();
  await over.promise;
  assert.equal(tasks.resultsAsked[0]!.signal.aborted, true);
});

test("results that cannot be read any further break the answer off, so that nobody takes them for all", async (t) => {
  const { app, tasks, log } = testServer(t);
  tasks.batches = [aBatch()];
  tasks.results = (async function* () {
    yield aCompletedTask();
    throw new Error("the disk is gone");
  })();
  const port = await listening(app);
  const client = await LiveClient.open(port, `${API}${BATCH}/results`, { headers: AS.user });
  await assert.rejects(async () => {
    while ((await client.until("\n")) !== null);
  }, /aborted/);
  assert.equal((await get(app, "/gpus")).statusCode, 200);
  assert.match(log.find((line) => line.includes('"level":50')) ?? "", /the disk is gone.*could not be sent/);
});
