/** The HTTP server: what is the same for every request. The routes are in the files beside this one. */
import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from "fastify";
import { guardRoute } from "./access.ts";
import { authentication } from "./authentication.ts";
import { anthropicRoutes } from "./anthropic/routes.ts";
import { AccessLog } from "./access-log.ts";
import { auditRoute } from "./audit.ts";
import { auditRoutes } from "./auditing.ts";
import { type CallerLimit, callerLimit } from "../config/caller-limits.ts";
import { boundOpenRequests, countAnswers } from "./answers.ts";
import { basePathOf, tellPrefixes, withoutBase } from "./base-path.ts";
import { batchStateRoute, cancelBatchRoute, resultsRoute } from "./batches.ts";
import { BodyQueue } from "./body-queue.ts";
import { callersRoute } from "./callers.ts";
import { Connections, limitsWithin } from "./connections.ts";
import { configRoutes, originalConfigRoutes } from "./config.ts";
import { connectionRoom } from "./descriptors.ts";
import { eventsRoute } from "./events.ts";
import { setUpTls } from "./certificate-watch.ts";
import { clientErrorHandler, errorHandler } from "./failures.ts";
import { refuseForeignChanges } from "./cross-origin.ts";
import { drainRoute, gpuRoute, gpusRoute, resumeRoute } from "./gpus.ts";
import { dashboardRoutes } from "./dashboard.ts";
import { docsRoutes } from "./docs.ts";
import { healthRoutes } from "./health.ts";
import { liveSchemas } from "./live-schemas.ts";
import { LiveReaders } from "./live-readers.ts";
import { meRoute } from "./me.ts";
import { withWholeNames } from "./model-paths.ts";
import {
  loadModelRoute,
  pullModelRoute,
  removeModelRoute,
  servedModelRoute,
  servedModelsRoute,
  unloadModelRoute,
} from "./models.ts";
import { OPENAI_PATH, withV1 } from "./openai/envelope.ts";
import { openAiRoutes } from "./openai/routes.ts";
import { greetClients, greetingRoute } from "./ollama/greeting.ts";
import { OLLAMA_PATH, ollamaRoutes } from "./ollama/routes.ts";
import { openapiRoute, setUpOpenapi } from "./openapi.ts";
import { operatorEventsRoute } from "./operator-events.ts";
import type { AppParts, ServerParts } from "./server-parts.ts";
import { metricsRoute } from "./metrics.ts";
import { Pings } from "./pings.ts";
import { batchRoute, predictRoute } from "./predict.ts";
import { answerInTurn } from "./pipelines.ts";
import { Proxies, warnOfUnlistedProxy } from "./proxies.ts";
import { RATE_HEADERS, standardHeaders, tellRates } from "./rate-limits.ts";
import { translateAnswers } from "./reader-language.ts";
import { tellRequests } from "./request-news.ts";
import { RequestMemory } from "./request-memory.ts";
import { requestSchemas } from "./schemas/submissions.ts";
import { answerOddRequests, refuseOddShape } from "./malformed-requests.ts";
import { cutStalledReaders } from "./stalled-readers.ts";
import { cancelManyRoute, cancelRoute, removeRoute, retryRoute } from "./task-control.ts";
import { signInRoutes } from "./sign-in.ts";
import { streamTicketRoute } from "./stream-tickets.ts";
import { StreamTickets } from "./tickets.ts";
import { taskRoute, tasksRoute } from "./tasks.ts";
import { readTls } from "./tls.ts";
import { keysRoutes } from "./keys.ts";
import { usageRoute } from "./usage.ts";
import { refuseUnknownRoutes } from "./unknown-routes.ts";
import { usersRoutes } from "./users.ts";
import { setUpValidation } from "./validate.ts";
import { endpointsRoute, resumeWebhooksRoute } from "./webhook-endpoints.ts";
import { batchWebhooksRoutes, secretRoutes, taskWebhooksRoutes } from "./webhooks.ts";

export { type PlainParts, type ServerParts } from "./server-parts.ts";

export const BASE_PATH = "/api/v1";

/** Milliseconds to receive a whole request; how long its answer may take is not limited by it. */
const REQUEST_TIMEOUT = 300_000;
const HEADERS_TIMEOUT = 60_000;
/** Characters; longer task ids are no UUIDs, but are still told so. */
const MAX_PARAM_LENGTH = 8192;

/** Headers of an answer that a web page may read. */
const exposedHeaders = [
  "X-Request-Id",
  "Request-Id",
  "Retry-After",
  "Preference-Applied",
  "WWW-Authenticate",
  "Idempotent-Replayed",
  "X-Task-Id",
  "X-Task-Ids",
  "X-Gpu-Id",
  "X-Ignored-Fields",
  "X-Warning",
  "Location",
  ...RATE_HEADERS,
];

const SANE_REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;

/**
 * Makes the server; `listen` starts it, and `close` lets the requests under way end.
 * @throws {AltLasError} `bad_config`: the certificate or its key cannot be used
 */
export function createServer(parts: ServerParts): FastifyInstance {
  const { app, ...surroundings } = openApp(parts);
  setUp(app, parts, surroundings);
  return app;
}

/** Makes an app that handles connections and what is no request, whatever its routes. @throws {AltLasError} as of `createServer` */
export function openApp(parts: AppParts): Surroundings & { readonly app: FastifyInstance } {
  const { config, log } = parts;
  const newRequestId = requestIds();
  const tls = readTls(config.server.tls);
  const proxies = new Proxies(config.server.trust_proxy, parts.member?.secret);
  // Node would refuse a request without Host before anything of ours could answer it; refuseOddShape does it instead.
  const connections = { headersTimeout: HEADERS_TIMEOUT, requireHostHeader: false };
  const accessLog = new AccessLog(parts, proxies);
  const base = basePathOf(config.server);
  const app = fastify({
    ...(tls ? { https: { ...tls, ...connections } } : { http: connections }),
    requestTimeout: REQUEST_TIMEOUT,
    keepAliveTimeout: config.server.keep_alive_timeout * 1000,
    trustProxy: config.server.trust_proxy !== false && ((address: string | undefined) => proxies.trusts(address ?? "")),
    // While the server stops, requests are answered as always: GETs go on, and submissions get our own 503.
    return503OnClosing: false,
    genReqId: (request: IncomingMessage) => sentIdOf(request) ?? newRequestId(),
    rewriteUrl: (request) => withWholeNames(withV1(withoutBase(request.url ?? "/", base))),
    // By the router, not by a redirect, at which many clients would drop the body of a POST.
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true },
    frameworkErrors: refuseUnroutable(parts, accessLog),
    clientErrorHandler: clientErrorHandler(newRequestId, accessLog),
    // Of its own it would only say at which addresses it listens, which the greeting has said.
    loggerInstance: log.child({}, { level: frameworkLevel(log) }) as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    // A logger for each request would cost more than all our own work on it; what we log names the request itself.
    childLoggerFactory: (logger) => logger,
    // Ours check and write (validate.ts, serializers.ts); Fastify would load its own all the same.
    schemaController: { compilersFactory: { buildValidator: notUsed, buildSerializer: notUsed } },
  }) as unknown as FastifyInstance;
  setUpTls(app, { settings: config.server.tls, inUse: tls, log });
  allowHalfOpen(app.server);
  answerOddRequests(app.server, newRequestId, accessLog);
  cutStalledReaders(app.server);
  const limits = limitsWithin(connectionRoom(), config);
  const open = new Connections(app.server, { limits, limitOf: ownLimit(parts), proxies, log, newRequestId });
  answerInTurn(app.server, open);
  return { app, proxies, connections: open, accessLog };
}

/** Connections that a caller may have, beside its share. */
function ownLimit({ live }: Pick<ServerParts, "live">): (caller: string) => CallerLimit | null {
  return (caller) => callerLimit(live.config.callers, caller, "max_connections");
}

function notUsed(): never {
  throw new Error("A route is set up before what checks and writes its JSON.");
}

function frameworkLevel(log: ServerParts["log"]): string {
  return log.isLevelEnabled("info") ? "warn" : log.level;
}

/** The log has another level now. */
export function followLogLevel(app: FastifyInstance, log: ServerParts["log"]): void {
  app.log.level = frameworkLevel(log);
}

/** Answers a URL that no router can read; no hook sees it. */
function refuseUnroutable(parts: AppParts, accessLog: AccessLog) {
  const onError = errorHandler(parts);
  return (error: Error, request: FastifyRequest, reply: FastifyReply): void => {
    setHeaders(request.id, reply);
    onError(error, request, reply);
    accessLog.answered(request, reply);
  };
}

/** The id that a client has given its request; null: none that can be used. */
function sentIdOf({ headers }: IncomingMessage): string | null {
  const sent = headers["x-request-id"];
  return typeof sent === "string" && SANE_REQUEST_ID.test(sent) ? sent : null;
}

/**
 * A client that sends no more still waits for its answer: RFC 9112, section 9.6. Under TLS only once the handshake is done: a connection
 * whose client leaves before would stay open for two minutes.
 */
function allowHalfOpen(server: FastifyInstance["server"]): void {
  Object.assign(server, { httpAllowHalfOpen: true });
  server.on("secureConnection", (socket: Socket) => (socket.allowHalfOpen = true));
}

export interface Surroundings {
  readonly proxies: Proxies;
  readonly connections: Connections;
  readonly accessLog: AccessLog;
}

function setUp(app: FastifyInstance, parts: ServerParts, { proxies, connections, accessLog }: Surroundings): void {
  const { config, version } = parts;
  const memory = new RequestMemory(config.limits);
  setUpValidation(app, parts.live, { memory, queue: new BodyQueue() });
  countAnswers(app, memory);
  setUpRequests(app, parts, { proxies, accessLog });
  if (parts.member) knowPassages(app, { proxies, connections });
  setUpOpenapi(app, version, config.api);
  // After the plugins: their hooks come first, so that refusals too have the headers that CORS wants.
  app.after(() => refuseUnknownRoutes(app, BASE_PATH, config.api));
  app.register(async (open) => {
    healthRoutes(open, { ...parts, ...(parts.member && { role: () => "leader" as const }) });
    if (config.metrics.public) metricsRoute(open, parts);
  });
  app.register(async (open) => frontDoor(open, parts, proxies));
  const tickets = ticketsFor(app, parts);
  app.register(async (closed) => {
    closed.addHook("onRoute", guardRoute);
    auditRoutes(closed, parts.audit, proxies);
    closed.addHook("onRequest", refuseForeignChanges(config));
    if (parts.member) (await import("./standby/passes.ts")).admitByPasses(closed);
    closed.addHook("onRequest", authentication(parts, proxies, tickets));
    closed.addHook("onRequest", ({ raw, caller }, _reply, done) => {
      connections.proven(raw, caller.name);
      done();
    });
    if (parts.member) (await import("./standby/leading.ts")).answerAsLeader(closed, parts);
    closed.addHook("onRequest", boundOpenRequests(parts.live));
    closedRoutes(closed, parts, tickets);
  });
}

/** Before anybody is asked for credentials: those of the clients of another server say nothing of its connections. */
function knowPassages(app: FastifyInstance, { proxies, connections }: Omit<Surroundings, "accessLog">): void {
  app.addHook("onRequest", (request, _reply, done) => {
    const { raw } = request;
    const passage = proxies.passageOf(raw.headers);
    if (passage !== null) {
      connections.passesOn(raw);
      request.passage = passage;
    }
    done();
  });
}

/** Sets up what holds for each request, whatever the routes. */
export function setUpRequests(
  app: FastifyInstance,
  parts: AppParts,
  { proxies, accessLog }: Omit<Surroundings, "connections">,
): void {
  const { config } = parts;
  app.setErrorHandler(errorHandler(parts));
  tellRequests(app);
  app.addHook("onRequest", (request, reply, done) => {
    setHeaders(request.id, reply);
    request.response = reply.raw;
    refuseOddShape(request.raw);
    done();
  });
  app.addHook("onRequest", warnOfUnlistedProxy(proxies, parts.log));
  app.decorateRequest("refusal", null);
  tellPrefixes(app, basePathOf(config.server), proxies);
  accessLog.attach(app);
  letPagesIn(app, config);
}

/** The routes at `/`. */
function frontDoor(open: FastifyInstance, parts: ServerParts, proxies: Proxies): void {
  const { config, credentials } = parts;
  const { dashboard, api } = config;
  if (api.ollama) (dashboard.enabled ? greetClients : greetingRoute)(open);
  if (!dashboard.enabled) return;
  dashboardRoutes(open, config, credentials.signOn?.name ?? null);
  docsRoutes(open);
  signInRoutes(open, parts, proxies);
}

function letPagesIn(app: FastifyInstance, { server: { cors_origins: origins } }: AppParts["config"]): void {
  if (origins.length === 0) return;
  const methods = ["GET", "HEAD", "POST", "PATCH", "DELETE"];
  app.register(import("@fastify/cors"), {
    origin: [...origins],
    methods,
    exposedHeaders,
    maxAge: 600,
    strictPreflight: false,
  });
}

function ticketsFor(app: FastifyInstance, parts: ServerParts): StreamTickets {
  const tickets = new StreamTickets({ credentials: parts.credentials, kept: parts.member?.kept });
  const readers = new LiveReaders(parts.credentials);
  app.decorate("liveReaders", readers);
  app.addHook("onClose", async () => {
    tickets.close();
    readers.close();
  });
  return tickets;
}

function closedRoutes(closed: FastifyInstance, parts: ServerParts, tickets: StreamTickets): void {
  const pings = new Pings();
  openapiRoute(closed);
  if (!parts.config.metrics.public) metricsRoute(closed, parts);
  closed.register(async (api) => streamTicketRoute(api, tickets), { prefix: BASE_PATH });
  closed.register(async (api) => apiRoutes(api.addHook("onRoute", translateAnswers), parts, pings), {
    prefix: BASE_PATH,
  });
  closed.register(async (api) => openAiRoutes(api, parts, pings), { prefix: OPENAI_PATH });
  if (parts.config.api.anthropic)
    closed.register(async (api) => anthropicRoutes(api, parts, pings), { prefix: OPENAI_PATH });
  if (parts.config.api.ollama) closed.register(async (api) => ollamaRoutes(api, parts, pings), { prefix: OLLAMA_PATH });
}

function apiRoutes(api: FastifyInstance, parts: ServerParts, pings: Pings): void {
  const schemas = liveSchemas(parts.live, requestSchemas);
  tellRates(api, parts, standardHeaders);
  predictRoute(api, parts, schemas, pings);
  batchRoute(api, parts, schemas);
  taskRoute(api, parts);
  tasksRoute(api, parts);
  eventsRoute(api, parts, pings);
  operatorEventsRoute(api, parts, pings);
  cancelRoute(api, parts);
  cancelManyRoute(api, parts);
  retryRoute(api, parts);
  removeRoute(api, parts);
  batchStateRoute(api, parts);
  resultsRoute(api, parts);
  cancelBatchRoute(api, parts);
  secretRoutes(api, parts);
  endpointsRoute(api, parts);
  resumeWebhooksRoute(api, parts);
  taskWebhooksRoutes(api, parts);
  batchWebhooksRoutes(api, parts);
  meRoute(api, parts);
  callersRoute(api, parts);
  usageRoute(api, parts);
  gpusRoute(api, parts);
  gpuRoute(api, parts);
  drainRoute(api, parts);
  resumeRoute(api, parts);
  servedModelsRoute(api, parts);
  servedModelRoute(api, parts);
  loadModelRoute(api, parts);
  unloadModelRoute(api, parts);
  pullModelRoute(api, parts);
  removeModelRoute(api, parts);
  usersRoutes(api, parts);
  keysRoutes(api, parts);
  configRoutes(api, parts);
  originalConfigRoutes(api, parts);
  auditRoute(api, parts);
}

function setHeaders(requestId: string, reply: { header(name: string, value: string): unknown }): void {
  reply.header("x-request-id", requestId);
  reply.header("x-content-type-options", "nosniff");
  // The URL of an event stream may have a ticket.
  reply.header("referrer-policy", "no-referrer");
  reply.header("cache-control", "no-store");
}

/** Ids that are unique over restarts and cost an addition. */
function requestIds(): () => string {
  const prefix = randomBytes(6).toString("hex");
  let count = 0;
  return () => `${prefix}-${(++count).toString(36)}`;
}
