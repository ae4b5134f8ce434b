/** Names of the fields of Anthropic's API, for sentences about a call. */
import { wordsOf } from "../openai/words.ts";

export const { inItsWords, failureInItsWords, warnInItsWords } = wordsOf([
  [/\bresponse_format\.json_schema\.schema\b/g, "output_config.format.schema"],
  [/\bresponse_format\b/g, "output_config.format"],
  [/\btools\[(\d+)\]\.function\.parameters\b/g, "tools[$1].input_schema"],
  [/\btools\[(\d+)\]\.function\b/g, "tools[$1]"],
  [/\btool_choice\.function\b/g, "tool_choice"],
  [/(?<=^|: )stop(?= cannot)/g, "stop_sequences"],
]);
