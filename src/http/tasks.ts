/** `GET /task/<task_id>` and `GET /tasks`. */
import { type FastifyInstance } from "fastify";
import { type Caller } from "../auth/credentials.ts";
import { AltLasError } from "../errors.ts";
import { type TaskSnapshot } from "../scheduler/tasks.ts";
import { isFinal } from "../task.ts";
import { shown } from "../validation.ts";
import { maySee } from "./access.ts";
import { goneSignal } from "./gone.ts";
import { type ServerParts } from "./parts.ts";
import { TaskParams, TaskQuery, TaskRef, TasksAnswer, TasksQuery } from "./schemas.ts";
import { viewOfTask } from "./views.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function taskRoute(app: FastifyInstance, { tasks }: ServerParts): void {
  app.route<{ Params: { task_id: string }; Querystring: TaskQuery }>({
    method: "GET",
    url: "/task/:task_id",
    schema: {
      operationId: "getTask",
      summary: "One task: its status, and its result once it is completed",
      tags: ["tasks"],
      params: TaskParams,
      querystring: TaskQuery,
      response: { 200: TaskRef },
    },
    handler: async ({ caller, params, query }, reply) => {
      const id = taskId(params.task_id);
      const task = visible(await tasks.get(id), caller, id);
      if (query.wait === 0 || isFinal(task.status)) return viewOfTask(task);
      return viewOfTask(visible(await tasks.wait(id, query.wait, goneSignal(reply)), caller, id));
    },
  });
}

function taskId(given: string): string {
  const id = given.toLowerCase();
  if (UUID.test(id)) return id;
  throw new AltLasError("not_found", `There is no task ${shown(given)}; a task_id is a UUID.`);
}

/** @throws {AltLasError} `not_found`; a stranger's task looks like none, so that nobody learns which ids exist */
function visible(task: TaskSnapshot | null, caller: Caller, id: string): TaskSnapshot {
  if (task !== null && maySee(caller, task)) return task;
  throw new AltLasError("not_found", `There is no task ${id}, or it belongs to somebody else.`);
}

export function tasksRoute(app: FastifyInstance, { tasks }: ServerParts): void {
  app.route<{ Querystring: TasksQuery }>({
    method: "GET",
    url: "/tasks",
    schema: {
      operationId: "listTasks",
      summary: "Tasks, newest first",
      description: "A `user` sees its own tasks, the other roles all.",
      tags: ["tasks"],
      querystring: TasksQuery,
      response: { 200: TasksAnswer },
    },
    handler: async ({ caller, query }) => {
      const user = caller.role === "user" ? caller.name : undefined;
      const found = await tasks.list({ user, status: query.status, limit: query.limit, offset: query.offset + 0 });
      // UUIDs have dashes, so none of them looks like an array index, and the object keeps their order.
      return { tasks: Object.fromEntries(found.tasks.map((task) => [task.id, viewOfTask(task)])), total: found.total };
    },
  });
}
