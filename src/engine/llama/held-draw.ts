/**
 * Draws the tokens of an answer that has to have a form.
 *
 *  1. A token is drawn as always. The form allows most of them, as the model knows what it is asked for.
 *  2. Else one of the likeliest that it allows, as the sampling says, where it is certain that the others have no part in that.
 *  3. Else llama.cpp holds its whole vocabulary against the form. That takes longer than a step does on a GPU, and all tasks of the step wait.
 *
 * Draws of the second and third kind follow from the seed and the number of tokens before, so that a text comes again wherever it is drawn.
 */
import type { Token } from "node-llama-cpp";
import { EngineFailure } from "../failures.ts";
import type { Constraint } from "./grammars.ts";
import type { SamplerConfig } from "./binding.ts";
import type { Place } from "./decoder.ts";
import type { Candidate, Logits } from "./logits.ts";

/** Of the likeliest tokens, so many are held against the form one by one, at some microseconds each. */
const CANDIDATES = 64;

const STUCK = "The model can write nothing that goes on with the form that its answer has to have.";

export interface HeldDraw {
  readonly constraint: Constraint;
  readonly config: SamplerConfig;
  /** The token drawn without a look at the form. */
  readonly token: Token;
  /** Tokens that the answer has already. */
  readonly generated: number;
  readonly place: Place;
}

/** @throws {EngineFailure} `model_error`: the form allows no token that the model has */
export async function heldDraw(logits: Logits, draw: HeldDraw): Promise<Token> {
  const { constraint, token } = draw;
  return constraint.allows(token) ? token : ((await amongLikeliest(logits, draw)) ?? (await amongAll(logits, draw)));
}

/** null: other tokens may have a part in the draw. */
async function amongLikeliest(
  logits: Logits,
  { constraint, config, place, generated }: HeldDraw,
): Promise<Token | null> {
  const { topK, minP, seed } = config;
  if (minP === 0 && (topK === 0 || topK > CANDIDATES)) return null;
  const allowed: Candidate[] = [];
  for (const candidate of await logits.likeliest(place, config, CANDIDATES)) {
    const isTooUnlikely = allowed.length > 0 && candidate.probability < minP * allowed[0]!.probability;
    if (!isTooUnlikely && constraint.allows(candidate.token)) allowed.push(candidate);
    if (isTooUnlikely || allowed.length === topK) return chosen(allowed, config, shareOf(seed, generated));
  }
  return null;
}

/** @param share 0 to 1: of the probability of those that are left, likeliest first */
function chosen(candidates: readonly Candidate[], { topP, temperature }: SamplerConfig, share: number): Token {
  const all = candidates.reduce((sum, { probability }) => sum + probability, 0);
  let before = 0;
  const left = candidates.filter(({ probability }) => {
    const isLeft = before < topP * all || before === 0;
    before += probability;
    return isLeft;
  });
  const best = left[0]!.probability;
  const weights = left.map(({ probability }) => (probability / best) ** (1 / temperature));
  let rest = share * weights.reduce((sum, weight) => sum + weight, 0);
  return left[weights.findIndex((weight) => (rest -= weight) < 0)]?.token ?? left[0]!.token;
}

async function amongAll(logits: Logits, { constraint, config, place, generated }: HeldDraw): Promise<Token> {
  const seed = numberOf(config.seed, generated);
  // Where a grammar allows no token at all, llama.cpp draws any, or cannot take it.
  const token = await logits
    .draw(place, { ...config, seed, grammarEvaluationState: constraint.copy() })
    .catch(() => null);
  if (token === null || !constraint.allows(token)) throw new EngineFailure("model_error", STUCK);
  return token;
}

function shareOf(seed: number, count: number): number {
  return numberOf(seed, count) / 2 ** 32;
}

/** A number of 32 bits (the mixing is `lowbias32` of https://github.com/skeeto/hash-prospector). */
function numberOf(seed: number, count: number): number {
  let bits = seed ^ Math.imul(count + 1, 0x9e3779b9);
  bits = Math.imul(bits ^ (bits >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  return (bits ^ (bits >>> 16)) >>> 0;
}
