/** How an answer is drawn: what clients say of it, and what they are shown. A new field of `Sampling` needs a line in each of these. */
import { Type, type Static, type TObject } from "typebox";
import { type Sampling, SAMPLING_DEFAULTS } from "../../request.ts";

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
};

/** The part that a task shows. */
export const samplingView = {
  max_length: Type.Integer(),
  temperature: Type.Number(),
};

export function samplingOf({ max_length, temperature }: Static<TObject<typeof samplingFields>>): Sampling {
  return {
    // No context is longer, and integers beyond it are not exact, nor can SQLite give them back.
    maxTokens: Math.min(max_length, Number.MAX_SAFE_INTEGER),
    // Adding 0 makes 0 of -0.
    temperature: temperature + 0,
  };
}

export function viewOfSampling({ maxTokens, temperature }: Sampling): Static<TObject<typeof samplingView>> {
  return { max_length: maxTokens, temperature };
}
