/** Vectors of a llama.cpp server that was started for nothing else. Its protocol: `POST /v1/embeddings` in tools/server/README.md. */
import { unitVector } from "../../common/vectors.ts";
import type { EmbeddingRequest } from "../../request.ts";
import { checkRoom, checkTokens, checkVector } from "../embedding-inputs.ts";
import type { GenerateOutcome, Generation } from "../engine.ts";
import { isObject, numberIn } from "../../common/json-values.ts";
import { objectIn } from "../upstream/json-fields.ts";
import { type Upstream, type UpstreamAnswer, UpstreamError } from "../upstream/upstream.ts";
import { type Frame, framed, type Tokenize } from "./frame.ts";

export interface EmbeddingsParts {
  readonly upstream: Upstream;
  readonly tokenize: Tokenize;
  readonly frame: () => Promise<Frame>;
  /** Tokens that an input may have. */
  readonly context: number;
  /** How many tokens the model has. */
  readonly vocabulary: number;
  /** Called when the server has got on. */
  readonly gotOn: () => void;
}

/** Inputs that the server is given at once: a request that is canceled waits for so many at most. */
const AT_ONCE = 8;

/** The behaviour of a server that computes NaN, which JSON does not have; part of a sentence. */
export const NO_DIRECTION = "it computed nonsense: its vector has no direction";

/** @throws {EngineFailure} `prompt_too_long`, `invalid_input`, `model_error` @throws {UpstreamError} the server fails, or makes no sense */
export async function embed(
  request: EmbeddingRequest,
  { begin, emit }: Pick<Generation, "begin" | "emit">,
  signal: AbortSignal,
  parts: EmbeddingsParts,
): Promise<GenerateOutcome> {
  let promptTokens = 0;
  try {
    const inputs = await inGroups(request.inputs, (input, index) => tokensOf(input, index, request, parts));
    promptTokens = inputs.reduce((sum, tokens) => sum + tokens.length, 0);
    begin?.(promptTokens);
    for (let done = 0; done < inputs.length && !signal.aborted; done += AT_ONCE) {
      const group = inputs.slice(done, done + AT_ONCE);
      const body = { input: group, encoding_format: "float" };
      const answer = await parts.upstream.ask("POST", "/v1/embeddings", body, { signal });
      parts.gotOn();
      for (const vector of vectorsIn(answer, group.length, parts.upstream)) emit({ kind: "embedding", vector }, 0);
    }
  } catch (error) {
    // It was broken off for that.
    if (!signal.aborted) throw error;
  }
  const finishReason = signal.aborted ? "canceled" : "stop";
  return { finishReason, promptTokens, completionTokens: 0, cachedTokens: 0 };
}

async function inGroups<Input, Output>(
  inputs: readonly Input[],
  use: (input: Input, index: number) => Promise<Output>,
): Promise<Output[]> {
  const outputs: Output[] = [];
  for (let at = 0; at < inputs.length; at += AT_ONCE) {
    const group = inputs.slice(at, at + AT_ONCE);
    outputs.push(...(await Promise.all(group.map((input, index) => use(input, at + index)))));
  }
  return outputs;
}

async function tokensOf(
  input: string | readonly number[],
  index: number,
  request: EmbeddingRequest,
  { tokenize, frame, vocabulary, context }: EmbeddingsParts,
): Promise<readonly number[]> {
  const isText = typeof input === "string";
  const tokens = isText
    ? await tokenize(input.toWellFormed(), { isWhole: true, special: false })
    : framed(checkTokens(input, index, vocabulary), await frame());
  checkRoom(tokens.length, index, request, context);
  return tokens;
}

/** The unit vectors of so many inputs, in their order. */
function vectorsIn(answer: UpstreamAnswer, count: number, upstream: Upstream): string[] {
  if (answer.status !== 200) throw upstream.refusal(answer);
  const { data } = objectIn(answer.body);
  const all = Array.isArray(data) ? data.filter(isObject) : [];
  const vectors = Array.from({ length: count }, (_, index) => all.find((one) => one.index === index)?.embedding);
  return vectors.map(vectorIn);
}

function vectorIn(value: unknown): string {
  if (!Array.isArray(value) || value.length === 0)
    throw new UpstreamError(null, "it does not tell the vector of a text");
  const vector = value.map((one) => numberIn(one) ?? Number.NaN);
  checkVector(vector);
  try {
    return unitVector(vector);
  } catch (cause) {
    throw new UpstreamError(null, NO_DIRECTION, { cause });
  }
}
