/** `POST /stream_ticket`, and the way of a ticket into a stream. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { isoTime, wallTime } from "../common/clock.ts";
import { shown } from "../common/validation.ts";
import { AltLasError } from "../errors.ts";
import { reading } from "./access.ts";
import { withoutBase } from "./base-path.ts";
import { onceClosed } from "./closing.ts";
import { NoQuery } from "./schemas/common.ts";
import { TicketAnswer, TicketRequest } from "./schemas/tickets.ts";
import { pathOf } from "./target.ts";
import { LIVES, type StreamTickets } from "./tickets.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Tickets may open it. */
    readonly takesTickets?: true;
  }
}

/** Of a route that tickets may open. */
export const TAKES_TICKETS = { takesTickets: true } as const;

const UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}";
/** Their paths: those of the routes with `TAKES_TICKETS`. */
const STREAMS = new RegExp(`^/api/v1/(events|task/${UUID}/events|batch/${UUID}/results)$`);

export function streamTicketRoute(app: FastifyInstance, tickets: StreamTickets): void {
  const schema = {
    operationId: "makeStreamTicket",
    summary: "Make a ticket that opens one event stream",
    description:
      "For browsers, whose EventSource can send no credentials: add it to the stream's URL as `ticket`. It opens that stream for 60 seconds, and again, with `Last-Event-ID`, until 60 seconds after its last connection ended, for 12 hours at most. It ends when the key that made it is revoked.",
    tags: ["meta"],
    querystring: NoQuery,
    body: TicketRequest,
    response: { 200: TicketAnswer },
  };
  app.post<{ Body: TicketRequest }>(
    "/stream_ticket",
    { schema, onRequest: reading("Following a stream") },
    async ({ caller, body, prefix }, reply) => {
      const ticket = await tickets.give(caller, streamIn(body.path, prefix));
      return reply.send({ ticket, expires_at: isoTime(wallTime() + LIVES) });
    },
  );
}

/** @param prefix may be before it @throws {AltLasError} `invalid_input`: it is no path of a stream */
function streamIn(given: string, prefix: string): string {
  const path = withoutBase(pathOf(given), prefix).toLowerCase();
  if (STREAMS.test(path)) return path;
  const allowed = "/api/v1/events, /api/v1/task/<task_id>/events or /api/v1/batch/<batch_id>/results";
  const sentence = `path must be that of an event stream: ${allowed}; got ${shown(withoutTicket(given))}.`;
  throw new AltLasError("invalid_input", sentence, { param: "path" });
}

function withoutTicket(target: string): string {
  return target.split("?", 1)[0]!;
}

/** The ticket that a request has; null: none, or it is for a route that takes none. */
export function ticketOf(request: FastifyRequest): string | null {
  const { ticket } = Object(request.query) as { readonly ticket?: unknown };
  // The route is looked at last, here and elsewhere: for each look, Fastify makes an object of a dozen fields.
  if (ticket === undefined || request.routeOptions.config.takesTickets !== true) return null;
  return typeof ticket === "string" ? ticket : "";
}

/**
 * Lets a request in by its ticket.
 * @param proven the user that its credentials have proven; null: it has none
 * @throws {AltLasError} `unauthorized`
 */
export function admitByTicket(
  tickets: StreamTickets,
  ticket: string,
  request: FastifyRequest,
  proven: FastifyRequest["caller"] | null,
): void {
  const { last_event_id: id } = request.query as { readonly last_event_id?: unknown };
  const hasSome = request.headers["last-event-id"] !== undefined || (id !== undefined && id !== "");
  // Its reader may have had nothing but the head of an answer that another server goes on with.
  const isReturn = hasSome || request.passage?.isForRest === true;
  const use = { path: pathOf(request.url).toLowerCase(), isReturn, user: proven?.name ?? null };
  const { caller, ended } = tickets.redeem(ticket, use, () => request.response.destroy());
  request.caller = caller;
  onceClosed(request.response, ended);
}
