/**
 * OpenAI's protocol for completions, as far as all servers have it: `POST /v1/completions` with `stream`, answered by events of which
 * each has `choices`, and the last ones `finish_reason` and `usage`; `[DONE]` ends them
 * (https://platform.openai.com/docs/api-reference/completions).
 */
import { UpstreamError } from "../upstream.ts";
import { isObject, numberIn, objectIn } from "../json-fields.ts";
import { type Answer } from "./answer.ts";
import { type Dialect, type Order, type Question, SAYS_NOTHING } from "./dialect.ts";

/** What a server knows beyond OpenAI's own fields. TensorRT-LLM and others refuse those that they don't know. */
export interface Extras {
  /** Whether it knows `top_k` and `min_p`. */
  readonly samplers: boolean;
  /** Whether it can say with each piece how many tokens there have been. */
  readonly countsEachPiece: boolean;
  /** Further fields. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** As the embedded engine samples, so that a task does not depend on the GPU it got. */
const SAMPLING = { top_k: 40, top_p: 0.95, min_p: 0.05 };

/** The largest number that every server reads. */
const MOST_TOKENS = 2 ** 31 - 1;

export function completion(order: Order, { samplers, countsEachPiece, fields }: Extras): Question {
  const { model, text, maxLength, temperature } = order;
  const { top_p } = SAMPLING;
  return {
    path: "/v1/completions",
    body: {
      model,
      prompt: text.toWellFormed(),
      max_tokens: Math.min(maxLength, MOST_TOKENS),
      temperature,
      // Greedy is greedy; TGI takes any sampler as a wish to sample.
      ...(temperature > 0 && (samplers ? SAMPLING : { top_p })),
      stream: true,
      stream_options: { include_usage: true, ...(countsEachPiece && { continuous_usage_stats: true }) },
      ...fields,
    },
    read: readCompletion,
  };
}

/** A server of which nothing is known but that it speaks the protocol. */
export const PLAIN: Dialect = {
  name: "An OpenAI-compatible server",
  owner: null,
  about: async () => SAYS_NOTHING,
  ask: (order) => completion(order, { samplers: false, countsEachPiece: false }),
};

function readCompletion(answer: Answer, data: string): void {
  if (data === "[DONE]") {
    if (!answer.isComplete) throw new UpstreamError(null, "it ended its answer without a reason");
    return;
  }
  const { choices, usage, error } = objectIn(data);
  if (error !== undefined && error !== null) throw failureIn(error);
  if (!Array.isArray(choices)) throw new UpstreamError(null, `it sent what makes no sense: ${data.slice(0, 100)}`);
  if (isObject(usage)) countUsage(answer, usage);
  const choice: unknown = choices[0];
  if (!isObject(choice)) return;
  const { text, finish_reason: reason } = choice;
  answer.add(typeof text === "string" ? text : "");
  if (typeof reason === "string" && reason !== "") finish(answer, reason);
}

function countUsage(
  answer: Answer,
  { prompt_tokens, completion_tokens, prompt_tokens_details }: Record<string, unknown>,
) {
  const prompt = numberIn(prompt_tokens) ?? 0;
  // Ollama fills in zeros until it knows; no prompt has no token.
  if (prompt === 0) return;
  const cached = isObject(prompt_tokens_details) ? numberIn(prompt_tokens_details.cached_tokens) : null;
  answer.count(prompt, numberIn(completion_tokens) ?? 0, cached);
}

/** vLLM and SGLang call it so when a task was broken off, which is neither the model's nor the task's decision. */
function finish(answer: Answer, reason: string): void {
  if (reason === "abort" || reason === "error") throw new UpstreamError(null, "it broke the task off");
  answer.finish(reason);
}

/** What a server says once it has begun to answer with 200; its code is the status that it would have had. */
function failureIn(error: unknown): UpstreamError {
  if (!isObject(error)) return new UpstreamError(500, String(error));
  const { message, code, http_status_code } = error;
  const status = numberIn(code) ?? numberIn(http_status_code) ?? (Number(code) || 500);
  return new UpstreamError(status, typeof message === "string" ? message : JSON.stringify(error));
}
