/** The attempts of a task: how often it was tried, whether it is a suspect, and where it failed. */
import type { ErrorCode } from "../errors.ts";
import { type Attempt, attemptNumber, type Interruption, type Task, type TaskError } from "../task.ts";

/** After so many deaths of workers on which it ran alone, a task is held to be their cause. */
const POISONOUS = 2;

/** After nonsense was computed so often where it ran, the second time for nobody else, a task is held to be the cause. */
const NONSENSICAL = 2;

/** The most attempts in a row that are stored of those that full servers ended: while a server stays full there may be thousands. */
const KEPT_FULL = 3;

/** Refusals in a row by full servers after which a task rests. */
const PATIENT_REFUSALS = 3;

/** A task that was refused again and again rests for at most so many seconds longer than its full server is left alone. */
const LONGEST_EXTRA_REST = 15;

/** Details of the end of an attempt. */
interface Circumstances {
  /** Whether nothing else ran on its GPU then; default false. */
  readonly alone?: boolean;
  /** Whether that GPU computed nonsense; default false. */
  readonly nonsense?: boolean;
  /** The cause in one sentence; absent or null: the reason says it all. */
  readonly error?: string | null;
}

/** A moment by both clocks. */
export interface Moment {
  /** As the task shows it. */
  readonly at: number;
  /** By the server's clock. */
  readonly now: number;
}

/** Writes down how the last attempt ended; a task without one never ran. */
export function endAttempt(
  task: Task,
  reason: Attempt["reason"],
  { at, now }: Moment,
  { alone = false, nonsense = false, error = null }: Circumstances = {},
): void {
  const attempt = task.attempts.at(-1);
  if (attempt === undefined) return;
  attempt.endedAt = at;
  if (reason !== "gpu_full") task.waitsSince = now;
  attempt.reason = reason;
  if (reason === "worker_crash" && alone) attempt.alone = true;
  if (nonsense) attempt.nonsense = true;
  if (error !== null) attempt.error = error;
  if (reason === "gpu_full") dropOldest(task.attempts);
}

/** Of the attempts that found servers full, keeps the last ones, and the number of the others. */
function dropOldest(attempts: Attempt[]): void {
  const first = firstRefusal(attempts);
  if (attempts.length - first <= KEPT_FULL) return;
  const [dropped] = attempts.splice(first, 1);
  const next = attempts[first]!;
  next.unlisted = (next.unlisted ?? 0) + 1 + (dropped!.unlisted ?? 0);
}

/**
 * Whether a task is a suspect: a worker died under it, or a GPU computed nonsense, and it may be the cause. It has to run alone. So a task
 * that kills workers takes its neighbours along once at most, and only a death while it ran alone counts against it.
 */
export function isSuspect({ attempts }: Task): boolean {
  return attempts.some(({ reason, nonsense }) => reason === "worker_crash" || nonsense === true);
}

/** Whether an attempt that ended so counts against the task, which may not be tried for ever. */
export function isCounted({ reason, alone }: Attempt): boolean {
  return reason === "gpu_lost" || reason === "out_of_memory" || (reason === "worker_crash" && alone === true);
}

export function countedAttempts({ attempts }: Task): number {
  return attempts.filter(isCounted).length;
}

/** Why a task that was cut off is not tried again; null: it is. */
export function finalError(task: Task, maxAttempts: number): TaskError | null {
  const deaths = task.attempts.filter(({ reason, alone }) => reason === "worker_crash" && alone === true).length;
  if (deaths >= POISONOUS) {
    const sentence = `The worker died ${deaths} times while this task ran there alone; it is not tried again.`;
    return { code: "poison", sentence };
  }
  if (task.attempts.filter(({ nonsense }) => nonsense === true).length >= NONSENSICAL) {
    const sentence = `The model computed nonsense ${NONSENSICAL} times where this task ran, the last time with no other there; it is not tried again.`;
    return { code: "model_error", sentence };
  }
  const last = task.attempts.at(-1);
  const tries = countedAttempts(task);
  if (last === undefined || !isCounted(last) || tries < maxAttempts) return null;
  const times = tries === 1 ? "once" : `${tries} times`;
  const code = last.reason as keyof typeof CAUSES;
  const cutOff = `The task was cut off ${times}, the last time because ${CAUSES[code]} (tasks.max_attempts is ${maxAttempts})`;
  return { code, sentence: last.error === undefined ? `${cutOff}.` : `${cutOff}: ${last.error}` };
}

const CAUSES = {
  gpu_lost: "its GPU failed",
  out_of_memory: "its GPU had no memory left for it",
  worker_crash: "its worker died",
} as const satisfies Partial<Record<ErrorCode & Interruption, string>>;

/**
 * Seconds that a task rests before it runs again: 0 if its last attempt does not count against it. A task that full servers refused again
 * and again rests for longer than they are left alone. They may refuse only this one, and it would else always be there before the others.
 * @param first seconds after the first failure @param retryAfter seconds for which a full server is left alone
 */
export function backoffSeconds(task: Task, first: number, retryAfter = 0): number {
  const last = task.attempts.at(-1);
  if (last === undefined) return 0;
  if (isCounted(last)) return first * 2 ** (countedAttempts(task) - 1);
  const tooMany = refusalsInARow(task) - PATIENT_REFUSALS;
  return tooMany <= 0 ? 0 : retryAfter + Math.min(2 ** (tooMany - 1), LONGEST_EXTRA_REST);
}

/** Whether a task has waited for as long as it may. @param seconds null: it may wait any time @param now the server's clock */
export function queueTimeIsOver({ waitsSince }: Task, seconds: number | null, now: number): seconds is number {
  return seconds !== null && waitsSince + seconds * 1000 <= now;
}

/** The error of a task that has waited for too long. Everybody may read it, so it has no words of a server. */
export function queueError(task: Task, seconds: number): TaskError {
  const last = task.attempts.at(-1);
  const refusals = refusalsInARow(task);
  const times = refusals === 1 ? "once" : `${refusals} times`;
  const what =
    refusals === 0
      ? "without getting a slot"
      : `and was refused by full servers ${times}, the last one that of GPU ${last!.gpuId}`;
  return { code: "timeout", sentence: `The task waited for ${seconds} s ${what} (gpu.multi_gpu.queue_timeout).` };
}

/** Attempts in a row, up to the last one, that found servers full. */
function refusalsInARow({ attempts }: Task): number {
  return attemptNumber({ attempts: attempts.slice(firstRefusal(attempts)) });
}

/** Index of the first of the attempts in a row, up to the last one, that found servers full. */
function firstRefusal(attempts: readonly Attempt[]): number {
  return attempts.findLastIndex(({ reason }) => reason !== "gpu_full") + 1;
}

/**
 * Since when a task of an earlier run waits, by the server's clock. The store has the times that are shown; the task's creation, stored by
 * both clocks, tells how far the clocks were apart. @param now the server's clock
 */
export function waitedSince({ attempts, createdAt, createdClock }: Task, now: number): number {
  const shown = attempts.findLast(({ reason }) => reason !== "gpu_full")?.endedAt ?? createdAt;
  return Math.min(Math.max(createdClock, shown - (createdAt - createdClock)), Math.max(createdClock, now));
}

/** Whether an attempt ended for a reason that another GPU may not have. */
export function hasFailed({ attempts }: Task): boolean {
  return attempts.some(isFailure);
}

/** Whether one of the tasks failed so on that GPU. */
export function failedUnder(tasks: readonly Task[], gpuId: number): boolean {
  return tasks.some(({ attempts }) => attempts.some((attempt) => attempt.gpuId === gpuId && isFailure(attempt)));
}

function isFailure({ reason }: Attempt): boolean {
  return reason === "worker_crash" || reason === "gpu_lost" || reason === "out_of_memory";
}
