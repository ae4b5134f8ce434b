/* How many tasks a second the store takes from acceptance to completion: node bench/store.ts [tasks] [folder] */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { type Task, TASK_STATUSES, transition } from "../src/task.ts";
import { completionOf, factsOf } from "../src/request.ts";

const COUNT = Number(process.argv[2] ?? 100_000);
/** Tasks alive at a time: what 64 clients with 16 requests each keep in flight. */
const IN_FLIGHT = 1024;
const REQUEST = completionOf("Write a poem about the sea. ".repeat(8));
const folder = mkdtempSync(join(process.argv[3] ?? tmpdir(), "alt-las-bench-"));
const path = join(folder, "tasks.db");
/** Milliseconds of each save. */
const waits: number[] = [];

try {
  await measureLife();
  await measureReads();
} finally {
  rmSync(folder, { recursive: true });
}

async function measureLife(): Promise<void> {
  const store = new SqliteStore({ path });
  await store.open();
  let next = 0;
  const started = performance.now();
  const idle = performance.eventLoopUtilization();
  const cpu = process.cpuUsage();
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      while (next < COUNT) await live(store, ++next);
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  const { utilization } = performance.eventLoopUtilization(idle);
  const { user, system } = process.cpuUsage(cpu);
  const { transactions, inserts, updates } = store.written;
  console.log(
    `${Math.round(COUNT / seconds)} tasks/s from save to completed (${COUNT} tasks in ${seconds.toFixed(1)} s)`,
  );
  console.log(`${transactions} transactions of ${Math.round((inserts + updates) / transactions)} rows`);
  console.log(
    `event loop ${Math.round(utilization * 100)} % busy, ${((user + system) / 1e6).toFixed(1)} s of CPU in all`,
  );
  waits.sort((a, b) => a - b);
  const [median, p99, longest] = [0.5, 0.99, 1].map((share) => waits[Math.ceil(waits.length * share) - 1]?.toFixed(1));
  console.log(`a save takes ${median} ms (median), ${p99} ms (p99), ${longest} ms (longest)`);
  await store.close();
}

/** One task: accepted, then at once started and completed. */
async function live(store: SqliteStore, seq: number): Promise<void> {
  const task = newTask(seq);
  await save(store, task);
  transition(task, "completed");
  task.finishedAt = Date.now();
  task.finishedClock = task.finishedAt;
  Object.assign(task.attempts[0] ?? {}, { endedAt: Date.now(), reason: "completed" });
  task.result = {
    text: "The sea is wide and blue, ".repeat(10),
    executionTime: 0.5,
    timestamp: Date.now(),
    finishReason: "stop",
    promptTokens: 40,
    completionTokens: 60,
    cachedTokens: 0,
  };
  await save(store, task);
}

async function save(store: SqliteStore, task: Task): Promise<void> {
  const started = performance.now();
  await store.save([task]);
  waits.push(performance.now() - started);
}

async function measureReads(): Promise<void> {
  const store = new SqliteStore({ path });
  const { lastSeq } = await timed("open", () => store.open());
  const all = { user: undefined, status: undefined, limit: 100, offset: 0 };
  const { tasks } = await timed("list 100, newest", () => store.tasks.list(all));
  await timed("list 1000, newest", () => store.tasks.list({ ...all, limit: 1000 }));
  await timed("list 100 of a user", () => store.tasks.list({ ...all, user: "user1" }));
  for (const status of TASK_STATUSES) await timed(`list 100 ${status}`, () => store.tasks.list({ ...all, status }));
  await timed("list 100 completed of a user", () => store.tasks.list({ ...all, user: "user1", status: "completed" }));
  await timed("list 100, oldest", () => store.tasks.list({ ...all, offset: lastSeq - 100 }));
  await timed("list 100 oldest of a user", () =>
    store.tasks.list({ ...all, user: "user1", offset: Math.floor(lastSeq / 10) - 100 }),
  );
  const middle = Math.floor(lastSeq / 2);
  await timed("list 100 below the middle", () => store.tasks.list({ ...all, after: middle }));
  await timed("list 100 of a user below the middle", () => store.tasks.list({ ...all, user: "user1", after: middle }));
  await timed("list 100 of a type, all windows", () => store.tasks.list({ ...all, taskType: "summary" }));
  await timed("list 100 on a GPU, all windows", () => store.tasks.list({ ...all, gpuId: 0 }));
  await timed("list 100 of a user on a GPU, all windows", () => store.tasks.list({ ...all, user: "user1", gpuId: 0 }));
  await timed("get", () => store.tasks.get(tasks[0]?.id ?? ""));
  const nothing = { endedBefore: 0, maxEnded: null, keysBefore: 0, usageBefore: 0 };
  await timed("a sweep with nothing to do", () => store.sweep(nothing));
  await timed("one step of a sweep", () => store.sweep({ ...nothing, maxEnded: middle }));
  await timed("close", () => store.close());
}

async function timed<T>(name: string, action: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const value = await action();
  console.log(`${name}: ${(performance.now() - started).toFixed(1)} ms`);
  return value;
}

function newTask(seq: number): Task {
  const createdAt = Date.now();
  return {
    id: randomUUID(),
    seq,
    keyName: null,
    team: null,
    use: null,
    user: `user${seq % 10}`,
    strategy: "least_loaded",
    pinnedGpuId: null,
    batchId: null,
    wholeBatch: false,
    endsWithClient: false,
    createdAt,
    createdClock: createdAt,
    waitsSince: createdAt,
    ...factsOf(REQUEST),
    request: REQUEST,
    sampling: REQUEST.sampling,
    taskType: seq % 100 === 0 ? "summary" : "text_generation",
    priority: "normal",
    timeoutSeconds: null,
    model: null,
    texts: "keep",
    ranModel: null,
    retryOf: null,
    webhook: null,
    status: "running",
    boundTo: null,
    gpuId: 0,
    startedAt: Date.now(),
    finishedAt: null,
    finishedClock: null,
    attempts: [{ gpuId: 0, startedAt: Date.now(), endedAt: null, reason: null }],
    placement: {
      strategy: "least_loaded",
      gpuId: 0,
      reason: "lowest load 0.13 of 4 GPUs",
      candidates: [0, 1, 2, 3].map((gpuId) => ({ gpuId, score: gpuId / 4 })),
      others: { busy: 2 },
    },
    result: null,
    error: null,
  };
}
