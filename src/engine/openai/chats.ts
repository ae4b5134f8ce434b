/**
 * The answer of `POST /v1/chat/completions`: each choice has a `delta`, or a `message` where the server does not stream
 * (https://platform.openai.com/docs/api-reference/chat-streaming). The model's reasoning, which comes first, stands apart where the server
 * parses it: in `reasoning_content` (SGLang, llama-server, TensorRT-LLM, vLLM up to 0.11), `reasoning` (vLLM, Ollama) or `thinking`. Calls
 * of tools are read in calls.ts.
 */
import { isObject } from "../../common/json-values.ts";
import type { Answer } from "./answer.ts";
import { hasAny, readEvent } from "./events.ts";

/** Takes in one event: see `readEvent`. */
export function readChat(answer: Answer, data: string, event?: string): boolean | void {
  return readEvent(answer, data, event, takeMessage);
}

/** Spellings of one field; some servers send it in two. */
const REASONING = ["reasoning_content", "reasoning", "thinking"];

function takeMessage(answer: Answer, choice: Readonly<Record<string, unknown>>): boolean {
  const message = choice.delta ?? choice.message ?? null;
  if (hasAny(choice, ["text", "tool_calls", "function_call"])) return false;
  if (message === null) answer.workedOn();
  else return isObject(message) && takeParts(answer, message);
  return true;
}

function takeParts(answer: Answer, message: Readonly<Record<string, unknown>>): boolean {
  const calls = callsIn(message);
  if (calls === null || (calls.length > 0 && !answer.mayCall)) return false;
  const content = textIn(message.content ?? message.refusal);
  if (content === null) return false;
  const reasoning = REASONING.map((field) => message[field]).find((text) => typeof text === "string" && text !== "");
  // One that only says who speaks has begun, and may end so: the answer is empty then.
  const hasBegun = hasAny(message, ["role", "content", "refusal", ...REASONING]);
  if (hasBegun) answer.add(content, reasoning as string | undefined);
  else answer.workedOn();
  if (calls.length > 0) answer.call(calls);
  return true;
}

/** null: they are no list. */
function callsIn({ tool_calls: calls, function_call: call }: Readonly<Record<string, unknown>>): unknown[] | null {
  if (calls !== undefined && calls !== null) return Array.isArray(calls) ? calls : null;
  return call === undefined || call === null ? [] : [call];
}

/** The text of a field: text, or parts that are all text; null: it is something else. */
function textIn(value: unknown): string | null {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  if (!Array.isArray(value)) return null;
  const texts = value.map((part) => (isObject(part) && typeof part.text === "string" ? part.text : null));
  return texts.includes(null) ? null : texts.join("");
}
