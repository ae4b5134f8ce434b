/**
 * Tasks and batches that have ended, at a server that stands by: it reads them from the database itself, whoever leads. It passes on
 *
 *  1. what has not ended, is not there, or is not for its caller to see: nobody learns which of these it is;
 *  2. texts that go when they are read: the server that leads removes them;
 *  3. the results of others, as the audit log has a row of those who read them;
 *  4. whatever it does not know for sure: callers that have proven nothing here, tickets, and queries that may be refused.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Caller } from "../../auth/credentials.ts";
import type { Logger } from "../../log/log.ts";
import type { EndedBatch } from "../../store/tasks.ts";
import type { Task } from "../../task.ts";
import { statusOf } from "../../tasks/batches.ts";
import { resultPages, type ResultStore } from "../../tasks/result-pages.ts";
import type { ListedSnapshot } from "../../tasks/task-api.ts";
import { maySee, reading } from "../access.ts";
import { sendResults } from "../batches.ts";
import { lastEventId, positionOf } from "../events.ts";
import { beginLiveAnswer } from "../live-answer.ts";
import type { BatchPath, TaskPath } from "../lookup.ts";
import { applyWait } from "../prefer.ts";
import { maySeeInside } from "../public-words.ts";
import { forReader } from "../reader-language.ts";
import { TAKES_TICKETS } from "../stream-tickets.ts";
import { EVENT_STREAM, streamEnded } from "../task-stream.ts";
import { viewOfBatch, viewOfTask } from "../views.ts";
import { EVENTS_ROUTE, TASK_ROUTE } from "./leading.ts";

/** The database, as far as things there have ended. null: there is no such thing, or it has not. @throws {AltLasError} `store_unavailable` */
export interface EndedStore extends ResultStore {
  get(id: string): Promise<Task | null>;
  batch(id: string): Promise<EndedBatch | null>;
}

export interface EndedParts {
  readonly ended: EndedStore;
  readonly log: Logger;
  /** The caller of a request, as far as this server can tell; null: the leader has to decide. @throws {AltLasError} `rate_limited` */
  readonly callerOf: (request: FastifyRequest, reply: FastifyReply) => Promise<Caller | null>;
  readonly pass: (request: FastifyRequest, reply: FastifyReply) => Promise<void>;
}

const BATCH_ROUTE = "/api/v1/batch/:batch_id";
const JSON_TYPE = "application/json; charset=utf-8";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAY_READ = reading("Reading this");

/** Fields of a query of which this server knows how they are meant, with their values. */
type Known = ReadonlyMap<string, RegExp>;
const WAIT: Known = new Map([["wait", /^\d{1,9}$/]]);
const LAST_EVENT: Known = new Map([["last_event_id", /^/]]);
const FOLLOW: Known = new Map([["follow", /^(?:true|false)$/]]);
const NOTHING: Known = new Map();

export function endedRoutes(app: FastifyInstance, parts: EndedParts): void {
  taskRoute(app, parts);
  eventsRoute(app, parts);
  batchRoute(app, parts);
  resultsRoute(app, parts);
}

function taskRoute(app: FastifyInstance, parts: EndedParts): void {
  app.get<{ Params: TaskPath; Querystring: { wait?: string } }>(TASK_ROUTE, async (request, reply) => {
    const task = await endedTask(parts, request, reply, WAIT);
    if (task === null) return parts.pass(request, reply);
    const { wait = "0" } = request.query;
    if (Number(wait) > 0) applyWait(Number(wait), reply);
    return reply.type(JSON_TYPE).send(forReader(request, viewOfTask(task, maySeeInside(request.caller))));
  });
}

function eventsRoute(app: FastifyInstance, parts: EndedParts): void {
  app.get<{ Params: TaskPath; Querystring: { last_event_id?: string } }>(
    EVENTS_ROUTE,
    { config: TAKES_TICKETS },
    async (request, reply) => {
      const task = await endedTask(parts, request, reply, LAST_EVENT);
      if (task === null) return parts.pass(request, reply);
      const position = positionOf(task.id, lastEventId(request));
      if (position === "end") return reply.code(204).send();
      if (request.method === "HEAD") return void beginLiveAnswer(reply, EVENT_STREAM).end();
      if (!reply.raw.destroyed) streamEnded(reply, task, position);
    },
  );
}

function batchRoute(app: FastifyInstance, parts: EndedParts): void {
  app.get<{ Params: BatchPath }>(BATCH_ROUTE, async (request, reply) => {
    const state = await endedBatch(parts, request, reply, NOTHING);
    if (state === null) return parts.pass(request, reply);
    return reply.type(JSON_TYPE).send(forReader(request, viewOfBatch({ ...state, status: statusOf(state) })));
  });
}

function resultsRoute(app: FastifyInstance, parts: EndedParts): void {
  const { ended, log, pass } = parts;
  app.get<{ Params: BatchPath }>(`${BATCH_ROUTE}/results`, { config: TAKES_TICKETS }, async (request, reply) => {
    const state = await endedBatch(parts, request, reply, FOLLOW);
    if (state?.keepsTexts !== true || state.batch.user !== request.caller.name) return pass(request, reply);
    const results = (gone: AbortSignal) => resultsOf(ended, state, gone);
    await sendResults(reply, state.batch, { results, tasks: { read: () => {} }, log });
  });
}

/** @param state as it was found, since to count its tasks takes as long as to read many of them */
async function* resultsOf(ended: EndedStore, state: EndedBatch, gone: AbortSignal): AsyncGenerator<ListedSnapshot> {
  const store: ResultStore = {
    batch: () => Promise.resolve(state),
    endsOf: (...asked) => ended.endsOf(...asked),
    endsIn: (...asked) => ended.endsIn(...asked),
  };
  for await (const page of resultPages(store, state.batch.id, gone)) yield* page;
}

/** null: it is for the leader to answer. @throws {AltLasError} `forbidden`: the caller's key may not read; `rate_limited` */
async function endedTask(
  parts: EndedParts,
  request: FastifyRequest<{ Params: TaskPath }>,
  reply: FastifyReply,
  known: Known,
): Promise<Task | null> {
  const id = request.params.task_id.toLowerCase();
  if (!(await isKnown(parts, request, reply, { id, known }))) return null;
  const task = await parts.ended.get(id).catch(() => null);
  return task !== null && task.texts === "keep" && maySee(request.caller, task) ? task : null;
}

/** As `endedTask`. */
async function endedBatch(
  parts: EndedParts,
  request: FastifyRequest<{ Params: BatchPath }>,
  reply: FastifyReply,
  known: Known,
): Promise<EndedBatch | null> {
  const id = request.params.batch_id.toLowerCase();
  if (!(await isKnown(parts, request, reply, { id, known }))) return null;
  const state = await parts.ended.batch(id).catch(() => null);
  return state !== null && maySee(request.caller, state.batch) ? state : null;
}

/** Whether this server knows what is asked, and who asks. */
async function isKnown(
  { callerOf }: EndedParts,
  request: FastifyRequest,
  reply: FastifyReply,
  { id, known }: { readonly id: string; readonly known: Known },
): Promise<boolean> {
  const query = Object.entries(Object(request.query) as Readonly<Record<string, unknown>>);
  const isClear = query.every(([name, value]) => typeof value === "string" && known.get(name)?.test(value) === true);
  if (!isClear || !UUID.test(id) || (await callerOf(request, reply)) === null) return false;
  MAY_READ(request, reply, () => {});
  return true;
}
