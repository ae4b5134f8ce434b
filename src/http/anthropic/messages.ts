/** `POST /v1/messages`. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { TaskInput } from "../../task.ts";
import { submission } from "../access.ts";
import { usingBody } from "../bodies.ts";
import { AnswerStream } from "../openai/answer-stream.ts";
import { endOf, submitCall } from "../openai/calls.ts";
import { settingsOf } from "../openai/fields.ts";
import { ON_SUBMITTING } from "../openapi.ts";
import type { Pings } from "../pings.ts";
import { type MessageAnswer, MessageAnswer as MessageSchema, MessageEvents } from "../schemas/anthropic-answers.ts";
import { type AnthropicSchemas, AnyQuery, type MessagesBody } from "../schemas/anthropic.ts";
import { shared } from "../schemas/common.ts";
import type { ServerParts } from "../server-parts.ts";
import { warn } from "../warnings.ts";
import { messageOf } from "./answer.ts";
import { conversationOf, refuseBegunAnswer } from "./conversation.ts";
import { messageStream } from "./events.ts";
import { sampling, tellIdle, wantedOf } from "./fields.ts";
import { failureInItsWords, warnInItsWords } from "./words.ts";

type MessagesRequest = FastifyRequest<{ Body: MessagesBody }>;

export function messagesRoute(
  app: FastifyInstance,
  parts: ServerParts,
  { messages }: AnthropicSchemas,
  pings: Pings,
): void {
  app.route<{ Body: MessagesBody }>({
    method: "POST",
    url: "/messages",
    schema: {
      operationId: "createMessage",
      summary: "Answer a conversation, as Anthropic's API does it",
      description:
        "The answer is a task, which is canceled when the client leaves, unless the call has an `Idempotency-Key`. Unknown fields are ignored, and named in `X-Ignored-Fields`.",
      tags: ["anthropic"],
      querystring: AnyQuery,
      body: messages,
      response: {
        200: {
          content: {
            "application/json": { schema: shared(MessageSchema) },
            "text/event-stream": { schema: MessageEvents },
          },
        },
      },
      refusals: ["conflict", "not_found", "text_gone", ...ON_SUBMITTING],
    },
    config: { isPatient: true },
    onRequest: submission(parts),
    preValidation: tellIdle(messages),
    handler: async (request, reply) => {
      try {
        return await answer(parts, pings, request, reply);
      } catch (error) {
        throw failureInItsWords(error);
      }
    },
  });
}

async function answer(
  parts: ServerParts,
  pings: Pings,
  request: MessagesRequest,
  reply: FastifyReply,
): Promise<MessageAnswer | FastifyReply | undefined> {
  const { stream } = request.body;
  const call = await usingBody(request, async () => submitCall(parts, request, reply, [inputOf(request.body, parts)]));
  warnInItsWords(reply);
  if (stream) {
    await new AnswerStream(reply, call, messageStream(request.id)).start(parts, pings);
    return undefined;
  }
  const [task] = (await endOf(parts, call, reply)) ?? [];
  if (task === undefined) return reply;
  const { message, warnings } = messageOf(task);
  warn(reply, warnings);
  warnInItsWords(reply);
  return message;
}

function inputOf(body: MessagesBody, { live }: ServerParts): TaskInput {
  const messages = conversationOf(body, live.config.limits.max_text_bytes);
  refuseBegunAnswer(body);
  return {
    ...settingsOf(body),
    request: { kind: "chat", messages, ...wantedOf(body), sampling: sampling(body) },
  };
}
