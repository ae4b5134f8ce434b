/** `GET /config`, `PATCH /config`, and the original system's two forms of a change. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Static } from "../common/type.ts";
import { configView } from "../config/config.ts";
import { administration } from "./access.ts";
import { noteForAudit } from "./auditing.ts";
import { ConfigAnswerRef, ConfigPatch, SlotsRequest, StrategyRequest } from "./schemas/config.ts";
import { NoQuery } from "./schemas/common.ts";
import type { ServerParts } from "./server-parts.ts";

/** As RFC 7396 calls it. */
const MERGE_PATCH = /^application\/merge-patch\+json\b/i;

const mayRead = administration("Seeing the configuration");
const mayChange = administration("Changing the configuration");

const AUDITED = { audit: "config.change" } as const;

const ABOUT = { tags: ["config"], querystring: NoQuery };
const CHANGE = { ...ABOUT, refusals: ["store_unavailable" as const] };

export function configRoutes(app: FastifyInstance, { live }: ServerParts): void {
  const get = {
    ...ABOUT,
    operationId: "getConfig",
    summary: "The configuration as it holds now, and where each value comes from",
    description: "Needs the role admin.",
    response: { 200: ConfigAnswerRef },
    refusals: ["forbidden" as const],
  };
  app.get("/config", { schema: get, onRequest: mayRead }, () => configView(live));

  const patch = {
    ...CHANGE,
    operationId: "changeConfig",
    summary: "Change the configuration while the server runs",
    description:
      "All of it is taken over, or nothing: a wrong value is a 400 that names its key, a key that counts from the next start only a 409. A change is kept over a restart, until the file says something else than now. No task is lost by it. Needs the role admin.",
    body: ConfigPatch,
    response: { 200: ConfigAnswerRef },
    refusals: ["conflict" as const, "store_unavailable" as const],
  };
  const onRequest = [mayChange, asJson];
  app.patch("/config", { schema: patch, config: AUDITED, onRequest }, (request) => {
    change(live, request, request.body as object);
    return configView(live);
  });
}

/** The audit log has the keys alone: a value may be a secret. @throws {AltLasError} */
function change(live: ServerParts["live"], request: FastifyRequest, patch: object): void {
  const keys = live.patch(patch, request.caller.name);
  noteForAudit(request, { details: keys.join(", ") });
}

/** Its own type is JSON, too. */
function asJson({ headers }: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  if (MERGE_PATCH.test(headers["content-type"] ?? "")) headers["content-type"] = "application/json";
  done();
}

export function originalConfigRoutes(app: FastifyInstance, { live }: ServerParts): void {
  const strategy = {
    ...CHANGE,
    operationId: "setStrategy",
    summary: "Change the default strategy",
    description: "The same as PATCH /config with gpu.multi_gpu.default_strategy. Needs the role admin.",
    body: StrategyRequest,
    response: { 200: StrategyRequest },
  };
  app.post<{ Body: Static<typeof StrategyRequest> }>(
    "/config/gpu/strategy",
    { schema: strategy, config: AUDITED, onRequest: mayChange },
    (request) => {
      change(live, request, { gpu: { multi_gpu: { default_strategy: request.body.strategy } } });
      return { strategy: live.config.gpu.multi_gpu.default_strategy };
    },
  );

  const slots = {
    ...CHANGE,
    operationId: "setMaxConcurrentTasks",
    summary: "Change how many tasks run on each GPU at once",
    description: "The same as PATCH /config with gpu.multi_gpu.max_concurrent_tasks_per_gpu. Needs the role admin.",
    body: SlotsRequest,
    response: { 200: SlotsRequest },
  };
  app.post<{ Body: Static<typeof SlotsRequest> }>(
    "/config/gpu/max_concurrent_tasks",
    { schema: slots, config: AUDITED, onRequest: mayChange },
    (request) => {
      const { max_concurrent_tasks: slotsOfEach } = request.body;
      change(live, request, { gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: slotsOfEach } } });
      return { max_concurrent_tasks: live.config.gpu.multi_gpu.max_concurrent_tasks_per_gpu };
    },
  );
}
