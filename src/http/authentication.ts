/** Finds out who is calling. The hook runs before a request's body is read, so that a refusal costs nothing. */
import type { FastifyRequest } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";
import type { Hook } from "./access.ts";
import { foreignNameIn, isOfOwnMachine } from "./own-machine.ts";
import type { Proxies } from "./proxies.ts";
import type { ServerParts } from "./server-parts.ts";
import { sessionOf } from "./sign-in.ts";
import { admitByTicket, ticketOf } from "./stream-tickets.ts";
import type { StreamTickets } from "./tickets.ts";

/** Finds out who is calling; without proof the request ends here. */
export function authentication(
  parts: Pick<ServerParts, "credentials" | "config" | "lost">,
  proxies: Proxies,
  tickets: StreamTickets,
): Hook {
  const { credentials, config, lost } = parts;
  const open = !config.auth.enabled;
  const letsOwnIn = !open && config.auth.anonymous_user !== undefined;
  return (request, _reply, done) => {
    const submitter = request.pass?.submitter ?? null;
    if (submitter !== null) {
      request.caller = submitter;
      return done();
    }
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
        : ((header === undefined ? sessionOf(request, parts) : null) ??
          (isOwn ? credentials.anonymous : null) ??
          credentials.authenticate(header, () => proxies.clientOf(request.raw), request.raw.socket));
      if (caller instanceof Promise) return void proven(caller, admit, (error) => done(orLost(error, lost)));
      admit(caller);
      // A proxy's connection carries the requests of many clients, which the connection itself does not tell apart.
      if (!open && caller !== null && header !== undefined && proxies.isForwarded(request.raw))
        credentials.signIns.note(caller, proxies.clientOf(request.raw));
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
