/** `GET /v1/responses/<id>/input_items`: what a response was asked itself, without the conversation before. */
import type { FastifyInstance } from "fastify";
import { shown } from "../../../common/validation.ts";
import { AltLasError } from "../../../errors.ts";
import type { Message, Request } from "../../../request.ts";
import { InputItemsAnswer, InputItemsQuery, ResponseParams } from "../../schemas/response-answers.ts";
import type { ServerParts } from "../../server-parts.ts";
import { requestOfStored, responseNamed } from "./earlier.ts";
import { inputIdOf } from "./ids.ts";
import type { ResponseNote } from "./note.ts";
import { pageOf } from "../pages.ts";

interface InputItem {
  readonly id: string;
}

export function inputItemsRoute(app: FastifyInstance, { tasks }: ServerParts): void {
  app.route<{ Params: { response_id: string }; Querystring: InputItemsQuery }>({
    method: "GET",
    url: "/responses/:response_id/input_items",
    schema: {
      operationId: "listInputItems",
      summary: "The input of a response",
      description: "Its own items: what `previous_response_id` brought with it is not among them.",
      tags: ["openai"],
      params: ResponseParams,
      querystring: InputItemsQuery,
      response: { 200: InputItemsAnswer },
    },
    handler: async ({ caller, params, query: { limit, order, after } }) => {
      const { task, note } = await responseNamed(tasks, caller, params.response_id);
      const items = itemsOfInput(task.id, await requestOfStored(tasks, task), note);
      const ordered = order === "asc" ? items : items.toReversed();
      const begin = after === undefined ? 0 : ordered.findIndex(({ id }) => id === after) + 1;
      if (after !== undefined && begin === 0) {
        const sentence = `after must be the id of an item of this input; got ${shown(after)}.`;
        throw new AltLasError("invalid_input", sentence, { param: "after" });
      }
      const data = ordered.slice(begin, begin + limit);
      return pageOf([...data], begin + limit < ordered.length);
    },
  });
}

function itemsOfInput(taskId: string, request: Request, { own }: ResponseNote): readonly InputItem[] {
  const messages = request.kind === "chat" ? request.messages.slice(own) : [];
  let count = 0;
  const next = (kind: Parameters<typeof inputIdOf>[1]): string => inputIdOf(taskId, kind, count++);
  return messages.flatMap((message) => [...itemsOfMessage(message, next)]);
}

function* itemsOfMessage(
  { role, content, toolCalls = [], toolCallId = "" }: Message,
  next: (kind: "msg" | "fc" | "fco") => string,
): Iterable<InputItem & { readonly [field: string]: unknown }> {
  const status = "completed";
  if (role === "tool") {
    yield { id: next("fco"), type: "function_call_output", status, call_id: toolCallId, output: content };
    return;
  }
  if (content !== "" || toolCalls.length === 0) {
    const part =
      role === "assistant"
        ? { type: "output_text", text: content, annotations: [] }
        : { type: "input_text", text: content };
    yield { id: next("msg"), type: "message", status, role, content: [part] };
  }
  for (const { id, name, arguments: given } of toolCalls)
    yield { id: next("fc"), type: "function_call", status, call_id: id, name, arguments: given };
}
