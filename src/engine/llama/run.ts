/** One call of `generate` on its way through the steps. */
import { TextDecoder } from "node:util";
import type { Token } from "node-llama-cpp";
import { AnswerLogprobs } from "../answer-logprobs.ts";
import { type AnswerShape, AnswerText, isShaped } from "../answer-text.ts";
import type { GenerateOutcome, Generation } from "../engine.ts";
import type { Slot } from "./decoder.ts";
import type { Constraint } from "./grammars.ts";
import type { Likelihoods } from "./logits.ts";
import type { Prompt } from "./prompt.ts";
import type { Sampler } from "./sampler.ts";

/** How a run's tokens are told with their probabilities. */
interface Likely {
  readonly beside: AnswerLogprobs;
  /** How many of the likeliest are told in the place of each token. */
  readonly top: number;
  /** Of the last token. */
  last: Likelihoods | undefined;
}

/** From its arrival until its slot is free again. */
export interface Run {
  readonly generation: Generation;
  readonly prompt: Token[];
  /** Tokens to generate at most: what was asked for, or what the context has room for. */
  readonly limit: number;
  readonly settled: PromiseWithResolvers<GenerateOutcome>;
  readonly text: TextDecoder;
  /** null: all that is generated is the answer's text. */
  readonly answer: AnswerText | null;
  /** Whether what marks calls of tools is told. */
  readonly tellsCalls: boolean;
  /** null: nobody asks for probabilities. */
  readonly likely: Likely | null;
  readonly sampler: Sampler;
  /** null: any text will do. */
  readonly constraint: Constraint | null;
  /** Set while the run holds a slot. */
  slot: Slot | undefined;
  /** The token generated last; undefined: none yet. */
  last: Token | undefined;
  /** Prompt tokens that the model has not been given yet. */
  remaining: number;
  /** Prompt tokens that the slot held already. */
  cached: number;
  /** The others. */
  toRead: number;
  /** Milliseconds on the clock of the process when it got its slot, or those did with which it came together. */
  came: number;
  generated: number;
  end: GenerateOutcome["finishReason"] | { readonly error: unknown } | undefined;
}

/** The parts of a new run, its prompt among them. */
export interface RunParts extends Pick<Run, "generation" | "limit" | "sampler" | "constraint"> {
  readonly prompt: Prompt;
}

export function newRun({ generation, prompt: { tokens, shape }, limit, sampler, constraint }: RunParts): Run {
  return {
    generation,
    prompt: tokens,
    limit,
    settled: Promise.withResolvers(),
    text: new TextDecoder("utf-8", { ignoreBOM: true }),
    ...toldBy(generation, shape),
    tellsCalls: shape.tools !== undefined,
    sampler,
    constraint,
    slot: undefined,
    last: undefined,
    remaining: tokens.length,
    cached: 0,
    toRead: tokens.length,
    came: 0,
    generated: 0,
    end: undefined,
  };
}

function toldBy({ request, signal, emit }: Generation, shape: AnswerShape): Pick<Run, "answer" | "likely"> {
  const tell: Generation["emit"] = (...told) => signal.aborted || emit(...told);
  const top = request.kind === "embedding" ? undefined : request.logprobs;
  if (top === undefined) return { answer: isShaped(shape) ? new AnswerText(shape, tell) : null, likely: null };
  const beside = new AnswerLogprobs(tell);
  const answer: AnswerText = new AnswerText(shape, (...told) => beside.told(...told, answer.textAt));
  return { answer, likely: { beside, top, last: undefined } };
}

/** The constraint on the next token of a run; null: none. */
export function constraintNow({ constraint, answer }: Run): Constraint | null {
  return answer?.isReasoning === true ? null : constraint;
}

export function settle(run: Run): void {
  if (typeof run.end === "object") run.settled.reject(run.end.error);
  else run.settled.resolve(outcomeOf(run, run.end!));
}

export function outcomeOf(run: Run, finishReason: GenerateOutcome["finishReason"]): GenerateOutcome {
  const { prompt, generated: completionTokens, cached: cachedTokens } = run;
  return { finishReason, promptTokens: prompt.length, completionTokens, cachedTokens };
}
