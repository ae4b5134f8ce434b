/** Batches whose tasks come little by little, from the lines of a file: what the task book does with the lines that it is given. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { unset } from "../src/common/clock.ts";
import { type SchedulerSettings } from "../src/scheduler/effects.ts";
import { completionOf } from "../src/request.ts";
import { type Store } from "../src/store/store.ts";
import { type RunSink, type Task } from "../src/task.ts";
import { type LineTask } from "../src/tasks/feed-api.ts";
import { TaskBook } from "../src/tasks/task-book.ts";
import { Output } from "../src/output.ts";
import { COMPLETED, facts, gpuOf, SETTINGS } from "./helpers/scheduling.ts";
import { type MakePlace, STORES } from "./helpers/store.ts";

const NEVER = new AbortController().signal;
const SQLITE: MakePlace = STORES["SqliteStore"]!;

/** A server with one slot; its tasks run until the test ends them. */
async function world(t: TestContext, settings: Partial<SchedulerSettings> = {}) {
  const open = SQLITE(t);
  let store: Store;
  let tasks: TaskBook;
  const running = new Map<Task, RunSink>();
  const start = async (): Promise<void> => {
    store = open();
    running.clear();
    tasks = new TaskBook({
      store,
      log: pino({ level: "silent" }),
      settings: { ...SETTINGS, ...settings },
      clock: unset(Date.now),
      timeout: null,
      cancelTimeout: 5,
      load: () => {},
      unload: () => {},
      modelOfTaskType: () => null,
      modelMeantBy: (name) => name,
      run: (_instance, task, _request, sink) => {
        running.set(task, sink);
        return new Output();
      },
      cancel: (_gpuId, task) => queueMicrotask(() => running.get(task)!.ended({ status: "canceled" })),
      webhooks: { ofTask: () => [], ofBatch: () => [], wake: () => {} },
    });
    const opened = await store.open();
    tasks.scheduler.setGpu(gpuOf(facts(0, { slots: 1 })));
    tasks.restore(opened);
  };
  await start();
  t.after(() => tasks.close());
  return {
    get tasks() {
      return tasks;
    },
    get store() {
      return store;
    },
    running,
    /** Ends the running task, and waits until that is on disk. */
    end: async (): Promise<void> => {
      const [[task, sink]] = [...running] as [[Task, RunSink]];
      running.delete(task);
      sink.ended(COMPLETED);
      await tasks.wait(task.id, 10, NEVER);
    },
    restart: async (): Promise<void> => {
      await tasks.close();
      await start();
    },
    open: async (size: number) => (await tasks.feeding.open({ id: "b", user: "ada", team: null, size }, 0, [])).id,
    counts: async () => (await tasks.batch("b"))?.counts,
  };
}

function line(index: number, changes: Partial<LineTask["input"]> = {}): LineTask {
  const input = {
    request: completionOf(`line ${index}`),
    taskType: "",
    priority: "low",
    timeoutSeconds: null,
  } as const;
  return {
    index,
    input: { ...input, model: null, note: `note ${index}`, ...changes },
    strategy: "random",
    pinnedGpuId: null,
  };
}

function chunkOf(tasks: readonly LineTask[], refused = 0, place = 0) {
  return { tasks, refused, place, keyName: "key", deadline: Date.now() + 1e6 };
}

test("lines become tasks little by little; the index of a task is that of its line, whatever comes in between", async (t) => {
  const { tasks, store, open, counts, end } = await world(t);
  await open(4);
  assert.deepEqual(await counts(), { queued: 4, running: 0, completed: 0, failed: 0, canceled: 0 });
  await tasks.feeding.feed("b", chunkOf([line(0), line(1)], 0, 20), () => []);
  const other = { user: "ada", keyName: null, team: null, strategy: "random", pinnedGpuId: null, batch: null } as const;
  const { tasks: submitted } = await tasks.submit([line(9).input], { ...other, webhook: null, idempotency: null });
  await tasks.feeding.feed("b", chunkOf([line(3)], 1, 40), () => []);
  const { batch } = (await tasks.batch("b"))!;
  assert.deepEqual(batch.lines, { toCome: 0, failed: 1, canceled: 0, place: 40, closed: null });
  assert.deepEqual(await counts(), { queued: 2, running: 1, completed: 0, failed: 1, canceled: 0 });
  assert.equal((await tasks.get(submitted[0]!.id))!.seq, batch.firstSeq + 4);
  assert.deepEqual(
    [...(await store.tasks.notes([0, 1, 2, 3].map((index) => batch.firstSeq + index))).values()],
    ["note 0", "note 1", "note 3"],
  );
  const ended = tasks.feeding.end("b", NEVER);
  for (let left = 4; left > 0; left--) await end();
  assert.equal(await ended, true);
  const results = await Array.fromAsync(tasks.batchResults("b", false, NEVER));
  assert.deepEqual(
    results.map(({ seq, keyName }) => [seq - batch.firstSeq, keyName]),
    [0, 1, 3].map((index) => [index, "key"]),
  );
});

test("a line that no GPU could ever do is refused alone; a batch of refused lines ends with the last of them", async (t) => {
  const { tasks, open, counts } = await world(t);
  await open(2);
  const refused: string[] = [];
  const chunk = chunkOf([line(0, { model: "nothing" }), line(1, { model: "nothing" })]);
  await tasks.feeding.feed("b", chunk, (lines) => {
    for (const { index, error } of lines) refused.push(`${index} ${error.code} ${error.message}`);
    return [];
  });
  assert.deepEqual(
    refused.map((one) => one.slice(0, 18)),
    ["0 model_not_found ", "1 model_not_found "],
  );
  assert.ok(!refused[0]!.includes("batch["), refused[0]);
  assert.deepEqual(await counts(), { queued: 0, running: 0, completed: 0, failed: 2, canceled: 0 });
  assert.equal(await tasks.feeding.end("b", NEVER), true);
  assert.equal((await tasks.batch("b"))!.status, "completed");
});

test("what does not fit into the queue leaves everything as it was", async (t) => {
  const { tasks, open, counts, running } = await world(t, { maxQueueSize: 1 });
  await open(3);
  const all = chunkOf([line(0), line(1), line(2)], 0, 60);
  await assert.rejects(
    tasks.feeding.feed("b", all, () => []),
    { code: "queue_full" },
  );
  assert.equal(running.size, 0);
  assert.equal(tasks.feeding.lines("b")!.toCome, 3);
  await tasks.feeding.feed("b", chunkOf([line(0)], 0, 20), () => []);
  assert.deepEqual(await counts(), { queued: 2, running: 1, completed: 0, failed: 0, canceled: 0 });
});

test("a restart goes on with the lines that were yet to come", async (t) => {
  const made = await world(t);
  await made.open(3);
  await made.tasks.feeding.feed("b", chunkOf([line(0)], 1, 33), () => []);
  await made.restart();
  assert.deepEqual(made.tasks.feeding.lines("b"), { toCome: 1, failed: 1, canceled: 0, place: 33, closed: null });
  await made.tasks.feeding.feed("b", chunkOf([line(2)], 0, 50), () => []);
  const ended = made.tasks.feeding.end("b", NEVER);
  await made.end();
  await made.end();
  assert.equal(await ended, true);
  assert.deepEqual(await made.counts(), { queued: 0, running: 0, completed: 2, failed: 1, canceled: 0 });
});

test("a canceled batch gets no more tasks: its lines to come are canceled, and can only be refused", async (t) => {
  const { tasks, open, counts } = await world(t);
  await open(5);
  await tasks.feeding.feed("b", chunkOf([line(0), line(1)]), () => []);
  const room = tasks.feeding.room("b", NEVER);
  assert.ok((await room) > 0);
  const filter = { ids: undefined, user: undefined, status: undefined };
  assert.equal(await tasks.cancelMatching({ ...filter, user: "bob" }), 0);
  assert.equal(await tasks.cancelMatching({ ...filter, batchId: "b" }), 5);
  assert.equal(await tasks.feeding.room("b", NEVER), 0);
  assert.deepEqual(await counts(), { queued: 0, running: 0, completed: 0, failed: 0, canceled: 5 });
  await assert.rejects(
    tasks.feeding.feed("b", chunkOf([line(2)]), () => []),
    { code: "conflict" },
  );
  await tasks.feeding.feed("b", chunkOf([], 3), () => []);
  assert.equal(await tasks.feeding.end("b", NEVER), true);
  const { status, batch } = (await tasks.batch("b"))!;
  assert.deepEqual([status, batch.lines!.canceled], ["canceled", 3]);
});

test("there is room for more lines when half of those that may wait have ended", async (t) => {
  const { tasks, open, end } = await world(t, { maxQueueSize: 20 });
  await open(100);
  // The slot is for one, and a queue that is more than half full has room for sixteen of one batch.
  await tasks.feeding.feed("b", chunkOf(Array.from({ length: 12 }, (_, index) => line(index))), () => []);
  let room: number | null = null;
  const waited = tasks.feeding.room("b", NEVER).then((count) => (room = count));
  for (let left = 12; left > 9; left--) await end();
  assert.equal(room, null);
  await end();
  assert.equal(await waited, 8);
  const leaving = new AbortController();
  await tasks.feeding.feed("b", chunkOf(Array.from({ length: 12 }, (_, index) => line(12 + index))), () => []);
  const left = tasks.feeding.room("b", leaving.signal);
  leaving.abort();
  assert.equal(await left, 0);
});
