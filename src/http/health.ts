/** `/livez`, `/readyz` and `/healthz`: for load balancers and supervisors, which have no credentials. */
import type { FastifyInstance, FastifyReply } from "fastify";
import type { ErrorCode } from "../errors.ts";
import { GPU_STATES } from "../gpu/facts.ts";
import type { Readiness } from "../gpu/status.ts";
import type { ServerParts } from "./server-parts.ts";
import { HealthAnswer, LiveAnswer, ReadyAnswer } from "./schemas/health.ts";

/** Seconds after which asking again makes sense. */
const RETRY_AFTER = "5";

type Parts = Pick<ServerParts, "draining" | "readiness" | "version" | "gpus"> & {
  /** Its role in its cluster; absent: it is alone. */
  readonly role?: () => NonNullable<HealthAnswer["role"]>;
};

export function healthRoutes(app: FastifyInstance, parts: Parts): void {
  const live = { ...describe("live", "Whether the process answers"), response: { 200: LiveAnswer } };
  app.get("/livez", { schema: live }, () => ({ status: "alive" }));

  const ready = {
    ...describe("ready", "Whether a task sent now could finish"),
    response: { 200: ReadyAnswer, 503: ReadyAnswer },
  };
  app.get("/readyz", { schema: ready }, (_request, reply) => answer(reply, readinessOf(app, parts)));

  const health = {
    ...describe("health", "Readiness, the version, and how many GPUs are in which state"),
    response: { 200: HealthAnswer, 503: HealthAnswer },
  };
  app.get("/healthz", { schema: health }, (_request, reply) => ({
    ...answer(reply, readinessOf(app, parts)),
    version: parts.version,
    ...(parts.role && { role: parts.role() }),
    gpus: countGpus(parts),
  }));
}

function describe(operationId: string, summary: string) {
  return { operationId, summary, tags: ["health"], security: [] };
}

function readinessOf(app: FastifyInstance, { draining, readiness }: Parts): Readiness {
  if (draining()) return { ready: false, reason: "The server is stopping." };
  const { ready, reason } = readiness();
  return { ready, reason: reason ?? app.certificateTrouble() };
}

function answer(reply: FastifyReply, { ready, reason }: Readiness): ReadyAnswer {
  if (ready) return reason === null ? { status: "ready" } : { status: "ready", reason };
  reply.code(503).header("retry-after", RETRY_AFTER);
  const why = reason ?? "The server cannot say why.";
  return { status: "not ready", reason: why, error: `Not ready. ${why}`, code: "not_ready" satisfies ErrorCode };
}

function countGpus({ gpus }: Parts): HealthAnswer["gpus"] {
  const all = gpus();
  const counts = GPU_STATES.map((status) => [status, all.filter((gpu) => gpu.status === status).length]);
  return { total: all.length, ...Object.fromEntries(counts) };
}
