/** How llama.cpp is told to draw the tokens of an answer. */
import type { LlamaModel, Token } from "node-llama-cpp";
import { type Request, type Sampling, wholeSampling } from "../../request.ts";
import { type NativeSampler, newSampler, type SamplerConfig } from "./binding.ts";

/** The likeliest token alone: what is left then has a probability, which tells NaN, and which is computed of one number, not of all. */
const GREEDY = { topK: 1, topP: 1, minP: 0, temperature: 1, seed: 0 };

/** llama.cpp takes this seed for none, and draws one. */
const NO_SEED = 2 ** 32 - 1;

/** Draws the tokens of one answer. */
export class Sampler {
  readonly #config: SamplerConfig;
  /** Takes each token that was drawn, where penalties follow from them; else undefined. */
  readonly #drawn: Token[] | undefined;
  #native: NativeSampler | undefined;

  /** @param drawn empty, where what is drawn next follows from what was drawn before */
  constructor(config: SamplerConfig, drawn?: Token[]) {
    this.#config = config;
    this.#drawn = drawn;
  }

  /** For the next token. */
  get config(): SamplerConfig {
    return this.#drawn === undefined
      ? this.#config
      : { ...this.#config, repeatPenaltyTokens: Uint32Array.from(this.#drawn) };
  }

  /** Ready for the next token. */
  ready(model: LlamaModel): NativeSampler {
    const isNew = this.#native === undefined;
    this.#native ??= newSampler(model);
    if (isNew || this.#drawn !== undefined) this.#native.applyConfig(this.config);
    return this.#native;
  }

  /** Notes the token that came out last. */
  took(token: Token): void {
    this.#drawn?.push(token);
  }

  /** Not while it draws. */
  dispose(): void {
    this.#native?.dispose();
    this.#native = undefined;
  }
}

/** @param limit tokens that the answer may have */
export function samplerFor(request: Request, model: LlamaModel, limit: number): Sampler {
  const { temperature, topK, topP, minP, seed = Math.floor(Math.random() * NO_SEED) } = wholeSampling(request);
  const likely =
    temperature === 0 ? GREEDY : { topK, topP, minP, temperature, seed: seed === NO_SEED ? NO_SEED - 1 : seed };
  const { presencePenalty = 0, frequencyPenalty = 0, logitBias } = request.sampling;
  if (presencePenalty === 0 && frequencyPenalty === 0 && logitBias === undefined) return new Sampler(likely);
  const penalties = {
    repeatPenalty: 1,
    repeatPenaltyMaxTokens: limit,
    repeatPenaltyPresencePenalty: presencePenalty,
    repeatPenaltyFrequencyPenalty: frequencyPenalty,
  };
  return new Sampler({ ...likely, ...penalties, ...biasFor(logitBias, model) }, []);
}

function biasFor(
  logitBias: Sampling["logitBias"],
  model: LlamaModel,
): Pick<SamplerConfig, "tokenBiasKeys" | "tokenBiasValues"> {
  const size = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
  const known = Object.entries(logitBias ?? {}).filter(([token]) => Number(token) < size);
  if (known.length === 0) return {};
  return {
    tokenBiasKeys: Uint32Array.from(known, ([token]) => Number(token)),
    tokenBiasValues: Float32Array.from(known, ([, logit]) => logit),
  };
}
