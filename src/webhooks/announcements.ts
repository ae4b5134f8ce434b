/** Announces tasks and batches to webhooks, in the API's own views. */
import type { Clock } from "../common/clock.ts";
import { attemptsWithoutText, errorWithoutText } from "../gone-texts.ts";
import { viewOfBatch, viewOfTask } from "../http/views.ts";
import { statusOf } from "../tasks/batches.ts";
import type { TaskBookParts } from "../tasks/task-book-parts.ts";
import { attemptNumber, latestTime, type Task } from "../task.ts";
import { deliveriesFor } from "./events.ts";

/**
 * Vectors are asked for with the task: thousands of them would be stored again for each webhook, and sent until one takes them. So are texts
 * that are never to be stored.
 */
function withoutVectors(task: Task): Task {
  if (task.texts === "never") return unstored(task);
  if (task.result?.embeddings === undefined) return task;
  const { embeddings: _embeddings, ...result } = task.result;
  return { ...task, result };
}

function unstored(task: Task): Task {
  const { stop: _stop, ...sampling } = task.sampling;
  const { error, attempts } = task;
  return {
    ...task,
    sampling,
    result: null,
    error: error && errorWithoutText(error),
    attempts: attemptsWithoutText(attempts),
  };
}

export function announcer(clock: Clock): Omit<TaskBookParts["webhooks"], "wake"> {
  const now = (): number => clock.now();
  // Never before what the message itself shows.
  const shown = (latest: number): number => Math.max(now() + clock.ahead, latest);
  return {
    ofTask: (task) => {
      const { id, user, status, webhook } = task;
      if (status === "queued") return [];
      const about = { subject: id, user, event: `task.${status}`, occurrence: attemptNumber(task) } as const;
      return deliveriesFor(
        webhook,
        { ...about, data: viewOfTask(withoutVectors(task)) },
        shown(latestTime(task)),
        now(),
      );
    },
    ofBatch: (state) => {
      const { id, user, webhook } = state.batch;
      const data = viewOfBatch({ ...state, status: statusOf(state) });
      return deliveriesFor(
        webhook,
        { subject: id, user, event: "batch.completed", occurrence: 1, data },
        shown(state.batch.finishedAt ?? 0),
        now(),
      );
    },
  };
}
