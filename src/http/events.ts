/** `GET /task/<task_id>/events`: a task as it happens, and `Last-Event-ID` for those who missed some of it. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import { BEGINNING, type Position } from "./event-stream.ts";
import { beginLiveAnswer } from "./live-answer.ts";
import { taskNamed, type TaskPath } from "./lookup.ts";
import type { ServerParts } from "./server-parts.ts";
import type { Pings } from "./pings.ts";
import { TAKES_TICKETS } from "./stream-tickets.ts";
import { EVENT_STREAM, type Reader, streamEvents } from "./task-stream.ts";
import { EventsQuery, EventStreamText, TaskParams } from "./schemas/tasks.ts";

export function eventsRoute(app: FastifyInstance, parts: ServerParts, pings: Pings): void {
  app.route<{ Params: TaskPath; Querystring: EventsQuery }>({
    method: "GET",
    url: "/task/:task_id/events",
    config: TAKES_TICKETS,
    schema: {
      operationId: "followTask",
      summary: "A task as it happens, as server-sent events",
      description:
        "Ends after the final event. The header `Last-Event-ID` replays what was missed, also after the task has ended; after its final event the answer is a 204. Comments keep quiet connections open. A client that leaves does not cancel the task.",
      tags: ["tasks"],
      params: TaskParams,
      querystring: EventsQuery,
      response: {
        200: { content: { "text/event-stream": { schema: EventStreamText } } },
        204: { type: "null", description: "There is nothing after the final event" },
      },
    },
    handler: async (request, reply) => {
      const { id } = await taskNamed(parts.tasks, request.caller, request.params);
      const position = positionOf(id, lastEventId(request));
      if (position === "end") return reply.code(204).send();
      // Of a HEAD nothing but the headers is wanted.
      if (request.method === "HEAD") return void beginLiveAnswer(reply, EVENT_STREAM).end();
      return streamTask(parts, pings, reply, { id, position, onLeft: request.pass?.left });
    },
  });
}

/**
 * Answers with a task's events, from a position on.
 * @throws {AltLasError} `not_found`: it has just been removed
 */
export async function streamTask(
  { tasks }: Pick<ServerParts, "tasks">,
  pings: Pings,
  reply: FastifyReply,
  reader: Reader,
): Promise<void> {
  const isRelayed = reply.request.passage?.relays === true;
  const stream = isRelayed ? (await import("./standby/relay.ts")).relayTask : streamEvents;
  // Its `close` has come and gone: a listener would never be taken away again.
  if (reply.raw.destroyed) return reader.onLeft?.();
  return stream({ tasks, pings, reply }, reader);
}

/** `<task_id>:<attempt>:<offset>`, as event-stream.ts gives them out, or `<task_id>:end`. */
const EVENT_ID = /^([0-9a-f-]{36}):(?:(end)|([1-9]\d{0,8}):(\d{1,15}))$/;

/** An EventSource that has heard of no event sends no header, and a page that builds its URL an empty value. */
export function lastEventId({
  headers,
  query,
}: Pick<FastifyRequest<{ Querystring: Pick<EventsQuery, "last_event_id"> }>, "headers" | "query">): string {
  const header = headers["last-event-id"];
  return header === undefined ? (query.last_event_id ?? "") : String(header);
}

/** @throws {AltLasError} `invalid_input`: no event of this task has this id */
export function positionOf(id: string, given: string): Position | "end" {
  if (given === "") return BEGINNING;
  const [, task, end, attempt, offset] = EVENT_ID.exec(given) ?? [];
  if (task !== id) {
    const sentence = `Last-Event-ID must be the id of an event of this task, like "${id}:1:42"; got ${shown(given)}.`;
    throw new AltLasError("invalid_input", sentence);
  }
  return end === undefined ? { attempt: Number(attempt), offset: Number(offset) } : "end";
}
