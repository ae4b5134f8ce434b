/** `/metrics`: for Prometheus. */
import type { FastifyInstance, FastifyReply } from "fastify";
import { Type } from "../common/type.ts";
import { AltLasError } from "../errors.ts";
import { observation } from "./access.ts";
import type { ServerParts } from "./server-parts.ts";

const EXAMPLE = "# HELP altlas_queue_depth Tasks that wait.\n# TYPE altlas_queue_depth gauge\naltlas_queue_depth 3\n";
const MetricsText = Type.String({ description: "Prometheus' text format.", examples: [EXAMPLE] });

/** @param app whose hooks have found out who is calling, unless `metrics.public` is set */
export function metricsRoute(app: FastifyInstance, { config, metrics }: ServerParts): void {
  const isPublic = config.metrics.public;
  const schema = {
    operationId: "metrics",
    summary: "What the server does and how its GPUs are, for Prometheus",
    tags: ["metrics"],
    ...(isPublic && { security: [] }),
    refusals: ["forbidden", "not_found"] as const,
    response: { 200: { content: { "text/plain": { schema: MetricsText } } } },
  };
  const onRequest = isPublic ? [] : [observation("Reading metrics")];
  app.get("/metrics", { schema, onRequest }, async (_request, reply: FastifyReply) => {
    if (metrics === undefined) throw new AltLasError("not_found", "There are no metrics: metrics.enabled is false.");
    const { contentType, text } = await metrics();
    return reply.type(contentType).send(text);
  });
}
