/** Decides who may do what. The hooks run before a request's body is read, so that a refusal costs nothing. */
import { type FastifyReply, type FastifyRequest } from "fastify";
import { type Caller } from "../auth/credentials.ts";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import { foreignNameIn, isOfOwnMachine } from "./own-machine.ts";
import { type ServerParts } from "./server-parts.ts";
import { admitByTicket, ticketOf } from "./stream-tickets.ts";
import { type StreamTickets } from "./tickets.ts";
import { type Proxies } from "./proxies.ts";

type Hook = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void;

/** Finds out who is calling; without proof the request ends here. */
export function authentication(
  { credentials, config, lost }: ServerParts,
  proxies: Proxies,
  tickets: StreamTickets,
): Hook {
  const open = !config.auth.enabled;
  const letsOwnIn = !open && config.auth.anonymous_user !== undefined;
  return (request, _reply, done) => {
    if (open) refuseForeignNames(request);
    const ticket = open ? null : ticketOf(request);
    const admit = (caller: Caller | null): void => {
      if (caller !== null) request.caller = caller;
      if (ticket !== null) admitByTicket(tickets, ticket, request, caller);
    };
    try {
      const header = authorizationOf(request);
      const isUnnamed = ticket !== null && header === undefined;
      const isOwn = letsOwnIn && header === undefined && isOfOwnMachine(request, config.server.cors_origins);
      const caller = isUnnamed
        ? null
        : ((isOwn ? credentials.anonymous : null) ??
          credentials.authenticate(header, () => proxies.clientOf(request.raw), request.raw.socket));
      if (caller instanceof Promise) return void proven(caller, admit, (error) => done(orLost(error, lost)));
      admit(caller);
    } catch (error) {
      return done(orLost(error as Error, lost));
    }
    done();
  };
}

/** Some clients send a key as `x-api-key` alone; it is another spelling of Bearer. */
function authorizationOf({ headers }: FastifyRequest): string | undefined {
  const { authorization, "x-api-key": key } = headers;
  return authorization === undefined && key !== undefined ? `Bearer ${String(key)}` : authorization;
}

/**
 * With the data directory its users and keys are gone too. A client that is told that its key is unknown would throw a good key away,
 * so it is told what is wrong with the server.
 */
function orLost(error: Error | undefined, lost: AbortSignal | undefined): Error | undefined {
  const isUnknown = error instanceof AltLasError && error.code === "unauthorized";
  return isUnknown && lost?.aborted === true ? (lost.reason as Error) : error;
}

/** Without credentials, a page in a browser on this machine could call, under a name of its own that points to this machine. */
function refuseForeignNames(request: FastifyRequest): void {
  const foreign = foreignNameIn(request);
  if (foreign === undefined) return;
  throw new AltLasError(
    "forbidden",
    `With auth.enabled: false only requests to localhost are answered; this one is addressed to ${shown(foreign)}.`,
  );
}

async function proven(
  pending: Promise<Caller>,
  admit: (caller: Caller) => void,
  done: (error?: Error) => void,
): Promise<void> {
  try {
    admit(await pending);
  } catch (error) {
    done(error as Error);
    return;
  }
  done();
}

/**
 * Lets only those pass who may submit tasks, only while the server takes any, and only as often as this caller may.
 * @param isDry whether a request asks only what would come of it, which counts for nothing
 */
export function submission(
  { draining, config, tasks }: ServerParts,
  isDry: (request: FastifyRequest) => boolean = () => false,
): Hook {
  return (request, _reply, done) => {
    const { caller } = request;
    refuseViewer(caller, "Submitting a task");
    if (draining()) {
      throw new AltLasError("draining", "The server is stopping and takes no new tasks.", {
        retryAfter: config.server.drain_timeout,
      });
    }
    if (isDry(request)) tasks.refuseOverRequests(caller.name);
    else tasks.countRequest(caller.name);
    done();
  };
}

/**
 * Lets only those pass who may have tasks of their own, and so change some. Which ones is for the handler to find out, by `maySee`.
 * @param doing what it is, as a sentence about it begins
 */
export function mayChange(doing: string): Hook {
  return ({ caller }, _reply, done) => {
    refuseViewer(caller, doing);
    done();
  };
}

function refuseViewer({ name, role }: Caller, doing: string): void {
  if (role !== "viewer") return;
  throw new AltLasError("forbidden", `${doing} needs the role user or admin; ${name} has the role viewer.`);
}

/** Lets only those pass who may see what others do. @param doing what it is, as a sentence about it begins */
export function observation(doing: string): Hook {
  return ({ caller: { name, role } }, _reply, done) => {
    if (role === "user")
      throw new AltLasError("forbidden", `${doing} needs the role admin or viewer; ${name} has the role user.`);
    done();
  };
}

/** Lets only those pass who may change what the server as a whole does. @param doing what it is, as a sentence about it begins */
export function administration(doing: string): Hook {
  return ({ caller: { name, role } }, _reply, done) => {
    if (role !== "admin")
      throw new AltLasError("forbidden", `${doing} needs the role admin; ${name} has the role ${role}.`);
    done();
  };
}

/** A user sees its own tasks and batches, the other roles all of them. */
export function maySee(caller: Caller, owned: { readonly user: string }): boolean {
  return caller.role !== "user" || owned.user === caller.name;
}

/** A viewer watches the server: it sees what becomes of tasks, but not what their users have asked. @throws {AltLasError} `forbidden` */
export function refuseToShowRequest({ name, role }: Caller, task: { readonly user: string }): void {
  if (role === "admin" || task.user === name) return;
  const sentence = `The request of a task is for its user and for the role admin; ${name} has the role ${role}.`;
  throw new AltLasError("forbidden", sentence);
}
