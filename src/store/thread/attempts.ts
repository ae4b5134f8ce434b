/*
 * The column `attempts` of a task, a JSON list. Most tasks have one attempt, and other columns have all that it tells: it is written as 1.
 * As an object it would take a tenth of the whole row.
 */
import { attemptsWithoutText } from "../../gone-texts.ts";
import type { Attempt, Task } from "../../task.ts";

/** The values of a task that its attempt has as well, where all went well. */
type Life = Readonly<Pick<Task, "status" | "gpuId" | "startedAt" | "finishedAt">>;

/** An attempt that began with its task, on its GPU, and ended with it, as it did. */
const ONE_OF_TASK = "[1]";
const NONE = "[]";

export function storedAttempts(task: Life & Pick<Task, "attempts" | "texts">): string {
  const { attempts, texts } = task;
  if (attempts.length === 0) return NONE;
  if (attempts.length === 1 && isOfTask(attempts[0]!, task)) return ONE_OF_TASK;
  return JSON.stringify(texts === "never" ? attemptsWithoutText(attempts) : attempts);
}

/** The attempts of that column. */
export function attemptsOf(stored: string, task: Life): Attempt[] {
  if (stored === ONE_OF_TASK) return [attemptOf(task)];
  return stored === NONE ? [] : (JSON.parse(stored) as Attempt[]);
}

/** The column without the words of engines. */
export function withoutErrors(stored: string): string {
  if (stored === ONE_OF_TASK) return stored;
  return JSON.stringify(attemptsWithoutText(JSON.parse(stored) as Attempt[]));
}

function isOfTask(attempt: Readonly<Attempt>, task: Life): boolean {
  const { gpuId, startedAt, endedAt, reason, alone, nonsense, error, unlisted } = attempt;
  return (
    gpuId === task.gpuId &&
    startedAt === task.startedAt &&
    endedAt === task.finishedAt &&
    reason === reasonOf(task) &&
    (alone ?? nonsense ?? error ?? unlisted) === undefined
  );
}

function attemptOf(task: Life): Attempt {
  const { gpuId, startedAt, finishedAt } = task;
  return { gpuId: gpuId!, startedAt: startedAt!, endedAt: finishedAt, reason: reasonOf(task) };
}

/** Of the end of a task's last attempt, where it ended the task; null: neither has ended. */
function reasonOf({ status, finishedAt }: Pick<Life, "status" | "finishedAt">): Attempt["reason"] {
  return finishedAt === null ? null : (status as Attempt["reason"]);
}
