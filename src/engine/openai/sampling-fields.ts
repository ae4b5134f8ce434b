/** How an answer is to be drawn, in OpenAI's fields and those that other servers have added. */
import { type SamplingName, type TextRequest, TO_THE_END, type WholeSampling, wholeSampling } from "../../request.ts";
import type { Extras, Order } from "./dialect.ts";

/** All fields that a server may know. */
export const ALL_FIELDS: readonly SamplingName[] = [
  "top_p",
  "top_k",
  "min_p",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "logit_bias",
  "stop",
];

/** Those of OpenAI's own protocol. */
export const OPENAI_FIELDS: readonly SamplingName[] = ALL_FIELDS.filter(
  (field) => field !== "top_k" && field !== "min_p",
);

/** Most servers refuse 0; this leaves the likeliest token too. */
const LEAST_TOP_P = 1e-6;

/** The largest number that every server reads. */
const MOST_TOKENS = 2 ** 31 - 1;

type Fields = Record<string, unknown>;

/** Those of one request that the server honours. */
export function samplingFields({ request, about }: Order, extras: Extras): Fields {
  const sampling = wholeSampling(request);
  const fields: Fields = { ...limitOf(request, extras), temperature: sampling.temperature };
  for (const name of about.honours ?? extras.honours) {
    const value = valueOf(name, sampling, extras);
    if (value !== undefined) fields[name] = value;
  }
  return fields;
}

function limitOf({ kind, sampling: { maxTokens } }: TextRequest, { endless }: Extras): Fields {
  const isEndless = maxTokens === TO_THE_END && endless[kind] !== undefined;
  return isEndless ? { ...endless[kind] } : { max_tokens: Math.min(maxTokens, MOST_TOKENS) };
}

function valueOf(name: SamplingName, sampling: WholeSampling, extras: Extras): unknown {
  const { temperature, topP, topK } = sampling;
  // Greedy is greedy; TGI takes any sampler as a wish to sample.
  const isGreedy = temperature === 0;
  switch (name) {
    case "top_p":
      return isGreedy || (topP >= 1 && extras.topPBelowOne === true) ? undefined : Math.max(topP, LEAST_TOP_P);
    case "top_k":
      return isGreedy ? undefined : topK === 0 ? (extras.wholeVocabulary ?? -1) : topK;
    case "min_p":
      return isGreedy ? undefined : sampling.minP;
    case "seed":
      return isGreedy ? undefined : sampling.seed;
    case "presence_penalty":
      return sampling.presencePenalty;
    case "frequency_penalty":
      return sampling.frequencyPenalty;
    case "logit_bias":
      return sampling.logitBias;
    case "stop":
      return sampling.stop?.slice(0, extras.mostStops);
  }
}
