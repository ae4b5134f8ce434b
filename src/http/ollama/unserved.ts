/** The routes of Ollama's API that change which models there are: not served, and said so to clients that ask for them. */
import type { FastifyInstance } from "fastify";
import { AltLasError } from "../../errors.ts";
import { anybody } from "../access.ts";

const HIDDEN = { schema: { hide: true } };

const FETCHING = "an admin fetches models by POST /api/v1/models, or by alt-las pull";
const REMOVING = "an admin removes models that were pulled by DELETE /api/v1/models/{name}, or by alt-las rm";
const MAKING = "models are GGUF files, which an admin names in the configuration";

const ROUTES = [
  ["POST", "/pull", FETCHING],
  ["POST", "/push", MAKING],
  ["POST", "/create", MAKING],
  ["POST", "/copy", "a model has further names by its aliases in the configuration"],
  ["DELETE", "/delete", REMOVING],
] as const;

export function unservedRoutes(app: FastifyInstance): void {
  for (const [method, url, instead] of ROUTES) {
    const refuse = (): never => {
      throw new AltLasError("unsupported", `${method} ${app.prefix}${url} is not served: ${instead}.`);
    };
    // Before the body is read.
    app.route({ method, url, ...HIDDEN, onRequest: [anybody(), refuse], handler: refuse });
  }
}
