/** The rest of a task whose texts are not stored, or not any more. */
import { ERRORS, type ErrorCode } from "./errors.ts";
import type { Attempt, Task, TaskError } from "./task.ts";

/** Codes whose sentences are ours and repeat nothing of a text. The words of engines may. */
const REPEAT_NOTHING: ReadonlySet<ErrorCode> = new Set([
  "timeout",
  "text_gone",
  "no_usable_gpu",
  "worker_crash",
  "poison",
]);

/** The failure of a task whose texts are gone. */
export function errorWithoutText({ code, sentence }: TaskError): TaskError {
  return { code, sentence: REPEAT_NOTHING.has(code) ? sentence : `It failed with ${code}: ${ERRORS[code].meaning}.` };
}

/** The attempts of a task whose texts are gone, without the words of engines. */
export function attemptsWithoutText(attempts: readonly Attempt[]): Attempt[] {
  return attempts.map(({ error: _error, ...attempt }) => attempt);
}

type Told = Pick<Task, "id" | "texts" | "status" | "result">;

/** Why a task that has ended has no text; null: it has, it has not ended, or it never had any. */
export function whyGone({ id, texts, status, result }: Told): string | null {
  if (texts === "removed")
    return `The text of task ${id} was to be kept until it was read, and is removed: it has been read, or was not read in time.`;
  if (texts !== "never" || result !== null || status === "queued" || status === "running") return null;
  return `The text of task ${id} is stored nowhere: it was in memory only, until it was read, and no longer than the server ran.`;
}
