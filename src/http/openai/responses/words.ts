/** Sentences about requests, with the fields that clients of the Responses API know: some of theirs are a level less deep. */
import { AltLasError } from "../../../errors.ts";
import { TaskFailure } from "../../task-failure.ts";

const WORDS: readonly (readonly [RegExp, string])[] = [
  [/\bresponse_format\.json_schema\b/g, "text.format"],
  [/\bresponse_format\b/g, "text.format"],
  [/\b(tools\[\d+\])\.function\b/g, "$1"],
  [/\btool_choice\.function\b/g, "tool_choice"],
  [/^prompt\b/, "input"],
];

export function inWordsOfResponses(sentence: string): string {
  return WORDS.reduce((text, [theirs, ours]) => text.replace(theirs, ours), sentence);
}

/** Fields that are called otherwise as a whole. */
const FIELDS: Readonly<Record<string, string>> = { messages: "input", prompt: "input", logprobs: "include" };

/** A failure with the fields that the client knows. */
export function failureInWords(error: unknown): unknown {
  if (!(error instanceof AltLasError)) return error;
  const { code, param, details, retryAfter, cause } = error;
  const message = inWordsOfResponses(error.message);
  const field = param === null ? null : (FIELDS[param] ?? inWordsOfResponses(param));
  if (message === error.message && field === param) return error;
  const Kind = error instanceof TaskFailure ? TaskFailure : AltLasError;
  return new Kind(code, message, {
    details,
    cause,
    ...(field !== null && { param: field }),
    ...(retryAfter !== undefined && { retryAfter }),
  });
}
