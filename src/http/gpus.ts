/** `GET /gpus`. */
import { type FastifyInstance } from "fastify";
import { type ServerParts } from "./parts.ts";
import { GpusAnswer, NoQuery } from "./schemas.ts";
import { viewOfGpu } from "./views.ts";

export function gpusRoute(app: FastifyInstance, { gpus }: ServerParts): void {
  const schema = {
    operationId: "listGpus",
    summary: "All GPUs, also those that cannot be used, with why",
    tags: ["gpus"],
    querystring: NoQuery,
    response: { 200: GpusAnswer },
  };
  app.get("/gpus", { schema }, () => ({ gpus: gpus().map(viewOfGpu) }));
}
