/** What a task's attempts say about it. */
import { type Attempt, type Task } from "../task.ts";

/** Writes down how the last attempt ended; a task without one never ran. @param now Unix milliseconds */
export function endAttempt(task: Task, reason: Attempt["reason"], now: number): void {
  const attempt = task.attempts.at(-1);
  if (attempt === undefined) return;
  attempt.endedAt = now;
  attempt.reason = reason;
}

/** How many workers have died while it ran. */
export function crashesOf({ attempts }: Task): number {
  let crashes = 0;
  for (const { reason } of attempts) if (reason === "worker_crash") crashes++;
  return crashes;
}

/**
 * A task that has seen all but one of the crashes it may see runs alone, so that the last one, which fails it, can only be its own:
 * one task that kills workers must not take its neighbours along.
 */
export function mustRunAlone(task: Task, maxCrashes: number): boolean {
  return crashesOf(task) >= maxCrashes - 1;
}

/** Whether a GPU, or its worker, has failed while one of the tasks ran there. */
export function failedUnder(tasks: readonly Task[], gpuId: number): boolean {
  return tasks.some(({ attempts }) => attempts.some((attempt) => attempt.gpuId === gpuId && isFailure(attempt.reason)));
}

function isFailure(reason: Attempt["reason"]): boolean {
  return reason === "worker_crash" || reason === "gpu_lost";
}
