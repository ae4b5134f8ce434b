/** `GET /events`: what operators are told, and how tasks change, as server-sent events. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { onceATurn } from "../common/turns.ts";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import type { EventRing } from "../observe/event-ring.ts";
import { TaskChanges } from "../observe/task-changes.ts";
import { maySee, seesAll } from "./access.ts";
import { mayHold } from "./answers.ts";
import { probeWhenHalfClosed } from "./disconnects.ts";
import { lastEventId } from "./events.ts";
import { EVENT_STREAM } from "./task-stream.ts";
import { timeOf } from "./filter.ts";
import { beginLiveAnswer } from "./live-answer.ts";
import { type Missed, OperatorStream } from "./operator-stream.ts";
import type { Pings } from "./pings.ts";
import { publicEvent } from "./public-events.ts";
import { maySeeInside } from "./public-words.ts";
import { languageOf } from "./reader-language.ts";
import { OperatorEventsQuery, OperatorEventsText } from "./schemas/events.ts";
import type { ServerParts } from "./server-parts.ts";
import { TAKES_TICKETS } from "./stream-tickets.ts";

type Asked = FastifyRequest<{ Querystring: OperatorEventsQuery }>;

const schema = {
  operationId: "followServer",
  summary: "What operators are told, and how tasks change, as server-sent events",
  description:
    "For admins and viewers; with `tasks=true` also for users, who get the changes of their own tasks alone, and for viewers that have a team, who get those of the team's. The latest 1,000 operators' events are kept in memory: `since` and the header `Last-Event-ID` send those that were missed. After a restart of the server an older `Last-Event-ID` gets `missed`, and then all events since the start. Changes of tasks are not kept: read `GET /tasks` after each `hello` and each `missed`.",
  tags: ["meta"],
  querystring: OperatorEventsQuery,
  response: { 200: { content: { "text/event-stream": { schema: OperatorEventsText } } } },
  refusals: ["forbidden" as const],
};

export function operatorEventsRoute(app: FastifyInstance, parts: ServerParts, pings: Pings): void {
  const changes = new TaskChanges();
  const streams = new Set<OperatorStream>();
  // They never end by themselves, and would hold up the end of the server.
  app.addHook("preClose", async () => {
    for (const stream of streams) stream.close();
  });
  app.route<{ Querystring: OperatorEventsQuery }>({
    method: "GET",
    url: "/events",
    config: TAKES_TICKETS,
    schema,
    handler: (request, reply) => {
      const from = placeOf(request, parts.events);
      // Of a HEAD nothing but the headers is wanted.
      if (request.method === "HEAD") return void beginLiveAnswer(reply, EVENT_STREAM).end();
      const stream = streamFor(request, reply, parts, from);
      streams.add(stream);
      const ends = [
        pings.add(stream),
        probeWhenHalfClosed(reply, () => stream.ping()),
        parts.events.follow(() => stream.told()),
        ...(request.query.tasks ? [changes.follow((news) => stream.changed(news))] : []),
        () => streams.delete(stream),
      ];
      beginLiveAnswer(reply, EVENT_STREAM);
      stream.start(() => {
        for (const end of ends) end();
      });
    },
  });
}

function streamFor(request: Asked, reply: FastifyReply, parts: ServerParts, place: Place): OperatorStream {
  const { caller } = request;
  // A reader that comes late may be sent a thousand events at once.
  const gpus = onceATurn(parts.gpus);
  return new OperatorStream(reply.raw, parts.events, {
    ...place,
    sees: seesAll(caller) ? null : (task) => maySee(caller, task),
    worded: (event) => (maySeeInside(caller) ? event : publicEvent(event, gpus)),
    language: languageOf(request),
    hold: (characters) => mayHold(reply, characters),
  });
}

/** Where a reader goes on. */
interface Place {
  /** The number of the last operators' event that it has; null: it gets none of them. */
  readonly from: number | null;
  readonly missed: Missed | null;
}

const EVENT_ID = /^([0-9a-f]{12})-(\d{1,15})$/;

/**
 * @throws {AltLasError} `invalid_input`: `since` is no time, or no event has this id; `forbidden`: a user may not read what operators are told
 */
function placeOf(request: Asked, ring: EventRing): Place {
  const { caller, query } = request;
  const since = timeOf("since", query.since);
  const id = lastEventId(request);
  if (!seesAll(caller) && !query.tasks) {
    const { name, role, team } = caller;
    const sees =
      role === "user" ? "has the role user, and may follow its own tasks" : `may follow the tasks of the team ${team}`;
    const sentence = `The server's events need the role admin or viewer, without a team; ${name} ${sees} with ?tasks=true.`;
    throw new AltLasError("forbidden", sentence);
  }
  const place = id === "" ? placeInTime(since, ring) : placeAfter(id, ring, query.tasks);
  return !seesAll(caller) ? { from: null, missed: place.missed } : place;
}

function placeInTime(since: number | undefined, ring: EventRing): Place {
  if (since === undefined) return { from: ring.last, missed: null };
  const from = ring.lastBefore(since);
  // Nobody knows whether what is not kept any more was before it.
  const isSure = from > ring.before || ring.before === 0;
  const sentence = "Only the latest events are kept; there may have been others.";
  return { from, missed: isSure ? null : { events: null, tasks: false, sentence } };
}

/** @param tasks whether it reads changes of tasks, of which none is kept */
function placeAfter(id: string, ring: EventRing, tasks: boolean): Place {
  const [, run, number] = EVENT_ID.exec(id) ?? [];
  if (run === undefined || (run === ring.run && Number(number) > ring.last)) {
    const sentence = `Last-Event-ID must be the id of an event of GET /events, like "${ring.run}-${ring.last}"; got ${shown(id)}.`;
    throw new AltLasError("invalid_input", sentence);
  }
  if (run === ring.run) {
    const sentence = "Changes of tasks are not kept: read GET /tasks again.";
    return { from: Number(number), missed: tasks ? { events: 0, tasks, sentence } : null };
  }
  const sentence = "The server was started again: what it told between that event and its stop is not known any more.";
  return { from: ring.before, missed: { events: null, tasks, sentence } };
}
