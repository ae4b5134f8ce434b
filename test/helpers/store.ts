import { randomUUID } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { completionOf } from "../../src/request.ts";
import { SqliteStore } from "../../src/store/sqlite/sqlite.ts";
import type { Delivery } from "../../src/store/outbox.ts";
import type { Store } from "../../src/store/store.ts";
import type { ListedTask, TaskFilter } from "../../src/store/tasks.ts";
import { type Batch, newTask as freshTask, type Task, transition } from "../../src/task.ts";
import { removeFolder } from "./remove-folder.ts";
import { changed, type TaskChanges } from "./requests.ts";

/**
 * Makes an empty place for what a test stores, such as a folder, which goes with the test. Each call of what it returns makes a store over
 * what is in that place, of which at most one is open at a time.
 */
export type MakePlace = (t: TestContext) => () => Store;

/** Every store there is, by name: each is put through all the kits (test/kits/). */
export const STORES: Readonly<Record<string, MakePlace>> = {
  SqliteStore: (t) => {
    const path = join(testFolder(t), "tasks.db");
    return () => new SqliteStore({ path });
  },
};

export const EVERYTHING: TaskFilter = { user: undefined, status: undefined, limit: 1000, offset: 0 };

export type First = Awaited<ReturnType<Store["open"]>>;

export const EMPTY: First = {
  live: [],
  batches: [],
  lastSeq: 0,
  past: { recorded: null, newest: null },
  quarantinedTo: null,
};

export interface World {
  store: Store;
  /** What opening gave. */
  first: First;
  /** Closes the store and opens another over the same place. */
  restart: () => Promise<World>;
}

export async function opened(t: TestContext, make: MakePlace): Promise<World> {
  const open = make(t);
  const world: World = { store: open(), first: EMPTY, restart };
  world.first = await world.store.open();
  t.after(() => world.store.close());
  return world;

  async function restart(): Promise<World> {
    await world.store.close();
    world.store = open();
    world.first = await world.store.open();
    return world;
  }
}

/** A folder of the test's own, kept when the test fails. */
export function testFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-store-"));
  t.after(() => {
    if ((t as { passed?: boolean }).passed === true) removeFolder(folder);
    else t.diagnostic(`its folder: ${folder}`);
  });
  return folder;
}

export function newTask(seq: number, fields: TaskChanges = {}): Task {
  const identity: Parameters<typeof freshTask>[0] = {
    id: randomUUID(),
    seq,
    user: "ada",
    strategy: "least_loaded",
    pinnedGpuId: null,
    batchId: null,
    wholeBatch: false,
    createdAt: 1_700_000_000_000 + seq,
    request: completionOf(`prompt ${seq}`),
    taskType: "text_generation",
    priority: "normal",
    timeoutSeconds: null,
    model: null,
    retryOf: null,
    webhook: null,
  };
  return changed(freshTask(identity), fields);
}

export function run(task: Task): Task {
  transition(task, "running");
  task.gpuId = 3;
  task.startedAt = task.createdAt + 10;
  task.attempts.push({ gpuId: 3, startedAt: task.startedAt, endedAt: null, reason: null });
  task.placement = {
    strategy: "least_loaded",
    gpuId: 3,
    reason: "the lowest load",
    candidates: [{ gpuId: 3, score: 0.25 }],
    others: { busy: 2 },
  };
  return task;
}

export function complete(task: Task): Task {
  transition(task, "completed");
  task.finishedAt = task.createdAt + 500;
  task.finishedClock = task.finishedAt;
  const attempt = task.attempts.at(-1);
  if (attempt !== undefined) Object.assign(attempt, { endedAt: task.finishedAt, reason: "completed" });
  task.result = {
    text: `answer ${task.seq}`,
    executionTime: 0.49,
    timestamp: task.finishedAt,
    finishReason: "stop",
    promptTokens: 12,
    completionTokens: 34,
    cachedTokens: 0,
  };
  return task;
}

export function cancel(task: Task): Task {
  transition(task, "canceled");
  task.finishedAt = task.createdAt + 20;
  task.finishedClock = task.finishedAt;
  return task;
}

/** The batch that these tasks are, still running. */
export function newBatch(tasks: readonly Task[], fields: Partial<Batch> = {}): Batch {
  const { batchId, seq, createdAt } = tasks[0] as Task;
  return {
    id: batchId ?? "",
    user: "ada",
    team: null,
    firstSeq: seq,
    size: tasks.length,
    whole: false,
    webhook: null,
    createdAt,
    finishedAt: null,
    lines: null,
    ...fields,
  };
}

export function newDelivery(subject: string, fields: Partial<Delivery> = {}): Delivery {
  return {
    id: randomUUID(),
    subject,
    user: "ada",
    event: "task.completed",
    url: "https://example.org/hook",
    body: `{"task_id":"${subject}"}`,
    createdAt: 1_700_000_000_000,
    status: "pending",
    nextAt: 1_700_000_000_000,
    attempts: [],
    ...fields,
  };
}

/** The `seq`s of everything stored, newest first. */
export async function storedSeqs(store: Store): Promise<number[]> {
  const { tasks } = await store.tasks.list(EVERYTHING);
  return tasks.map((task) => task.seq);
}

/** A task as a store gives it when it is opened. */
export function withoutRequest(task: Task): Task {
  return { ...task, request: null };
}

/** A task with its request, as a store has both. */
export async function storedTask({ tasks }: Pick<Store, "tasks">, id: string): Promise<Task | null> {
  const task = await tasks.get(id);
  return task && { ...task, request: await tasks.request(task.seq) };
}

/** A task as a list has it. */
export function withoutText(task: Task): ListedTask {
  const { request: _request, size: _size, estimatedTokens: _tokens, prefix: _prefix, needs: _needs, ...listed } = task;
  return task.texts === "keep" ? listed : { ...listed, result: null };
}

/** The next turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
