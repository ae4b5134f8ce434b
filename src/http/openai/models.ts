/** `GET /v1/models`: what requests may call a model, and what it can do. */
import type { FastifyInstance } from "fastify";
import { shown } from "../../common/validation.ts";
import { AltLasError } from "../../errors.ts";
import { modelMeant, type ModelStatus } from "../../gpu/models.ts";
import { asksAnthropic, sendModel, sendModelPage } from "../anthropic/models.ts";
import { AnyQuery, ModelsQuery } from "../schemas/anthropic.ts";
import { mayAskFor } from "../model-limits.ts";
import { NoQuery } from "../schemas/common.ts";
import { ModelParams, ModelRef, ModelsAnswer, type OpenAiModel } from "../schemas/openai-answers.ts";
import type { ServerParts } from "../server-parts.ts";
import { secondsOf } from "./calls.ts";

/** Seconds after which a model may have been loaded. */
const RETRY_AFTER = 5;

export function modelsRoute(app: FastifyInstance, parts: ServerParts): void {
  const { anthropic } = parts.config.api;
  app.route<{ Querystring: ModelsQuery }>({
    method: "GET",
    url: "/models",
    schema: {
      operationId: "listModels",
      summary: "The models, as OpenAI's API lists them",
      description:
        "All that can be asked for, those too that are loaded when they are wanted; what one can do is known when it was loaded once. Where GPUs have models of their own, refused with `not_ready` until one has loaded its: clients try again by themselves then, and would take an empty list for all there is.",
      tags: ["openai"],
      querystring: anthropic ? ModelsQuery : NoQuery,
      response: { 200: ModelsAnswer },
      refusals: ["not_ready"],
    },
    handler: (request, reply) => {
      const known = knownModels(parts).filter((model) => mayAskFor(request.caller, [model.name, ...model.aliases]));
      if (asksAnthropic(parts, request)) return sendModelPage(reply, known, request.query);
      return { object: "list", data: known.map(viewOfModel) };
    },
  });
}

export function modelRoute(app: FastifyInstance, parts: ServerParts): void {
  app.route<{ Params: { "*": string } }>({
    method: "GET",
    // Names may have slashes.
    url: "/models/*",
    schema: {
      operationId: "getModel",
      summary: "One model",
      tags: ["openai"],
      params: ModelParams,
      querystring: parts.config.api.anthropic ? AnyQuery : NoQuery,
      response: { 200: ModelRef },
      refusals: ["model_not_found", "not_ready"],
    },
    handler: (request, reply) => {
      const found = modelCalled(parts, request.params["*"]);
      return asksAnthropic(parts, request) ? sendModel(reply, found) : viewOfModel(found);
    },
  });
}

/** @throws {AltLasError} `model_not_found`; `not_ready`: none was loaded yet */
export function modelCalled(parts: ServerParts, name: string): ModelStatus {
  const all = knownModels(parts);
  const found = modelMeant(name, all);
  if (found !== undefined) return found;
  const known = all.length === 0 ? "none is loaded" : all.map((model) => model.name).join(", ");
  // As tasks are refused that ask for it.
  const sentence = `model must be the name of a model (${known}); got ${shown(name)}.`;
  throw new AltLasError("model_not_found", sentence, { param: "model" });
}

/** @throws {AltLasError} `not_ready`: none was loaded yet */
function knownModels({ models, readiness }: ServerParts): readonly ModelStatus[] {
  const known = models();
  if (known.length > 0) return known;
  const { ready, reason } = readiness();
  if (ready) return known;
  throw new AltLasError("not_ready", `No model is loaded yet. ${reason ?? ""}`.trim(), { retryAfter: RETRY_AFTER });
}

function viewOfModel({ name, since, context, capabilities }: ModelStatus): OpenAiModel {
  return {
    id: name,
    object: "model",
    created: secondsOf(since),
    owned_by: "alt-las",
    context_length: context,
    capabilities: [...(capabilities ?? [])],
  };
}
