/** The models as Anthropic's API lists them: for clients that say so by its header, as the path is OpenAI's, too. */
import type { FastifyReply, FastifyRequest } from "fastify";
import { AltLasError } from "../../errors.ts";
import { shown } from "../../common/validation.ts";
import type { ModelStatus } from "../../gpu/models.ts";
import type { AnthropicModel } from "../schemas/anthropic-answers.ts";
import type { ModelsQuery } from "../schemas/anthropic.ts";
import type { ServerParts } from "../server-parts.ts";

export function asksAnthropic({ config }: Pick<ServerParts, "config">, { headers }: FastifyRequest): boolean {
  return config.api.anthropic && headers["anthropic-version"] !== undefined;
}

/** @throws {AltLasError} `invalid_input`: no model has the name behind which the page begins */
export function sendModelPage(reply: FastifyReply, models: readonly ModelStatus[], query: ModelsQuery): FastifyReply {
  const { limit, after_id: after, before_id: before } = query;
  const from = after === undefined ? 0 : placeOf(models, after, "after_id") + 1;
  const to = before === undefined ? models.length : placeOf(models, before, "before_id");
  const all = models.slice(from, to);
  const page = before === undefined ? all.slice(0, limit) : all.slice(-limit);
  return send(reply, {
    data: page.map(viewOf),
    has_more: page.length < all.length,
    first_id: page[0]?.name ?? null,
    last_id: page.at(-1)?.name ?? null,
  });
}

export function sendModel(reply: FastifyReply, model: ModelStatus): FastifyReply {
  return send(reply, viewOf(model));
}

function placeOf(models: readonly ModelStatus[], id: string, field: string): number {
  const place = models.findIndex(({ name }) => name === id);
  if (place !== -1) return place;
  throw new AltLasError("invalid_input", `${field} must be the id of a model; got ${shown(id)}.`, { param: field });
}

/** The schema of the route's answers is that of OpenAI's API: a text passes it by. */
function send(reply: FastifyReply, answer: object): FastifyReply {
  reply.header("request-id", reply.request.id).type("application/json; charset=utf-8");
  return reply.send(JSON.stringify(answer));
}

function viewOf({ name, since, context }: ModelStatus): AnthropicModel {
  return {
    type: "model",
    id: name,
    display_name: name,
    created_at: new Date(since).toISOString(),
    max_input_tokens: context,
    max_tokens: context,
  };
}
