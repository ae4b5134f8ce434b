/** `POST /v1/messages/count_tokens`. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { type ChatRequest, estimatedTokensOf, factsOf, NO_SAMPLING } from "../../request.ts";
import { submission } from "../access.ts";
import { usingBody } from "../bodies.ts";
import { settingsOf } from "../openai/fields.ts";
import { heldTo } from "../model-limits.ts";
import { modelCalled } from "../openai/models.ts";
import { TokenCount } from "../schemas/anthropic-answers.ts";
import { type AnthropicSchemas, AnyQuery, type CountBody } from "../schemas/anthropic.ts";
import { shared } from "../schemas/common.ts";
import type { ServerParts } from "../server-parts.ts";
import { warn } from "../warnings.ts";
import { conversationOf } from "./conversation.ts";
import { tellIdle, wantedOf } from "./fields.ts";
import { failureInItsWords } from "./words.ts";

const ESTIMATED =
  "input_tokens is an estimate, a token for every four bytes: the model is not loaded now, or the server behind its GPU does not count before it runs.";

export function countTokensRoute(app: FastifyInstance, parts: ServerParts, { count }: AnthropicSchemas): void {
  app.route<{ Body: CountBody }>({
    method: "POST",
    url: "/messages/count_tokens",
    schema: {
      operationId: "countTokens",
      summary: "The tokens of a prompt",
      description:
        "As the model counts them, with its chat template, where it is loaded and its engine tells; else an estimate, and `X-Warning` says so. No task is made, and nothing is loaded.",
      tags: ["anthropic"],
      querystring: AnyQuery,
      body: count,
      response: { 200: shared(TokenCount) },
      refusals: ["model_not_found", "unsupported", "not_ready", "draining", "model_error"],
    },
    onRequest: submission(parts, () => true),
    preValidation: tellIdle(count),
    handler: async (request, reply): Promise<TokenCount> => {
      try {
        const { tokens, isExact } = await usingBody(request, () => countedBy(parts, request));
        if (!isExact) warn(reply, [ESTIMATED]);
        return { input_tokens: tokens };
      } catch (error) {
        throw failureInItsWords(error);
      }
    },
  });
}

async function countedBy(parts: ServerParts, { body, caller }: FastifyRequest<{ Body: CountBody }>) {
  const { model, taskType } = heldTo(caller, settingsOf(body), parts.tasks);
  if (model !== null) modelCalled(parts, model);
  const messages = conversationOf(body, parts.live.config.limits.max_text_bytes);
  const request: ChatRequest = { kind: "chat", messages, ...wantedOf(body), sampling: NO_SAMPLING };
  const tokens = await parts.countTokens(request, { model, taskType });
  if (tokens !== null) return { tokens, isExact: true };
  return { tokens: estimatedTokensOf(factsOf(request).size, NO_SAMPLING), isExact: false };
}
