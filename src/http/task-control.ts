/** Ending tasks early, submitting them again, and removing what has ended. */
import type { FastifyInstance } from "fastify";
import { AltLasError } from "../errors.ts";
import { mayChange, submission } from "./access.ts";
import { selectionOf } from "./filter.ts";
import { tellForeignChange, tellRemoval } from "./foreign-changes.ts";
import { idempotencyOf } from "./idempotency.ts";
import { taskNamed, type TaskPath } from "./lookup.ts";
import { ON_SUBMITTING } from "./openapi.ts";
import { heldTo } from "./model-limits.ts";
import type { ServerParts } from "./server-parts.ts";
import { EmptyRequest, NoQuery } from "./schemas/common.ts";
import { CancelAnswer, CancelRequest, TaskParams, TaskRef, TaskSummaryRef } from "./schemas/tasks.ts";
import { ignoreTypeOfNothing } from "./validate.ts";
import { viewOfSubmitted, viewOfTask } from "./views.ts";

const ABOUT_ONE = { tags: ["tasks"], params: TaskParams, querystring: NoQuery };

export function cancelRoute(app: FastifyInstance, { tasks, log }: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "cancelTask",
    summary: "Cancel a task",
    description:
      "Answers when it has left its GPU; what it generated until then is kept in `result`. One that has ended is a 409 with its `status`. The body may be left out.",
    body: EmptyRequest,
    response: { 200: TaskRef },
    refusals: ["conflict" as const],
  };
  const onRequest = [mayChange("Canceling a task"), ignoreTypeOfNothing];
  app.post<{ Params: TaskPath }>(
    "/task/:task_id/cancel",
    { schema, config: { isPatient: true }, onRequest },
    async ({ caller, params }, { request }) => {
      const { id } = await taskNamed(tasks, caller, params);
      const task = await tasks.cancel(id);
      const what = "task canceled by another user";
      tellForeignChange(log, request, task, { action: "task.cancel", target: id, about: { task: id }, what });
      return viewOfTask(task);
    },
  );
}

export function retryRoute(app: FastifyInstance, parts: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "retryTask",
    summary: "Submit a task that has ended once more, as a new one",
    description:
      "It belongs to the same user as the first. One that has not ended is a 409. The body may be left out. An `Idempotency-Key` counts here too.",
    body: EmptyRequest,
    response: { 200: TaskSummaryRef },
    refusals: ["conflict" as const, "text_gone" as const, ...ON_SUBMITTING],
  };
  const onRequest = [submission(parts), ignoreTypeOfNothing];
  app.post<{ Params: TaskPath }>("/task/:task_id/retry", { schema, onRequest }, async (request, reply) => {
    const idempotency = idempotencyOf(request);
    const first = await taskNamed(parts.tasks, request.caller, request.params);
    // It asks for the same model again; one that asked for any could run on one that this key may not use.
    heldTo(request.caller, { ...first, model: first.model ?? "" }, parts.tasks);
    if (first.webhook !== null) await parts.webhooks.room(first.user);
    const { tasks, replayed } = await parts.tasks.retry(first.id, idempotency);
    const about = { task: tasks[0]!.id, retry_of: first.id };
    const what = "task submitted again by another user";
    tellForeignChange(parts.log, request, first, { action: "task.retry", target: first.id, about, what });
    if (replayed) reply.header("idempotent-replayed", "true");
    return viewOfSubmitted(tasks[0]!);
  });
}

export function removeRoute(app: FastifyInstance, { tasks, log }: ServerParts): void {
  const schema = {
    ...ABOUT_ONE,
    operationId: "removeTask",
    summary: "Remove a task that has ended",
    description: "Answers with the task as it was. One that has not ended is a 409 with its `status`.",
    response: { 200: TaskRef },
    refusals: ["conflict" as const],
  };
  const onRequest = [mayChange("Removing a task"), ignoreTypeOfNothing];
  app.delete<{ Params: TaskPath }>("/task/:task_id", { schema, onRequest }, async ({ caller, params }, { request }) => {
    const { id } = await taskNamed(tasks, caller, params);
    const task = await tasks.remove(id);
    const what = "task removed by another user";
    tellRemoval(log, request, task, { action: "task.remove", target: id, about: { task: id }, what });
    return viewOfTask(task);
  });
}

export function cancelManyRoute(app: FastifyInstance, { tasks, log }: ServerParts): void {
  app.route<{ Body: CancelRequest }>({
    method: "POST",
    url: "/tasks/cancel",
    schema: {
      operationId: "cancelTasks",
      summary: "Cancel all tasks that match",
      description:
        "At least one field must be given; a task must match all that are. Tasks that have ended are passed over. A `user` cancels its own tasks only, an `admin` all.",
      tags: ["tasks"],
      querystring: NoQuery,
      body: CancelRequest,
      response: { 200: CancelAnswer },
    },
    config: { isPatient: true },
    onRequest: [mayChange("Canceling tasks"), ignoreTypeOfNothing],
    // So that an empty body is told what to name, as an empty object is.
    preValidation: (request, _reply, done) => {
      request.body ??= {};
      done();
    },
    handler: async ({ caller, body }, { request }) => {
      refuseToCancelAll(body);
      const ids = body.task_ids?.map((id) => id.toLowerCase());
      const canceled = await tasks.cancelMatching({ ...selectionOf(caller, body), status: body.status, ids });
      if (caller.role === "admin" && canceled > 0) {
        log.info({ canceled, by: caller.name }, "tasks of any user that matched were canceled");
        request.audit("task.cancel_many", { details: `${canceled} tasks, by ${Object.keys(body).join(", ")}` });
      }
      return { canceled };
    },
  });
}

/** A filter that was forgotten would else cost everybody's work. */
function refuseToCancelAll(body: CancelRequest): void {
  if (Object.keys(body).length > 0) return;
  const fields = Object.keys(CancelRequest.properties).join(", ");
  throw new AltLasError("invalid_input", `Name the tasks to cancel: the body must have at least one of ${fields}.`);
}
