/** How node-llama-cpp is told to draw the tokens of an answer. */
import { type LlamaModel, type SequenceEvaluateOptions, type Token, TokenBias } from "node-llama-cpp";
import { type Request, type Sampling, wholeSampling } from "../../request.ts";

/** The likeliest token alone: what is left then has a probability, which tells NaN, and which is computed of one number, not of all. */
const GREEDY = { topK: 1, topP: 1, temperature: 1 };

/** llama.cpp takes this seed for none, and draws one. */
const NO_SEED = 2 ** 32 - 1;

export type SamplerOptions = Pick<
  SequenceEvaluateOptions,
  "topK" | "topP" | "minP" | "temperature" | "seed" | "repeatPenalty" | "tokenBias"
>;

export interface Sampler {
  readonly options: SamplerOptions;
  /** Takes each token that was drawn, where penalties follow from them; else undefined. */
  readonly drawn: Token[] | undefined;
}

/** @param limit tokens that the answer may have */
export function samplerFor(request: Request, model: LlamaModel, limit: number): Sampler {
  const { temperature, topK, topP, minP, seed = Math.floor(Math.random() * NO_SEED) } = wholeSampling(request);
  const likely =
    temperature === 0 ? GREEDY : { topK, topP, minP, temperature, seed: seed === NO_SEED ? NO_SEED - 1 : seed };
  const { presencePenalty = 0, frequencyPenalty = 0, logitBias } = request.sampling;
  if (presencePenalty === 0 && frequencyPenalty === 0 && logitBias === undefined)
    return { options: likely, drawn: undefined };
  // The list grows by what was drawn and never changes: else node-llama-cpp begins anew with all of it at each token.
  const drawn: Token[] = [];
  const repeatPenalty = {
    punishTokens: () => drawn,
    penalty: 1,
    presencePenalty,
    frequencyPenalty,
    maxPunishTokens: limit,
  };
  return { options: { ...likely, repeatPenalty, ...biasFor(logitBias, model) }, drawn };
}

function biasFor(logitBias: Sampling["logitBias"], model: LlamaModel): Pick<SamplerOptions, "tokenBias"> {
  if (logitBias === undefined) return {};
  const tokenBias = TokenBias.for(model);
  // Its `set` leaves out the tokens that end a text, without a word.
  const { _biases: biases } = tokenBias as unknown as { readonly _biases: Map<Token, number> };
  const size = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
  for (const [token, logit] of Object.entries(logitBias)) {
    if (Number(token) < size) biases.set(Number(token) as Token, logit);
  }
  return { tokenBias };
}
