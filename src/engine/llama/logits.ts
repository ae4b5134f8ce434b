/**
 * The probabilities that the model itself gives the next token, before anything is cut off or changed by how it is drawn. llama.cpp keeps the logits of a
 * step until the next one begins, so they can be looked at with samplers of our own, beside the one that draws. Nothing of the draw changes.
 *
 * node-llama-cpp tells probabilities only after all that the drawing does, or all of them at once, which takes ten times as long as a small
 * model's step and keeps the event loop busy meanwhile. Three looks tell the same: how likely the likeliest token is among all, how much
 * less likely the next ones are than that, and how much less the drawn one, unless it is among them.
 */
import type { LlamaContext, LlamaModel, Token } from "node-llama-cpp";
import {
  contextInside,
  type NativeContext,
  type NativeSampler,
  newSampler,
  type Sampled,
  type SamplerConfig,
} from "./binding.ts";
import type { Place } from "./decoder.ts";

const UNCHANGED = { temperature: 1, minP: 0, topK: 0, topP: 1, seed: 1 };
const LIKELIEST_OF_ALL = { ...UNCHANGED, temperature: 0 };

/**
 * Added to the logit of the drawn token, so that it is among the two likeliest: enough for all that is drawn in earnest. Those that only a
 * bias has made likely take more. The probabilities of the two stay numbers of 32 bits.
 */
const LIFTS = [60, 120, 240, 480, 960];

/** Stands for a probability that is no number of 32 bits any more, as in OpenAI's API. */
const LEAST = -9999;

export interface Likelihood {
  readonly token: Token;
  /** Natural logarithm of its probability. */
  readonly logprob: number;
}

/** Of a token that was drawn, and of the likeliest in its place, likeliest first. */
export interface Likelihoods extends Likelihood {
  readonly top: readonly Likelihood[];
}

/** A token that may be drawn. */
export interface Candidate {
  readonly token: Token;
  /** As a share of all of its list. */
  readonly probability: number;
}

export class Logits {
  readonly #newSampler: () => NativeSampler;
  readonly #context: NativeContext;
  /** By slot: a sampler works for one task at a time. */
  readonly #samplers: NativeSampler[] = [];

  constructor(model: LlamaModel, context: LlamaContext) {
    this.#newSampler = () => newSampler(model);
    this.#context = contextInside(context);
  }

  /** So many of the likeliest, once biases and penalties have changed the logits; likeliest first. */
  async likeliest(place: Place, config: SamplerConfig, count: number): Promise<Candidate[]> {
    return this.#candidates(place, { ...config, ...UNCHANGED, topK: count });
  }

  /**
   * Draws one of those that a grammar allows. It looks at all tokens for that: 10 ms and more, for which all tasks of the step wait.
   * @param config with the grammar's state, which may take the token
   * @throws {Error} it allows none
   */
  async draw(place: Place, config: SamplerConfig): Promise<Token> {
    const [token] = await this.#look(place, config, false);
    return token;
  }

  /** Of this token, and so many of the likeliest in its place. NaN where the model computes nonsense. */
  async likelihoods(place: Place, token: Token, count: number): Promise<Likelihoods> {
    const [best, , confidence = NaN] = await this.#look(place, LIKELIEST_OF_ALL, false);
    const known: Likelihood = { token: best, logprob: Math.log(confidence) };
    const top = count < 2 ? [known] : await this.#top(place, known, count);
    const own = top.find((other) => other.token === token) ?? (await this.#lifted(place, known, token));
    return { ...own, top: top.slice(0, count) };
  }

  dispose(): void {
    for (const sampler of this.#samplers) sampler?.dispose();
  }

  async #top(place: Place, known: Likelihood, count: number): Promise<Likelihood[]> {
    const all = await this.#candidates(place, { ...UNCHANGED, topK: count });
    return all.map(({ token, probability }) => ({ token, logprob: behind(known, probability / all[0]!.probability) }));
  }

  async #lifted(place: Place, known: Likelihood, token: Token): Promise<Likelihood> {
    for (const lift of LIFTS) {
      const tokenBiasValues = Float32Array.of(lift);
      const config = { ...UNCHANGED, topK: 2, tokenBiasKeys: Uint32Array.of(token), tokenBiasValues };
      const all = await this.#candidates(place, config);
      const own = all.find((one) => one.token === token)?.probability ?? 0;
      // Not that of `known` itself: another token may be exactly as likely.
      const best = all.find((one) => one.token !== token)?.probability ?? 0;
      if (own > 0 && best > 0) return { token, logprob: behind(known, own / best, lift) };
    }
    return { token, logprob: LEAST };
  }

  async #candidates(place: Place, config: SamplerConfig): Promise<Candidate[]> {
    const [, pairs = []] = await this.#look(place, config, true);
    const candidates: Candidate[] = [];
    for (let at = 0; at < pairs.length; at += 2)
      candidates.push({ token: pairs[at] as Token, probability: pairs[at + 1]! });
    return candidates;
  }

  #look({ slot, row }: Place, config: SamplerConfig, probabilities: boolean): Promise<Sampled> {
    const sampler = (this.#samplers[slot.index] ??= this.#newSampler());
    sampler.applyConfig(config);
    return this.#context.sampleToken(row, sampler, probabilities, !probabilities);
  }
}

/** @param share its probability as a part of the known one's, once `lift` was added to its logit */
function behind(known: Likelihood, share: number, lift = 0): number {
  return Math.min(0, Math.max(LEAST, known.logprob + Math.log(share) - lift));
}
