/** `GET /task/<task_id>` and `GET /tasks`. */
import type { FastifyInstance } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import { isFinal } from "../task.ts";
import type { TaskApi, TaskSnapshot } from "../tasks/task-api.ts";
import { refuseToShowRequest } from "./access.ts";
import { holdForAnswer } from "./answers.ts";
import { selectionOf, seqOfCursor } from "./filter.ts";
import { goneSignal } from "./disconnects.ts";
import { AltLasError } from "../errors.ts";
import { beginLiveAnswer } from "./live-answer.ts";
import { taskNamed, type TaskPath, unknownTask, visibleTask } from "./lookup.ts";
import type { ServerParts } from "./server-parts.ts";
import { maySeeInside } from "./public-words.ts";
import { applyWait } from "./prefer.ts";
import { languageOf } from "./reader-language.ts";
import { tellRead } from "./reads.ts";
import {
  TaskParams,
  TaskQuery,
  TaskRef,
  TasksAnswer,
  TasksQuery,
  type RequestView,
  type TaskView,
} from "./schemas/tasks.ts";
import { goneOf } from "./task-failure.ts";
import { PART, streamedList, wholeList } from "./task-list.ts";
import { viewOfRequest, viewOfTask } from "./views.ts";

const JSON_TYPE = "application/json; charset=utf-8";
/** The memory that counts for a list while it is sent: a part as rows, as tasks and as text. */
const LIST_BYTES = 4 * PART;

export function taskRoute(app: FastifyInstance, { tasks, credentials }: ServerParts): void {
  app.route<{ Params: TaskPath; Querystring: TaskQuery }>({
    method: "GET",
    url: "/task/:task_id",
    schema: {
      operationId: "getTask",
      summary: "One task: its status, and its result once it is completed",
      tags: ["tasks"],
      params: TaskParams,
      querystring: TaskQuery,
      response: { 200: TaskRef },
      refusals: ["forbidden", "text_gone"],
    },
    handler: async ({ caller, params, query }, reply) => {
      const task = await taskNamed(tasks, caller, params);
      const isInside = maySeeInside(caller);
      const asked = query.include === "text" ? await requestFor(tasks, caller, task) : null;
      const view = (one: TaskSnapshot): TaskView => {
        if (isFinal(one.status)) tellRead(tasks, reply, [one]);
        const shown = viewOfTask(one, isInside, tasks.waiting(one.id));
        return asked === null ? shown : { ...shown, request: asked };
      };
      if (query.wait === 0) return view(task);
      const wait = applyWait(query.wait, reply);
      if (isFinal(task.status)) return view(task);
      const waited = await tasks.wait(task.id, wait, goneSignal(reply));
      if (!credentials.holds(caller))
        throw new AltLasError("unauthorized", "The credentials of this request have ended while it waited.");
      return view(visibleTask(waited, caller, task.id));
    },
  });
}

/** @throws {AltLasError} `forbidden`: the caller sees its state alone; `not_found`: it was removed meanwhile */
async function requestFor(tasks: TaskApi, caller: Caller, task: TaskSnapshot): Promise<RequestView> {
  refuseToShowRequest(caller, task);
  const request = await tasks.requestOf(task);
  if (request === null) throw goneOf({ ...task, result: null }) ?? unknownTask(task.id);
  return viewOfRequest(request);
}

export function tasksRoute(app: FastifyInstance, { tasks }: ServerParts): void {
  app.route<{ Querystring: TasksQuery }>({
    method: "GET",
    url: "/tasks",
    schema: {
      operationId: "listTasks",
      summary: "Tasks, newest first",
      description:
        "A `user` sees its own tasks, a `viewer` that has a team the team's, the others all. The answer's `next`, sent as `after`, continues it.",
      tags: ["tasks"],
      querystring: TasksQuery,
      response: { 200: TasksAnswer },
      refusals: ["forbidden"],
    },
    handler: async (request, reply) => {
      const { caller, query, method } = request;
      const { status, limit, offset, after } = query;
      const page = { status, limit, offset: offset + 0, after: seqOfCursor(after) };
      const filter = { ...selectionOf(caller, query), ...page };
      const language = languageOf(request);
      const first = await tasks.list(filter, { maxCharacters: PART, counted: true });
      if (first.more === true) {
        if (method === "HEAD") return void beginLiveAnswer(reply, JSON_TYPE).end();
        holdForAnswer(reply, LIST_BYTES);
        return reply.type(JSON_TYPE).send(streamedList(tasks, filter, { first, language }));
      }
      return reply.type(JSON_TYPE).send(await wholeList(tasks, filter, { first, language }));
    },
  });
}
