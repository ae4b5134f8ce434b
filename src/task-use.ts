/* Costs of a task, and times of its parts: counted while it runs, and kept with it. */

/**
 * The use of one task. The scheduler begins it with each attempt (`beginUse`); from then on the worker that runs the attempt counts here, in
 * place: tokens at once, times and costs twice a second and at its end (gpu/worker/meter.ts). The costs are those of all attempts together, also of those that were cut off.
 */
export interface TaskUse {
  /** Seconds from the submission to the start of the last attempt, by the server's clock. */
  queued: number;
  /** Seconds from that start to the first output of the attempt, and to the last so far; null: it has none. */
  firstOutput: number | null;
  lastOutput: number | null;
  /** null: no engine has told. */
  promptTokens: number | null;
  completionTokens: number;
  /** Of `promptTokens`, those that were in the KV cache already; null: no engine has told. */
  cachedTokens: number | null;
  /** The task's share of the time of its instances. */
  gpuSeconds: number;
  /** The same share of what their cards took meanwhile; null: nobody measures their power. */
  energyJoules: number | null;
}

/** The values that the times of a task follow from; Unix milliseconds. */
interface Times {
  readonly use: Readonly<TaskUse> | null;
  readonly startedAt: number | null;
  readonly createdAt: number;
  /** These two by the server's clock. */
  readonly createdClock: number;
  readonly finishedClock: number | null;
}

export function newUse(): TaskUse {
  return {
    queued: 0,
    firstOutput: null,
    lastOutput: null,
    promptTokens: null,
    completionTokens: 0,
    cachedTokens: null,
    gpuSeconds: 0,
    energyJoules: null,
  };
}

/** An attempt begins: its times are its own, and its costs are added to those before. @param now the server's clock */
export function beginUse(task: { use: TaskUse | null; readonly createdClock: number }, now: number): void {
  const use = (task.use ??= newUse());
  use.queued = seconds(task.createdClock, now);
  use.firstOutput = null;
  use.lastOutput = null;
}

/**
 * Seconds from a task's submission to the start of its last attempt. While it waits: so far. Of one that ended while it waited: to its end.
 * @param now the wall clock
 */
export function queuedSeconds({ use, startedAt, createdAt, createdClock, finishedClock }: Times, now: number): number {
  if (startedAt !== null) return use?.queued ?? seconds(createdAt, startedAt);
  return finishedClock === null ? seconds(createdAt, now) : seconds(createdClock, finishedClock);
}

/** Milliseconds from one time to a later one, in seconds. */
function seconds(from: number, to: number): number {
  return Math.max(0, to - from) / 1000;
}
