/** Databases with many tasks, as a server leaves them behind. Kept in bench/cache for the next run. */
import { randomUUIDv7 } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { completionOf } from "../src/request.ts";
import { SqliteStore } from "../src/store/sqlite/sqlite.ts";
import { newTask, type Task } from "../src/task.ts";
import { CACHE } from "./server.ts";

const USERS = 20;
/** Tasks of one write. */
const CHUNK = 2000;
/** Milliseconds between two submissions: a million in eight hours. */
const PACE = 30;

export interface Stored {
  /** Tasks that have ended. */
  readonly ended: number;
  /** Tasks that wait, younger than those. */
  readonly queued: number;
}

/** The path of a database; makes it when there is none that fits. */
export async function databaseWith(stored: Stored): Promise<string> {
  const path = join(CACHE, `tasks-${stored.ended}-${stored.queued}.db`);
  if (await fits(path, stored)) return path;
  for (const suffix of ["", "-wal"]) rmSync(`${path}${suffix}`, { force: true });
  const store = new SqliteStore({ path });
  await store.open();
  const count = stored.ended + stored.queued;
  const begin = Date.now() - count * PACE;
  for (let from = 0; from < count; from += CHUNK) {
    const length = Math.min(CHUNK, count - from);
    const tasks = Array.from({ length }, (_, i) => taskAt(from + i + 1, begin, stored));
    await store.save(tasks);
  }
  await store.close();
  return path;
}

/** Opening brings an older one to the present schema. */
async function fits(path: string, { ended, queued }: Stored): Promise<boolean> {
  const store = new SqliteStore({ path });
  const { live, lastSeq } = await store.open();
  await store.close();
  return lastSeq === ended + queued && live.length === queued;
}

function taskAt(seq: number, begin: number, { ended }: Stored): Task {
  const createdAt = begin + seq * PACE;
  const task = newTask({
    id: randomUUIDv7(),
    seq,
    user: `caller${seq % USERS}`,
    strategy: "least_loaded",
    pinnedGpuId: null,
    batchId: null,
    wholeBatch: false,
    retryOf: null,
    webhook: null,
    createdAt,
    request: completionOf("Write a poem about the sea. ".repeat(8)),
    taskType: "text_generation",
    priority: "normal",
    timeoutSeconds: null,
    model: null,
  });
  return seq <= ended ? completed(task) : task;
}

/** As if it had run; `transition` would be in the way of a task that is stored for the first time. */
function completed(task: Task): Task {
  const finishedAt = task.createdAt + 1000;
  const text = "The sea is wide and blue, ".repeat(10);
  return {
    ...task,
    status: "completed",
    gpuId: 0,
    startedAt: task.createdAt,
    finishedAt,
    finishedClock: finishedAt,
    attempts: [{ gpuId: 0, startedAt: task.createdAt, endedAt: finishedAt, reason: "completed" }],
    placement: {
      strategy: "least_loaded",
      gpuId: 0,
      reason: "lowest load 0.13 of 4 GPUs",
      candidates: [0, 1, 2, 3].map((gpuId) => ({ gpuId, score: gpuId / 4 })),
      others: {},
    },
    result: {
      text,
      executionTime: 1,
      timestamp: finishedAt,
      finishReason: "stop",
      promptTokens: 56,
      completionTokens: 65,
      cachedTokens: 0,
    },
  };
}
