/** The HTTP server of a server that does not lead: it answers about itself, gives ended tasks out, and passes all else on to the one that leads. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Caller, Credentials } from "../../auth/credentials.ts";
import type { TextReader } from "../../cluster/text-reader.ts";
import { AltLasError } from "../../errors.ts";
import { observation } from "../access.ts";
import { boundOpenRequests, countAnswers } from "../answers.ts";
import { authentication } from "../authentication.ts";
import { healthRoutes } from "../health.ts";
import { LiveReaders } from "../live-readers.ts";
import type { Proxies } from "../proxies.ts";
import { RequestMemory } from "../request-memory.ts";
import { openApp, setUpRequests } from "../server.ts";
import type { AppParts, ServerParts } from "../server-parts.ts";
import { StreamTickets } from "../tickets.ts";
import { endedRoutes, type EndedStore } from "./ended.ts";
import { whyNobodyLeads } from "./leading.ts";
import { type LeadingServer, PassOn } from "./pass-on.ts";

export interface StandbyParts extends Omit<AppParts, "member"> {
  readonly credentials: Credentials;
  readonly version: string;
  /** The server that leads now; null: none does. */
  readonly leader: () => LeadingServer | null;
  /** Whether this server could ask the database, which knows that, when it last tried. */
  readonly seesDatabase: () => boolean;
  /** Reads the text of running tasks where they run. */
  readonly texts: TextReader;
  readonly ended: EndedStore;
  readonly metrics: NonNullable<ServerParts["metrics"]>;
}

export interface StandbyServer {
  readonly app: FastifyInstance;
  /** Another server leads now, or none. */
  leaderChanged(): void;
  /** This one leads now. Requests that still come on open connections are passed on to it, and these end with their next answer. */
  retire(): void;
}

/** @throws {AltLasError} `bad_config`: the certificate or its key cannot be used */
export function createStandby(parts: StandbyParts): StandbyServer {
  const { app, proxies, accessLog } = openApp(parts);
  const { leader, seesDatabase, texts } = parts;
  const passOn = new PassOn({ proxies, certificate: () => app.certificateInUse(), leader, seesDatabase, texts });
  let isRetired = false;
  app.addHook("onClose", async () => passOn.close());
  countAnswers(app, new RequestMemory(parts.config.limits));
  setUpRequests(app, parts, { proxies, accessLog });
  app.setSerializerCompiler(() => JSON.stringify);
  // Bodies go on as they are.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  const pass: Pass = (request, reply) => passOn.pass(request, reply);
  app.addHook("preHandler", async (request, reply) => {
    if (!isRetired) return;
    reply.raw.shouldKeepAlive = false;
    await pass(request, reply);
  });
  const callerOf = callersBy(app, parts, proxies);
  healthOf(app, parts);
  metricsOf(app, parts, callerOf);
  endedRoutes(app, { ...parts, callerOf, pass });
  app.setNotFoundHandler(pass);
  return {
    app,
    leaderChanged: () => passOn.cut(leader()?.id ?? null),
    retire: () => {
      isRetired = true;
    },
  };
}

function healthOf(app: FastifyInstance, { version, leader, seesDatabase }: StandbyParts): void {
  const readiness = () => {
    const ready = leader() !== null;
    return { ready, reason: ready ? null : whyNobodyLeads(seesDatabase()) };
  };
  healthRoutes(app, { version, readiness, gpus: () => [], draining: () => false, role: () => "standby" });
}

type CallerOf = (request: FastifyRequest, reply: FastifyReply) => Promise<Caller | null>;

/** About this server itself, as each one is scraped. */
function metricsOf(app: FastifyInstance, { config, metrics }: StandbyParts, callerOf: CallerOf): void {
  const mayRead = observation("Reading metrics");
  app.get("/metrics", async (request, reply) => {
    if (!config.metrics.public) {
      if ((await callerOf(request, reply)) === null)
        throw new AltLasError("unauthorized", "Metrics need a key that this server knows.");
      mayRead(request, reply, () => {});
    }
    if (!config.metrics.enabled) throw new AltLasError("not_found", "There are no metrics: metrics.enabled is false.");
    const { contentType, text } = await metrics();
    return reply.type(contentType).send(text);
  });
}

type Pass = (request: FastifyRequest, reply: FastifyReply) => Promise<void>;

/**
 * The caller of a request, as far as this server can tell; null: the leader has to decide. Rejects with `rate_limited` where the caller has
 * too many requests open here.
 */
function callersBy(app: FastifyInstance, parts: StandbyParts, proxies: Proxies): CallerOf {
  const tickets = new StreamTickets({ credentials: parts.credentials });
  const readers = new LiveReaders(parts.credentials);
  app.decorate("liveReaders", readers);
  app.addHook("onClose", async () => {
    tickets.close();
    readers.close();
  });
  const authenticate = authentication(parts, proxies, tickets);
  const bound = boundOpenRequests(parts.live);
  return async (request, reply) => {
    const isKnown = await new Promise((resolve) => {
      authenticate(request, reply, (error) => resolve(error === undefined));
    });
    if (isKnown !== true) return null;
    bound(request, reply, () => {});
    return request.caller;
  };
}
