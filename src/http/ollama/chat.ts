/** `POST /api/chat`. */
import type { FastifyInstance } from "fastify";
import type { TaskInput } from "../../task.ts";
import { submission } from "../access.ts";
import { toolsOf } from "../forms.ts";
import { ON_SUBMITTING } from "../openapi.ts";
import type { Pings } from "../pings.ts";
import { NoQuery } from "../schemas/common.ts";
import type { OllamaChat, OllamaSchemas } from "../schemas/ollama.ts";
import { OllamaChatAnswer } from "../schemas/ollama-answers.ts";
import type { ServerParts } from "../server-parts.ts";
import { ollamaSampling, ollamaSettings, tellIgnored, wantedOf } from "./fields.ts";
import type { Said } from "./lines.ts";
import { conversationOf } from "./messages.ts";
import { answer, textOrLines } from "./respond.ts";

export function ollamaChatRoute(app: FastifyInstance, parts: ServerParts, { chat }: OllamaSchemas, pings: Pings): void {
  app.route<{ Body: OllamaChat }>({
    method: "POST",
    url: "/chat",
    schema: {
      operationId: "ollamaChat",
      summary: "Continue a conversation, as Ollama's API does it",
      description:
        "A task, which is canceled when the client leaves, unless the call has an `Idempotency-Key`. Unknown fields and options are ignored, and named in `X-Ignored-Fields`. JSON is taken whatever the Content-Type.",
      tags: ["ollama"],
      querystring: NoQuery,
      body: chat,
      response: { 200: textOrLines(OllamaChatAnswer) },
      refusals: ["conflict", "not_found", "text_gone", ...ON_SUBMITTING],
    },
    config: { isPatient: true },
    onRequest: submission(parts),
    preValidation: tellIgnored(chat),
    handler: (request, reply) =>
      answer(
        { parts, pings, request, reply },
        {
          isEmpty: request.body.messages.length === 0,
          input: () => chatInput(request.body, parts),
          fields: chatFields,
        },
      ),
  });
}

function chatInput(body: OllamaChat, parts: ServerParts): TaskInput {
  const { config, live } = parts;
  const tools = toolsOf({ ...(body.tools && { tools: body.tools }) }, "");
  return {
    ...ollamaSettings(parts, body),
    request: {
      kind: "chat",
      messages: conversationOf(body.messages, live.config.limits.max_text_bytes),
      ...wantedOf(body),
      ...(tools && { tools }),
      sampling: ollamaSampling(body.options, config.api.openai.default_max_tokens),
    },
  };
}

function chatFields({ content, thinking, calls = [] }: Said): Pick<OllamaChatAnswer, "message"> {
  return {
    message: {
      role: "assistant",
      content,
      ...(thinking !== undefined && { thinking }),
      ...(calls.length > 0 && { tool_calls: [...calls] }),
    },
  };
}
