/** How OpenAI's protocol asks for a text, as far as all servers have it: by a stream of events. */
import type { TextRequest } from "../../request.ts";
import { answerFields, messageOf } from "./answer-fields.ts";
import { readChat } from "./chats.ts";
import { readCompletion } from "./completions.ts";
import type { Extras, Order, Question } from "./dialect.ts";
import { samplingFields } from "./sampling-fields.ts";

const ROUTES = {
  completion: { path: "/v1/completions", read: readCompletion },
  chat: { path: "/v1/chat/completions", read: readChat },
} as const;

/** @throws {EngineFailure} `unsupported`: the server has no field for what the request asks for */
export function questionFor(order: Order, extras: Extras): Question {
  const { model, request, grammar } = order;
  const { path, read } = ROUTES[request.kind];
  return {
    path,
    body: {
      model,
      ...promptFields(request),
      ...samplingFields(order, extras),
      ...answerFields(request, extras.can, grammar),
      stream: true,
      stream_options: { include_usage: true, ...(extras.countsEachPiece && { continuous_usage_stats: true }) },
      ...extras.fields?.(order),
    },
    read,
  };
}

/** The text or the messages to continue, in JSON that is whole. */
export function promptFields(request: TextRequest): Readonly<Record<string, unknown>> {
  if (request.kind === "completion") return { prompt: request.text.toWellFormed() };
  return { messages: request.messages.map(messageOf) };
}
