/** Conversations as Ollama's clients send them: their calls of tools have no ids, and arguments that are objects. */
import type { Message, ToolCall } from "../../request.ts";
import { type GivenMessage, messagesOf } from "../schemas/messages.ts";
import type { OllamaMessage } from "../schemas/ollama.ts";
import type { OllamaChatAnswer } from "../schemas/ollama-answers.ts";

/** @throws {AltLasError} `invalid_input`: they are too long, or no user says anything */
export function conversationOf(given: readonly OllamaMessage[], maxBytes: number): readonly Message[] {
  let count = 0;
  const plain = given.map(({ role, content, tool_calls: calls = [], tool_name, tool_call_id }): GivenMessage => {
    const made = calls.map(({ id = `call_${count++}`, function: { name, arguments: args = {} } }) => ({
      id,
      function: { name, arguments: typeof args === "string" ? args : JSON.stringify(args) },
    }));
    return {
      role,
      ...(content !== undefined && { content }),
      ...(tool_call_id !== undefined && { tool_call_id }),
      ...(tool_name !== undefined && { name: tool_name }),
      ...(made.length > 0 && { tool_calls: made }),
    };
  });
  return messagesOf(plain, "messages", maxBytes);
}

type Call = NonNullable<OllamaChatAnswer["message"]["tool_calls"]>[number];

/** The calls of an answer, and as a text those that cannot be shown as calls: their arguments are no object. */
export function viewOfCalls(calls: readonly ToolCall[]): { readonly calls: readonly Call[]; readonly text: string } {
  const shown: Call[] = [];
  let text = "";
  for (const { id, name, arguments: written } of calls) {
    const args = objectIn(written);
    if (args === null) text += JSON.stringify({ name, arguments: written });
    else shown.push({ id, function: { name, arguments: args } });
  }
  return { calls: shown, text };
}

/** null: it is none. */
function objectIn(json: string): object | null {
  try {
    const value: unknown = JSON.parse(json);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
