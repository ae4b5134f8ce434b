/** What webhooks are told of tasks and batches: the same that the API shows of them. */
import { viewOfBatch, viewOfTask } from "./http/views.ts";
import { type TasksParts } from "./scheduler/tasks.ts";
import { isFinal } from "./task.ts";
import { deliveriesFor } from "./webhooks/events.ts";

export const announce: Omit<TasksParts["webhooks"], "wake"> = {
  ofTask: (task) => {
    const { id, user, status, attempts, webhook } = task;
    if (status !== "running" && !isFinal(status)) return [];
    const event = `task.${status}` as const;
    const about = {
      subject: id,
      user,
      event: event as Exclude<typeof event, "task.queued">,
      occurrence: attempts.length,
    };
    return deliveriesFor(webhook, { ...about, data: viewOfTask(task) }, Date.now());
  },
  ofBatch: (state) => {
    const { id, user, webhook } = state.batch;
    const data = viewOfBatch({ ...state, status: "completed" });
    return deliveriesFor(webhook, { subject: id, user, event: "batch.completed", occurrence: 1, data }, Date.now());
  },
};
