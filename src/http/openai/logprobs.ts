/** The probabilities of tokens, as the two kinds of answers have them. */
import { type TokenLogprob } from "../../output.ts";
import { type ChatLogprobs, type CompletionLogprobs } from "../schemas/openai-answers.ts";
import { viewOfToken } from "../views.ts";

/** @param logprobs undefined: they were not asked for, or there is no text */
export function chatLogprobs(logprobs: readonly TokenLogprob[] | undefined): ChatLogprobs | null {
  return logprobs === undefined ? null : { content: logprobs.map(viewOfToken), refusal: null };
}

/**
 * @param logprobs undefined: they were not asked for, or there is no text
 * @param offset UTF-16 units of the answer before them
 */
export function completionLogprobs(
  logprobs: readonly TokenLogprob[] | undefined,
  offset: number,
): CompletionLogprobs | null {
  if (logprobs === undefined) return null;
  let end = offset;
  return {
    tokens: logprobs.map(({ token }) => token),
    token_logprobs: logprobs.map(({ logprob }) => logprob),
    top_logprobs: logprobs.map(likeliestOf),
    text_offset: logprobs.map(({ length }) => (end += length) - length),
  };
}

/** With the token itself in any case. Of tokens that are shown alike, the likeliest counts. */
function likeliestOf({ token, logprob, top }: TokenLogprob): Readonly<Record<string, number>> {
  const all = [...top, { token, logprob }].toSorted((a, b) => a.logprob - b.logprob);
  // An object made so may have any name, "__proto__" too.
  return Object.fromEntries(all.map((one) => [one.token, one.logprob]));
}
