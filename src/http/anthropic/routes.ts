/** Anthropic's API, whose calls are tasks like all others. */
import type { FastifyInstance } from "fastify";
import { liveSchemas } from "../live-schemas.ts";
import type { Pings } from "../pings.ts";
import { anthropicHeaders, tellRates } from "../rate-limits.ts";
import { anthropicSchemas } from "../schemas/anthropic.ts";
import type { ServerParts } from "../server-parts.ts";
import { countTokensRoute } from "./count-tokens.ts";
import { messagesRoute } from "./messages.ts";

export function anthropicRoutes(app: FastifyInstance, parts: ServerParts, pings: Pings): void {
  const schemas = liveSchemas(parts.live, anthropicSchemas);
  // Its clients know an answer by this name.
  app.addHook("onRequest", ({ id }, reply, done) => {
    reply.header("request-id", id);
    done();
  });
  tellRates(app, parts, anthropicHeaders);
  messagesRoute(app, parts, schemas, pings);
  countTokensRoute(app, parts, schemas);
}
