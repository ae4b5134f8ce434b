/** Announces tasks and batches to webhooks, in the API's own views. */
import type { Clock } from "../common/clock.ts";
import { viewOfBatch, viewOfTask } from "../http/views.ts";
import { statusOf } from "../tasks/batches.ts";
import type { TaskBookParts } from "../tasks/task-book-parts.ts";
import { attemptNumber, latestTime, type Task } from "../task.ts";
import { deliveriesFor } from "./events.ts";

/** Vectors are asked for with the task: thousands of them would be stored again for each webhook, and sent until one takes them. */
function withoutVectors(task: Task): Task {
  if (task.result?.embeddings === undefined) return task;
  const { embeddings: _embeddings, ...result } = task.result;
  return { ...task, result };
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
