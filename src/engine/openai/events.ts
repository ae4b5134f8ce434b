/**
 * The events of an answer in OpenAI's protocol, which completions and chats have in common: each has `choices`, and the last ones
 * `finish_reason` and `usage`; `[DONE]` ends them (https://platform.openai.com/docs/api-reference/chat-streaming).
 */
import { EngineFailure } from "../failures.ts";
import { failureStatusIn } from "../upstream/figures.ts";
import { isObject, valueIn } from "../../common/json-values.ts";
import { objectIn } from "../upstream/json-fields.ts";
import { UpstreamError } from "../upstream/upstream.ts";
import type { Answer } from "./answer.ts";

type Choice = Readonly<Record<string, unknown>>;

/** Takes in what one choice brings of the answer. @returns false: it is no choice of this route */
export type TakeChoice = (answer: Answer, choice: Choice) => boolean;

/**
 * Takes in one event, or the whole answer of a server that does not stream. Fields that are null or absent are ignored; a later event
 * without choices, or with none, only counts. False: it is no sign of work.
 * @throws {UpstreamError} it is an error, or has another shape than its route's @throws {EngineFailure} it was filtered
 */
export function readEvent(answer: Answer, data: string, event: string | undefined, take: TakeChoice): boolean | void {
  const text = data.trim();
  if (text === "") return false;
  if (text === "[DONE]") {
    if (!answer.isComplete) throw new UpstreamError(null, "it ended its answer without a reason");
    return;
  }
  if (event === "error") throw failureIn(valueIn(text) ?? text);
  // An event with another name than the protocol's is for others, unless it is a piece of an answer too.
  const isForUs = event === undefined || event === "message" || isObject(valueIn(text));
  if (!isForUs) return false;
  const { choices, usage, error } = objectIn(text);
  if (error !== undefined && error !== null) throw failureIn(error);
  if (isObject(usage)) countUsage(answer, usage);
  if (choices === undefined || choices === null) return isObject(usage);
  if (!Array.isArray(choices)) throw nonsense(text);
  if (choices.length > 0) readChoice(answer, choices, text, take);
  return undefined;
}

function readChoice(answer: Answer, choices: readonly unknown[], data: string, take: TakeChoice): void {
  const [choice] = choices;
  if (choices.length > 1 || !isObject(choice)) throw nonsense(data);
  const { index, finish_reason: reason } = choice;
  if ((index ?? 0) !== 0) throw nonsense(data);
  answer.tell(choice.logprobs);
  if (!take(answer, choice)) throw nonsense(data);
  if (typeof reason === "string" && reason !== "") finish(answer, reason);
  else if (reason !== undefined && reason !== null && reason !== "") throw nonsense(data);
}

/** Whether any of these fields is filled in. */
export function hasAny(choice: Choice, fields: readonly string[]): boolean {
  return fields.some((key) => {
    const value = choice[key] ?? null;
    return value !== null && !(Array.isArray(value) && value.length === 0);
  });
}

function nonsense(data: string): UpstreamError {
  return new UpstreamError(null, `it sent what makes no sense: ${data.slice(0, 100)}`);
}

function countUsage(
  answer: Answer,
  { prompt_tokens: prompt, completion_tokens, prompt_tokens_details: details }: Record<string, unknown>,
): void {
  // Ollama fills in zeros until it knows; no prompt has no token.
  if (prompt === 0) return;
  answer.count({ prompt, completion: completion_tokens, cached: isObject(details) ? details.cached_tokens : null });
}

/** Other words for a limit, of servers that were not made for this protocol. */
const LIMITS = new Set(["length", "max_tokens", "max_length", "max_new_tokens", "token_limit", "model_length"]);
/** A task was broken off, which is neither the model's nor the task's decision. */
const BROKEN_OFF = new Set(["abort", "aborted", "error", "cancelled", "canceled", "timeout", "unknown"]);
/** The model waits for what it has asked for. */
const CALLS = new Set(["tool_calls", "function_call"]);

function finish(answer: Answer, told: string): void {
  const reason = told.toLowerCase();
  if (BROKEN_OFF.has(reason)) throw new UpstreamError(null, `it broke the task off (${reason})`);
  if (CALLS.has(reason) && !answer.hasCalls) {
    const why = answer.mayCall ? "but told none" : "for which it was not asked";
    throw new UpstreamError(null, `it ended its answer with ${reason}, ${why}`);
  }
  if (reason === "content_filter")
    throw new EngineFailure("model_error", "The server's content filter ended the answer.");
  answer.finish(LIMITS.has(reason) ? "length" : "stop");
}

/** An error that a server tells after it has begun to answer with 200; its code is the status that it would have had. */
function failureIn(told: unknown): UpstreamError {
  const error = isObject(told) && (told.error ?? null) !== null ? told.error : told;
  if (!isObject(error)) return new UpstreamError(500, typeof error === "string" ? error : JSON.stringify(error));
  const { message, code, http_status_code, status } = error;
  const known = [code, http_status_code, status].map((value) => failureStatusIn(value)).find((value) => value !== null);
  return new UpstreamError(known ?? 500, typeof message === "string" ? message : JSON.stringify(error));
}
