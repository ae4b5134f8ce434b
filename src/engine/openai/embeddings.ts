/**
 * `POST /v1/embeddings` (https://platform.openai.com/docs/api-reference/embeddings): some inputs at a time, answered as a whole. Vectors
 * are asked for in base64, which is a third as long as their digits, unless the server refuses that.
 */
import { numbersOf, unitVector } from "../../common/vectors.ts";
import type { EmbeddingRequest } from "../../request.ts";
import type { GenerateOutcome, Generation } from "../engine.ts";
import { type Counted, plausibleTokens, tokenBounds } from "../upstream/figures.ts";
import { isObject, valueIn } from "../../common/json-values.ts";
import { type Upstream, UpstreamError } from "../upstream/upstream.ts";
import type { AnswerOptions } from "./answer.ts";

/** Inputs of one question. Text Embeddings Inference takes no more, and the answer is read as a whole. */
const AT_ONCE = 32;

type Input = EmbeddingRequest["inputs"][number];

/** One request, and who hears of it. */
export interface EmbeddingAsked extends Pick<Generation, "begin" | "emit" | "signal"> {
  readonly model: string;
  readonly request: EmbeddingRequest;
}

export class EmbeddingsRoute {
  readonly #upstream: Upstream;
  #format: "base64" | "float" | "unknown" = "unknown";

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  /**
   * Emits a unit vector for each input, in their order.
   * @throws {UpstreamError} it is refused, or the answer is not what was asked for; the reason of the signal, when that aborts
   */
  async embed(asked: EmbeddingAsked, { context = null, progress, doubt }: AnswerOptions): Promise<GenerateOutcome> {
    let promptTokens: number | null = 0;
    let hasBegun = false;
    for (const inputs of questionsOf(asked.request.inputs)) {
      const { vectors, usage } = vectorsIn(await this.#ask(asked, inputs), inputs.length);
      const { prompt } = countsIn(usage, { request: { ...asked.request, inputs }, context }, doubt);
      if (!hasBegun) asked.begin?.(inputs.length === asked.request.inputs.length ? prompt : null);
      hasBegun = true;
      for (const vector of vectors) {
        progress?.();
        asked.emit({ kind: "embedding", vector }, 0);
      }
      promptTokens = promptTokens === null || prompt === null ? null : promptTokens + prompt;
    }
    return { finishReason: "stop", promptTokens, completionTokens: 0, cachedTokens: null };
  }

  async #ask({ model, signal }: EmbeddingAsked, inputs: readonly Input[]): Promise<string> {
    const input = inputs.map((one) => (typeof one === "string" ? one.toWellFormed() : one));
    const format = this.#format === "unknown" ? "base64" : this.#format;
    const body = { model, input, encoding_format: format };
    const answer = await this.#upstream.ask("POST", "/v1/embeddings", body, { signal });
    if (answer.status === 200) {
      this.#format = format;
      return answer.body;
    }
    if (this.#format !== "unknown" || (answer.status !== 400 && answer.status !== 422))
      throw this.#upstream.refusal(answer);
    const inDigits = await this.#upstream.ask(
      "POST",
      "/v1/embeddings",
      { ...body, encoding_format: "float" },
      { signal },
    );
    // The words for what it was asked first say more, if neither will do.
    if (inDigits.status !== 200) throw this.#upstream.refusal(answer);
    this.#format = "float";
    return inDigits.body;
  }
}

/** Inputs that are asked for together: of one kind, texts or lists of tokens. */
function questionsOf(inputs: readonly Input[]): Input[][] {
  const questions: Input[][] = [];
  for (const input of inputs) {
    const last = questions.at(-1);
    if (last !== undefined && last.length < AT_ONCE && typeof last[0] === typeof input) last.push(input);
    else questions.push([input]);
  }
  return questions;
}

/** @throws {UpstreamError} it is no list of so many vectors */
function vectorsIn(body: string, count: number): { vectors: readonly string[]; usage: unknown } {
  const value = valueIn(body);
  if (!isObject(value) || !Array.isArray(value.data)) throw lie(`what makes no sense: ${body.slice(0, 100)}`);
  const { data, usage } = value;
  if (data.length !== count) throw lie(`${data.length} vectors for ${count} inputs`);
  const vectors = Array.from<string | undefined>({ length: count });
  let length: number | undefined;
  for (const [position, entry] of data.entries()) {
    const index: unknown = isObject(entry) ? (entry.index ?? position) : undefined;
    if (typeof index !== "number" || !(index in data) || vectors[index] !== undefined)
      throw lie(`a vector for no input: ${JSON.stringify(entry).slice(0, 100)}`);
    const numbers = numbersIn((entry as Record<string, unknown>).embedding);
    length ??= numbers.length;
    if (numbers.length !== length) throw lie(`vectors of ${length} and of ${numbers.length} numbers`);
    vectors[index] = made(() => unitVector(numbers));
  }
  return { vectors: vectors as string[], usage };
}

/** A vector in digits, or in base64, which a server may send unasked. */
function numbersIn(embedding: unknown): ArrayLike<number> {
  if (Array.isArray(embedding) && embedding.every((number) => typeof number === "number")) return embedding;
  if (typeof embedding !== "string") throw lie("a vector that is none");
  return made(() => numbersOf(embedding));
}

/** @throws {UpstreamError} the vector makes no sense */
function made<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw lie((error as RangeError).message);
  }
}

function countsIn(usage: unknown, asked: Parameters<typeof tokenBounds>[0], doubt: AnswerOptions["doubt"]): Counted {
  const told = { prompt: isObject(usage) ? usage.prompt_tokens : null, completion: null, cached: null };
  const counted = plausibleTokens(told, tokenBounds(asked));
  // Some servers fill in zeros.
  if (counted.prompt === null && (told.prompt ?? 0) !== 0)
    doubt?.(`${JSON.stringify(told.prompt).slice(0, 40)} prompt tokens of a task`);
  return counted;
}

function lie(what: string): UpstreamError {
  return new UpstreamError(null, `it sent ${what}`);
}
