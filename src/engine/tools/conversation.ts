/** Messages and tools in the shapes that chat templates know, which are those of OpenAI's API. */
import { createHash } from "node:crypto";
import { isObject, valueIn } from "../../common/json-values.ts";
import type { JsonSchema, Message, Tool, ToolCall } from "../../request.ts";

/** The characters of an id that all templates take. */
const SHORT_ID = 9;

/** The points on which a template may be strict. */
export interface Habits {
  /** Whether it refuses ids of calls that have not nine letters and digits. */
  readonly shortIds: boolean;
  /** Whether it takes several calls in one message. */
  readonly severalCalls: boolean;
  /** Whether it takes arguments that are no object. */
  readonly anyArguments: boolean;
}

/** Of a template that knows nothing of calls. */
export const NO_HABITS: Habits = { shortIds: false, severalCalls: true, anyArguments: true };

/** Without the keys of what is not there: several templates take null, and an empty list, for something. */
export function messagesOf(all: readonly Message[], habits: Habits): readonly object[] {
  const messages = habits.severalCalls ? all : withSingleCalls(all);
  const idOf = (id: string): string => (habits.shortIds ? shortened(id) : id);
  const names = new Map<string, string>();
  return messages.map(({ role, content, toolCalls, toolCallId, name }) => {
    for (const call of toolCalls ?? []) names.set(call.id, call.name);
    const called = name ?? (toolCallId === undefined ? undefined : names.get(toolCallId));
    return {
      role,
      content,
      ...(toolCalls !== undefined && {
        tool_calls: toolCalls.map((call) => ({ ...callOf(call, habits), id: idOf(call.id) })),
      }),
      ...(toolCallId !== undefined && { tool_call_id: idOf(toolCallId) }),
      ...(called !== undefined && { name: called }),
    };
  });
}

function callOf({ name, arguments: text }: ToolCall, { anyArguments }: Habits): object {
  const found = text.trim() === "" ? {} : valueIn(text);
  // Arguments that were cut off, or are no JSON, are told as they were written.
  const told = isObject(found) ? found : anyArguments ? text : { arguments: text };
  return { type: "function", function: { name, arguments: told } };
}

/** As if a model had waited for the result of each call before the next one. */
function withSingleCalls(messages: readonly Message[]): readonly Message[] {
  const results = new Map(messages.flatMap((message) => (message.toolCallId ? [[message.toolCallId, message]] : [])));
  const moved = new Set<Message>();
  return messages.flatMap((message) => {
    const { toolCalls = [], ...rest } = message;
    if (toolCalls.length < 2) return moved.has(message) ? [] : [message];
    return toolCalls.flatMap((call, index) => {
      const result = results.get(call.id);
      if (result !== undefined) moved.add(result);
      return [{ ...rest, content: index === 0 ? rest.content : "", toolCalls: [call] }, ...(result ? [result] : [])];
    });
  });
}

export function toolsOf(tools: readonly Tool[]): readonly object[] {
  return tools.map(({ name, description, parameters }) => ({
    type: "function",
    function: { name, ...(description !== undefined && { description }), parameters: parametersOf(parameters) },
  }));
}

/** Templates look into `properties` without asking whether there are any. */
function parametersOf(schema: JsonSchema | undefined): object {
  if (!isObject(schema)) return { type: "object", properties: {} };
  return "properties" in schema ? schema : { ...schema, properties: {} };
}

/** The same for the same id, and in all likelihood another one for each other. */
function shortened(id: string): string {
  const digest = createHash("sha256")
    .update(id)
    .digest("base64")
    .replaceAll(/[^a-zA-Z0-9]/g, "");
  return digest.slice(0, SHORT_ID);
}
