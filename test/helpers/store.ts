import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { ListedTask, Store, TaskFilter } from "../../src/store/store.ts";
import { newTask as freshTask, type Task, type TaskIdentity, transition } from "../../src/task.ts";

export const EVERYTHING: TaskFilter = { user: undefined, status: undefined, limit: 1000, offset: 0 };

/** A folder of the test's own, kept when the test fails. */
export function testFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-store-"));
  t.after(() => {
    if ((t as { passed?: boolean }).passed === true) rmSync(folder, { recursive: true });
    else t.diagnostic(`its folder: ${folder}`);
  });
  return folder;
}

export function newTask(seq: number, fields: Partial<Task> = {}): Task {
  const identity: TaskIdentity = {
    id: randomUUID(),
    seq,
    user: "ada",
    strategy: "least_loaded",
    pinnedGpuId: null,
    batchId: null,
    wholeBatch: false,
    createdAt: 1_700_000_000_000 + seq,
    text: `prompt ${seq}`,
    maxLength: 128,
    temperature: 0.7,
    taskType: "text_generation",
  };
  return { ...freshTask(identity), ...fields };
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
  const attempt = task.attempts.at(-1);
  if (attempt !== undefined) Object.assign(attempt, { endedAt: task.finishedAt, reason: "completed" });
  task.result = {
    text: `answer ${task.seq}`,
    executionTime: 0.49,
    timestamp: task.finishedAt,
    finishReason: "stop",
    promptTokens: 12,
    completionTokens: 34,
  };
  return task;
}

export function cancel(task: Task): Task {
  transition(task, "canceled");
  task.finishedAt = task.createdAt + 20;
  return task;
}

/** The `seq`s of everything stored, newest first. */
export async function storedSeqs(store: Store): Promise<number[]> {
  const { tasks } = await store.list(EVERYTHING);
  return tasks.map((task) => task.seq);
}

/** A task as a list has it. */
export function withoutText({ text: _text, ...task }: Task): ListedTask {
  return task;
}

/** The next turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
