/** OpenAI's API, whose calls are tasks like all others. */
import type { FastifyInstance } from "fastify";
import { liveSchemas } from "../live-schemas.ts";
import type { Pings } from "../pings.ts";
import { openAiSchemas } from "../schemas/openai.ts";
import { openAiHeaders, tellRates } from "../rate-limits.ts";
import type { ServerParts } from "../server-parts.ts";
import { batchFileRoutes } from "./batches.ts";
import { chatRoute } from "./chat.ts";
import { completionsRoute } from "./completions.ts";
import { embeddingsRoute } from "./embeddings.ts";
import { fileRoutes } from "./files.ts";
import { modelRoute, modelsRoute } from "./models.ts";
import { createResponseRoute } from "./responses/create.ts";
import { inputItemsRoute } from "./responses/input-items.ts";
import { cancelResponseRoute, deleteResponseRoute, responseRoute } from "./responses/stored.ts";

export function openAiRoutes(app: FastifyInstance, parts: ServerParts, pings: Pings): void {
  const schemas = liveSchemas(parts.live, openAiSchemas);
  tellRates(app, parts, openAiHeaders);
  chatRoute(app, parts, schemas, pings);
  completionsRoute(app, parts, schemas, pings);
  embeddingsRoute(app, parts, schemas);
  createResponseRoute(app, parts, schemas, pings);
  responseRoute(app, parts, pings);
  cancelResponseRoute(app, parts);
  deleteResponseRoute(app, parts);
  inputItemsRoute(app, parts);
  fileRoutes(app, parts);
  batchFileRoutes(app, parts);
  modelsRoute(app, parts);
  modelRoute(app, parts);
}
