/** The course of one task on a simulated engine, as it is known from its start. */
import { type EmbeddingRequest, type Request, type TextRequest, textsOf } from "../../request.ts";
import { roomBehind } from "../answer-length.ts";
import { checkRoom } from "../embedding-inputs.ts";
import type { GenerateOutcome, SimulatedFailure } from "../engine.ts";
import type { Said } from "../forms/questions.ts";
import { afterOf } from "./faults.ts";
import { BYTES_PER_TOKEN, type Source } from "./source.ts";
import { sourceOf } from "./speech.ts";

export interface Plan {
  readonly promptTokens: number;
  readonly source: Source;
  /** Tokens until the end or the failure. */
  readonly tokens: number;
  /** Why it ends there, if it does not fail. */
  readonly ending: "stop" | "length";
  readonly failure: SimulatedFailure | undefined;
  /** Tokens after which it cannot be canceled; Infinity: it always can. */
  readonly deafAfter: number;
}

/**
 * @param context tokens of prompt and answer
 * @param said what the answer is where it has to have a form; null: words
 * @param script the failures that may happen on this GPU
 * @throws {EngineFailure} `prompt_too_long`
 */
export function planOf(
  request: Request,
  context: number,
  script: readonly SimulatedFailure[],
  said: Said | null,
): Plan {
  const text = textsOf(request).join("\n");
  const isEmbedding = request.kind === "embedding";
  const promptTokens = isEmbedding ? tokensInAll(request, context) : tokensIn(text);
  const room = isEmbedding ? 0 : Math.min(request.sampling.maxTokens, roomBehind(promptTokens, context));
  const source = sourceOf(request, text, said);
  const tokens = Math.min(room, source.tokens);
  const failures = failuresOf(text, tokens, script);
  const failure = failures.find(({ kind }) => kind !== "ignore_cancel");
  const deaf = failures.find(({ kind }) => kind === "ignore_cancel");
  return {
    promptTokens,
    source,
    tokens: afterOf(failure, tokens),
    ending: isEmbedding || source.tokens <= room ? "stop" : "length",
    failure,
    deafAfter: afterOf(deaf, Infinity),
  };
}

export function outcomeOf(
  plan: Plan,
  generated: number,
  finishReason: GenerateOutcome["finishReason"],
): GenerateOutcome {
  return { finishReason, promptTokens: plan.promptTokens, completionTokens: generated, cachedTokens: 0 };
}

/** The failures of this task, in order. */
function failuresOf(text: string, tokens: number, script: readonly SimulatedFailure[]): SimulatedFailure[] {
  return script
    .filter(({ when_text_contains: part = "", after_tokens: after = 0 }) => text.includes(part) && after <= tokens)
    .toSorted((a, b) => afterOf(a, 0) - afterOf(b, 0));
}

export function promptTokensOf(request: TextRequest): number {
  return tokensIn(textsOf(request).join("\n"));
}

function tokensIn(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
}

/** @param room tokens that an input may have @throws {EngineFailure} `prompt_too_long` */
function tokensInAll(request: EmbeddingRequest, room: number): number {
  let all = 0;
  for (const [index, input] of request.inputs.entries()) {
    const tokens = typeof input === "string" ? tokensIn(input) : input.length;
    checkRoom(tokens, index, request, room);
    all += tokens;
  }
  return all;
}
