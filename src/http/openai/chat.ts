/** `POST /v1/chat/completions`. */
import type { FastifyInstance } from "fastify";
import type { TaskInput } from "../../task.ts";
import { submission } from "../access.ts";
import { usingBody } from "../bodies.ts";
import { ON_SUBMITTING } from "../openapi.ts";
import { viewOfToolCall } from "../form-views.ts";
import type { Pings } from "../pings.ts";
import { NoQuery, shared } from "../schemas/common.ts";
import { ChatAnswer, ChunksText } from "../schemas/openai-answers.ts";
import type { ChatBody, OpenAiSchemas } from "../schemas/openai.ts";
import type { ServerParts } from "../server-parts.ts";
import { chatFinishReasonOf, type Answered, frameOf, submitCall } from "./calls.ts";
import { CHAT_CHUNKS } from "./chunks.ts";
import { conversationOf, samplingsOf, settingsOf, tellIgnored, wantedOf } from "./fields.ts";
import { chatLogprobs } from "./logprobs.ts";
import { respond, wishesOf } from "./respond.ts";

export function chatRoute(app: FastifyInstance, parts: ServerParts, { chat }: OpenAiSchemas, pings: Pings): void {
  app.route<{ Body: ChatBody }>({
    method: "POST",
    url: "/chat/completions",
    schema: {
      operationId: "createChatCompletion",
      summary: "Continue a conversation, as OpenAI's API does it",
      description:
        "Each choice is a task, which is canceled when the client leaves, unless the call has an `Idempotency-Key`. Unknown fields are ignored, and named in `X-Ignored-Fields`.",
      tags: ["openai"],
      querystring: NoQuery,
      body: chat,
      response: {
        200: {
          content: { "application/json": { schema: shared(ChatAnswer) }, "text/event-stream": { schema: ChunksText } },
        },
      },
      refusals: ["conflict", "not_found", "text_gone", ...ON_SUBMITTING],
    },
    config: { isPatient: true },
    onRequest: submission(parts),
    preValidation: tellIgnored(chat),
    handler: async (request, reply) => {
      const wishes = wishesOf(request.body);
      const call = await usingBody(request, async () =>
        submitCall(parts, request, reply, chatInputs(request.body, parts)),
      );
      return respond({ parts, pings, reply }, call, wishes, { kind: CHAT_CHUNKS, whole: chatAnswer });
    },
  });
}

/** The tasks of a call, one for each choice. @throws {AltLasError} `invalid_input`, `unsupported` */
export function chatInputs(
  body: ChatBody,
  { config, live }: Pick<ServerParts, "config" | "live">,
): readonly TaskInput[] {
  const messages = conversationOf(body.messages, live.config.limits.max_text_bytes);
  const wanted = wantedOf(body);
  const settings = settingsOf(body);
  return samplingsOf(body, config.api.openai).map((sampling) => ({
    ...settings,
    request: { kind: "chat", messages, ...wanted, sampling },
  }));
}

export function chatAnswer(tasks: readonly Answered[]): ChatAnswer {
  return {
    ...frameOf("chatcmpl", tasks, tasks.length),
    object: "chat.completion",
    choices: tasks.map(({ result }, index) => ({
      index,
      message: {
        role: "assistant",
        content: result.text === "" && result.toolCalls !== undefined ? null : result.text,
        ...(result.toolCalls && { tool_calls: result.toolCalls.map(viewOfToolCall) }),
        ...(result.reasoning !== undefined && { reasoning_content: result.reasoning }),
        refusal: null,
      },
      logprobs: chatLogprobs(result.logprobs),
      finish_reason: chatFinishReasonOf(result),
    })),
  };
}
