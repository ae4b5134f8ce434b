/** Ollama's API, whose calls are tasks like all others. */
import type { FastifyInstance } from "fastify";
import { liveSchemas } from "../live-schemas.ts";
import type { Pings } from "../pings.ts";
import { standardHeaders, tellRates } from "../rate-limits.ts";
import { NoQuery } from "../schemas/common.ts";
import { ollamaSchemas } from "../schemas/ollama.ts";
import { OllamaVersion } from "../schemas/ollama-answers.ts";
import type { ServerParts } from "../server-parts.ts";
import { ollamaChatRoute } from "./chat.ts";
import { ollamaEmbeddingsRoute, ollamaEmbedRoute } from "./embed.ts";
import { ollamaGenerateRoute } from "./generate.ts";
import { ollamaModelRoutes } from "./models.ts";
import { unservedRoutes } from "./unserved.ts";

export const OLLAMA_PATH = "/api";

/** Clients look whether the server is new enough for them. */
const FOLLOWED = "0.12.11";

export function ollamaRoutes(app: FastifyInstance, parts: ServerParts, pings: Pings): void {
  const schemas = liveSchemas(parts.live, ollamaSchemas);
  // Some clients say nothing of the type of what they send, or that it is text.
  app.addContentTypeParser("*", app.readJson);
  tellRates(app, parts, standardHeaders);
  ollamaChatRoute(app, parts, schemas, pings);
  ollamaGenerateRoute(app, parts, schemas, pings);
  ollamaEmbedRoute(app, parts, schemas);
  ollamaEmbeddingsRoute(app, parts, schemas);
  ollamaModelRoutes(app, parts);
  versionRoute(app, parts);
  unservedRoutes(app);
}

function versionRoute(app: FastifyInstance, { version }: ServerParts): void {
  const schema = {
    operationId: "ollamaVersion",
    summary: "The version of Ollama that this API follows",
    tags: ["ollama"],
    querystring: NoQuery,
    response: { 200: OllamaVersion },
  };
  app.get("/version", { schema }, () => ({ version: FOLLOWED, alt_las: version }));
}
