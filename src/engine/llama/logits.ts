/**
 * What the model itself makes of the next token, before anything is cut off or changed by how it is drawn. llama.cpp keeps the logits of a
 * step until the next one begins, so they can be looked at with samplers of our own, beside the one that draws. Nothing of the draw changes.
 *
 * node-llama-cpp tells probabilities only after all that the drawing does, or all of them at once, which takes ten times as long as a small
 * model's step and keeps the event loop busy meanwhile. Three looks tell the same: how likely the likeliest token is among all, how much
 * less likely the next ones are than that, and how much less the drawn one, unless it is among them.
 */
import { type LlamaContext, type LlamaModel, type Token } from "node-llama-cpp";

/** The sampler and the call of node-llama-cpp 3.21, in no public interface; test/llama-logprobs.test.ts fails when they change. */
interface AddonSampler {
  applyConfig(config: Readonly<Record<string, unknown>>): void;
  dispose(): void;
}

/** The token, the probabilities as token and number in turn, likeliest first, and the probability of the token. */
type Sampled = readonly [token: Token, probabilities: readonly number[] | undefined, confidence: number | undefined];

interface Bindings {
  readonly _llama: { readonly _bindings: { readonly AddonSampler: new (model: unknown) => AddonSampler } };
  readonly _model: unknown;
}

interface NativeContext {
  readonly _ctx: {
    sampleToken(row: number, sampler: AddonSampler, probabilities: boolean, confidence: boolean): Promise<Sampled>;
  };
}

const UNCHANGED = { temperature: 1, minP: 0, topK: 0, topP: 1, seed: 1 };
const LIKELIEST_OF_ALL = { ...UNCHANGED, temperature: 0 };
const LIKELIEST = { ...UNCHANGED, topK: 1 };

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

/** The place of a task in a step. */
export interface Place {
  /** The number of its slot. */
  readonly slot: number;
  /** Counted from the step's last result, which is -1. */
  readonly row: number;
}

export class Logits {
  readonly #newSampler: () => AddonSampler;
  readonly #context: NativeContext["_ctx"];
  /** By slot: a sampler works for one task at a time. */
  readonly #samplers: AddonSampler[] = [];

  constructor(model: LlamaModel, context: LlamaContext) {
    const { _llama: llama, _model: native } = model as unknown as Bindings;
    const { _bindings: bindings } = llama;
    const { _ctx: decoded } = context as unknown as NativeContext;
    this.#newSampler = () => new bindings.AddonSampler(native);
    this.#context = decoded;
  }

  /** Whether the best of them is a number, as it is not where the model computes nonsense. */
  async areNumbers(place: Place): Promise<boolean> {
    const [, , confidence] = await this.#look(place, LIKELIEST, false);
    return !Number.isNaN(confidence);
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
    const [, probabilities = []] = await this.#look(place, { ...UNCHANGED, topK: count }, true);
    const pairs = Array.from({ length: probabilities.length / 2 }, (_, at) => ({
      token: probabilities[2 * at] as Token,
      probability: probabilities[2 * at + 1]!,
    }));
    const [best] = pairs;
    return pairs.map(({ token, probability }) => ({ token, logprob: behind(known, probability / best!.probability) }));
  }

  async #lifted(place: Place, known: Likelihood, token: Token): Promise<Likelihood> {
    for (const lift of LIFTS) {
      const tokenBiasValues = Float32Array.of(lift);
      const config = { ...UNCHANGED, topK: 2, tokenBiasKeys: Uint32Array.of(token), tokenBiasValues };
      const [, probabilities = []] = await this.#look(place, config, true);
      const own = Math.max(...probabilitiesOf(probabilities, (other) => other === token));
      // Not that of `known` itself: another token may be exactly as likely.
      const best = Math.max(...probabilitiesOf(probabilities, (other) => other !== token));
      if (own > 0 && best > 0) return { token, logprob: behind(known, own / best, lift) };
    }
    return { token, logprob: LEAST };
  }

  #look({ slot, row }: Place, config: Readonly<Record<string, unknown>>, probabilities: boolean): Promise<Sampled> {
    const sampler = (this.#samplers[slot] ??= this.#newSampler());
    sampler.applyConfig(config);
    return this.#context.sampleToken(row, sampler, probabilities, !probabilities);
  }
}

/** @param share its probability as a part of the known one's, once `lift` was added to its logit */
function behind(known: Likelihood, share: number, lift = 0): number {
  return Math.min(0, Math.max(LEAST, known.logprob + Math.log(share) - lift));
}

function probabilitiesOf(probabilities: readonly number[], isMeant: (token: number) => boolean): number[] {
  return probabilities.filter((_, at) => at % 2 === 1 && isMeant(probabilities[at - 1]!));
}
