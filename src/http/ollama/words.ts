/** Names of the fields of Ollama's API, for sentences about a call. */
import { wordsOf } from "../openai/words.ts";

export const { inItsWords, failureInItsWords, warnInItsWords } = wordsOf([
  [/\bresponse_format(?:\.json_schema\.schema)?\b/g, "format"],
  [/\bmax_length\b/g, "options.num_predict"],
  [/(?<=^|: )(stop|seed|top_k|top_p|min_p|presence_penalty|frequency_penalty)(?= cannot)/g, "options.$1"],
]);
