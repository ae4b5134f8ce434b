/** Responses that are stored: asked for, followed from any event on, canceled, deleted. */
import type { FastifyInstance, FastifyReply } from "fastify";
import type { Caller } from "../../../auth/credentials.ts";
import { AltLasError } from "../../../errors.ts";
import { isFinal } from "../../../task.ts";
import type { TaskSnapshot } from "../../../tasks/task-api.ts";
import { tellForeignChange, tellRemoval } from "../../foreign-changes.ts";
import { mayChange } from "../../access.ts";
import { EVENT_STREAM } from "../../task-stream.ts";
import { beginLiveAnswer } from "../../live-answer.ts";
import type { Pings } from "../../pings.ts";
import { EmptyRequest, NoQuery } from "../../schemas/common.ts";
import {
  ResponseDeleted,
  ResponseEventsText,
  ResponseParams,
  ResponseQuery,
  ResponseRef,
  type ResponseView,
} from "../../schemas/response-answers.ts";
import { tellRead } from "../../reads.ts";
import type { ServerParts } from "../../server-parts.ts";
import { ignoreTypeOfNothing } from "../../validate.ts";
import { requestOfStored, responseNamed, type Stored } from "./earlier.ts";
import { frameOf, responseOf } from "./response.ts";
import { ResponseStream } from "./stream.ts";

interface Named {
  readonly Params: { readonly response_id: string };
}

export function responseRoute(app: FastifyInstance, parts: ServerParts, pings: Pings): void {
  app.route<Named & { Querystring: ResponseQuery }>({
    method: "GET",
    url: "/responses/:response_id",
    schema: {
      operationId: "getResponse",
      summary: "A response, or its events",
      description:
        "With `stream` its events, from the first one or from behind `starting_after`; they end with the response. A client that leaves cancels nothing. Of an attempt that was cut off, what a reader has is closed as incomplete, and the next one's items follow.",
      tags: ["openai"],
      params: ResponseParams,
      querystring: ResponseQuery,
      response: {
        200: {
          content: { "application/json": { schema: ResponseRef }, "text/event-stream": { schema: ResponseEventsText } },
        },
      },
      refusals: ["text_gone"],
    },
    handler: async ({ caller, params, query, method }, reply) => {
      const stored = await responseNamed(parts.tasks, caller, params.response_id);
      // Of a HEAD nothing but the headers is wanted.
      if (query.stream && method === "HEAD") return void beginLiveAnswer(reply, EVENT_STREAM).end();
      if (query.stream) return follow(parts, pings, reply, stored, caller, query.starting_after);
      if (query.starting_after === undefined) {
        if (isFinal(stored.task.status)) tellRead(parts.tasks, reply, [stored.task]);
        return viewOf(parts, stored, caller);
      }
      const sentence = "starting_after is for streams: it needs stream to be true.";
      throw new AltLasError("invalid_input", sentence, { param: "starting_after" });
    },
  });
}

async function viewOf({ tasks }: ServerParts, { task, note }: Stored, caller: Caller): Promise<ResponseView> {
  return responseOf(task, await requestOfStored(tasks, task), note, caller);
}

async function follow(
  parts: ServerParts,
  pings: Pings,
  reply: FastifyReply,
  { task, note }: Stored,
  caller: Caller,
  last: number | undefined,
): Promise<undefined> {
  const frame = frameOf(task, await requestOfStored(parts.tasks, task), note);
  const options = { task, frame, caller, atOnce: true, leave: () => {}, ...(last !== undefined && { last }) };
  await new ResponseStream(reply, parts, options).start(pings);
}

export function cancelResponseRoute(app: FastifyInstance, parts: ServerParts): void {
  const schema = {
    operationId: "cancelResponse",
    summary: "Cancel a response",
    description: "One that has ended is answered as it is. The body may be left out.",
    tags: ["openai"],
    params: ResponseParams,
    querystring: NoQuery,
    body: EmptyRequest,
    response: { 200: ResponseRef },
  };
  const onRequest = [mayChange("Canceling a response"), ignoreTypeOfNothing];
  app.post<Named>(
    "/responses/:response_id/cancel",
    { schema, config: { isPatient: true }, onRequest },
    async ({ caller, params }, { request }) => {
      const { task, note } = await responseNamed(parts.tasks, caller, params.response_id);
      const ended = await canceled(parts, task);
      const what = "task canceled by another user";
      const change = { action: "task.cancel", target: task.id, about: { task: task.id }, what } as const;
      if (!isFinal(task.status)) tellForeignChange(parts.log, request, task, change);
      return viewOf(parts, { task: ended, note }, caller);
    },
  );
}

export function deleteResponseRoute(app: FastifyInstance, parts: ServerParts): void {
  const schema = {
    operationId: "deleteResponse",
    summary: "Delete a response",
    description: "One that has not ended is canceled first. Responses that go on with it have what was said in it.",
    tags: ["openai"],
    params: ResponseParams,
    querystring: NoQuery,
    response: { 200: ResponseDeleted },
  };
  const onRequest = [mayChange("Deleting a response"), ignoreTypeOfNothing];
  app.delete<Named>("/responses/:response_id", { schema, onRequest }, async ({ caller, params }, { request }) => {
    const { task } = await responseNamed(parts.tasks, caller, params.response_id);
    await parts.tasks.remove((await canceled(parts, task)).id);
    const what = "task removed by another user";
    tellRemoval(parts.log, request, task, { action: "task.remove", target: task.id, about: { task: task.id }, what });
    return { id: params.response_id, object: "response" as const, deleted: true };
  });
}

/** The task when it has ended, whether by this or before. */
async function canceled({ tasks }: ServerParts, task: TaskSnapshot): Promise<TaskSnapshot> {
  if (isFinal(task.status)) return task;
  try {
    return await tasks.cancel(task.id);
  } catch (error) {
    // It has ended meanwhile.
    const now = error instanceof AltLasError && error.code === "conflict" ? await tasks.get(task.id) : null;
    if (now === null || !isFinal(now.status)) throw error;
    return now;
  }
}
