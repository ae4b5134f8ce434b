/** How an answer is drawn: what clients say of it, and what they are shown. A new field of `Sampling` needs a line in each of these. */
import { Type, type Static, type TObject } from "../../common/type.ts";
import { type Sampling, SAMPLING_DEFAULTS, TO_THE_END } from "../../request.ts";
import { orNull } from "./common.ts";

const SEEDS = 2 ** 32;
const MAX_STOPS = 16;
/** A longer one is no mark but a text, and all of an answer's end would be held back to look for it. */
const MAX_STOP_BYTES = 256;
const MAX_BIASES = 1024;

const Stop = Type.Unsafe<string | readonly string[]>({
  type: ["string", "array"],
  minLength: 1,
  maxBytes: MAX_STOP_BYTES,
  maxItems: MAX_STOPS,
  items: Type.String({ minLength: 1, maxBytes: MAX_STOP_BYTES }),
  alsoCalled: ["stop_sequences", "stop_sequence", "stop_strings", "stop_words", "stops"],
  allowed: `a string that is not empty, or a list of at most ${MAX_STOPS} of these`,
  description: `The answer ends before the first of these, which is not part of it: one, or up to ${MAX_STOPS}, each at most ${MAX_STOP_BYTES} bytes.`,
});

const LogitBias = Type.Unsafe<Readonly<Record<string, number>>>({
  type: "object",
  propertyNames: { pattern: "^(0|[1-9][0-9]{0,8})$" },
  additionalProperties: Type.Number({ minimum: -100, maximum: 100 }),
  maxProperties: MAX_BIASES,
  alsoCalled: ["logits_bias"],
  allowed: `an object of at most ${MAX_BIASES} numbers of tokens, each with a number from -100 to 100`,
  description: "By a token's number: added to its logit. -100 forbids it.",
});

/** Fields of `predict`, of the items of a batch and of the settings beside them. */
export const samplingFields = {
  max_length: Type.Integer({
    minimum: 1,
    default: SAMPLING_DEFAULTS.maxTokens,
    alsoCalled: [
      "max_tokens",
      "max_new_tokens",
      "max_completion_tokens",
      "max_output_tokens",
      "num_predict",
      "n_predict",
      "max_len",
      "maxtokens",
      "length",
    ],
    description: "Tokens to generate at most.",
  }),
  temperature: Type.Number({
    minimum: 0,
    maximum: 1,
    default: SAMPLING_DEFAULTS.temperature,
    alsoCalled: ["temp"],
    description: "0 is greedy.",
  }),
  top_p: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 1,
      alsoCalled: ["topp", "nucleus"],
      description: `Only the likeliest tokens that have this much of the probability together; 1: all. Without it, ${SAMPLING_DEFAULTS.topP}.`,
    }),
  ),
  top_k: Type.Optional(
    Type.Integer({
      minimum: 0,
      alsoCalled: ["topk"],
      description: `Only so many of the likeliest tokens; 0: all. Without it, ${SAMPLING_DEFAULTS.topK}.`,
    }),
  ),
  min_p: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 1,
      alsoCalled: ["minp"],
      description: `Only tokens with at least this share of the likeliest one's probability; 0: all. Without it, ${SAMPLING_DEFAULTS.minP}.`,
    }),
  ),
  seed: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: SEEDS - 1,
      alsoCalled: ["random_seed", "rng_seed"],
      description: "The same one gives the same text again on the same engine. Without it, one is drawn and shown.",
    }),
  ),
  presence_penalty: Type.Optional(
    Type.Number({
      minimum: -2,
      maximum: 2,
      description: "Taken off the logit of each token that the answer has already.",
    }),
  ),
  frequency_penalty: Type.Optional(
    Type.Number({
      minimum: -2,
      maximum: 2,
      alsoCalled: ["repetition_penalty", "repeat_penalty"],
      description: "Taken off as often as the answer has the token.",
    }),
  ),
  logit_bias: Type.Optional(LogitBias),
  stop: Type.Optional(Stop),
};

/** The part that a task shows. */
export const samplingView = {
  max_length: Type.Optional(orNull<number>("integer", { description: "null: to the end of the context." })),
  temperature: Type.Optional(Type.Number()),
  top_p: Type.Optional(Type.Number()),
  top_k: Type.Optional(Type.Integer()),
  min_p: Type.Optional(Type.Number()),
  seed: Type.Optional(Type.Integer({ description: "The one that was given, else the one that was drawn." })),
  presence_penalty: Type.Optional(Type.Number()),
  frequency_penalty: Type.Optional(Type.Number()),
  logit_bias: Type.Optional(Type.Record(Type.String(), Type.Number())),
  stop: Type.Optional(Type.Array(Type.String())),
};

type Writable<T> = { -readonly [Field in keyof T]: T[Field] };
export type SamplingFields = Static<TObject<typeof samplingFields>>;

/**
 * Where no seed is named one is drawn, so that each attempt of a task gives the same text. Only what is set becomes a field: a default
 * fills what is missing, not what is undefined.
 */
export function samplingOf(given: SamplingFields): Sampling {
  const sampling: Writable<Sampling> = {
    // No context is longer, and integers beyond it are not exact, nor can SQLite give them back.
    maxTokens: Math.min(given.max_length, Number.MAX_SAFE_INTEGER),
    // Adding 0 makes 0 of -0.
    temperature: given.temperature + 0,
  };
  if (given.top_p !== undefined) sampling.topP = given.top_p + 0;
  if (given.top_k !== undefined) sampling.topK = Math.min(given.top_k + 0, TO_THE_END);
  if (given.min_p !== undefined) sampling.minP = given.min_p + 0;
  if (given.seed !== undefined) sampling.seed = given.seed + 0;
  else if (sampling.temperature > 0) sampling.seed = drawnSeed();
  if (given.presence_penalty !== undefined) sampling.presencePenalty = given.presence_penalty + 0;
  if (given.frequency_penalty !== undefined) sampling.frequencyPenalty = given.frequency_penalty + 0;
  if (given.logit_bias !== undefined) sampling.logitBias = given.logit_bias;
  if (given.stop !== undefined && given.stop.length > 0) sampling.stop = stopsOf(given.stop);
  return sampling;
}

/** Need not be secret: it decides which of the likely texts is told. */
export function drawnSeed(): number {
  return Math.floor(Math.random() * SEEDS);
}

/** JSON can name half of a surrogate pair, which no encoding of Unicode can store. */
function stopsOf(given: string | readonly string[]): readonly string[] {
  return typeof given === "string" ? [given.toWellFormed()] : given.map((stop) => stop.toWellFormed());
}

export function viewOfSampling(sampling: Sampling): Static<TObject<typeof samplingView>> {
  const view: Static<TObject<typeof samplingView>> = {
    max_length: sampling.maxTokens === TO_THE_END ? null : sampling.maxTokens,
    temperature: sampling.temperature,
  };
  if (sampling.topP !== undefined) view.top_p = sampling.topP;
  if (sampling.topK !== undefined) view.top_k = sampling.topK;
  if (sampling.minP !== undefined) view.min_p = sampling.minP;
  if (sampling.seed !== undefined) view.seed = sampling.seed;
  if (sampling.presencePenalty !== undefined) view.presence_penalty = sampling.presencePenalty;
  if (sampling.frequencyPenalty !== undefined) view.frequency_penalty = sampling.frequencyPenalty;
  if (sampling.logitBias !== undefined) view.logit_bias = { ...sampling.logitBias };
  if (sampling.stop !== undefined) view.stop = [...sampling.stop];
  return view;
}
