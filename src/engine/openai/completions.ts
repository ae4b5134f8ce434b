/**
 * The answer of `POST /v1/completions`, as far as all servers have it: each choice has a `text`
 * (https://platform.openai.com/docs/api-reference/completions).
 */
import type { Answer } from "./answer.ts";
import { hasAny, readEvent } from "./events.ts";

/** Takes in one event: see `readEvent`. */
export function readCompletion(answer: Answer, data: string, event?: string): boolean | void {
  return readEvent(answer, data, event, takeText);
}

/** The fields that only the answer to another question has: a message of a chat, or a call of a tool. */
const OTHERS = ["message", "delta", "tool_calls", "function_call"];

function takeText(answer: Answer, choice: Readonly<Record<string, unknown>>): boolean {
  const { text } = choice;
  if (hasAny(choice, OTHERS)) return false;
  if (typeof text === "string") answer.add(text);
  else if (text !== undefined && text !== null) return false;
  else answer.workedOn();
  return true;
}
