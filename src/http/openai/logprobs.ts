/** The probabilities of tokens, as the two kinds of answers have them. */
import { AltLasError } from "../../errors.ts";
import type { TokenLogprob } from "../../output.ts";
import type { ChatLogprobs, CompletionLogprobs } from "../schemas/openai-answers.ts";
import { viewOfToken } from "../views.ts";

/** Probabilities in the place of one token, in all choices of an answer together: it is put together in memory, and sent as one. */
const MOST_AT_ONCE = 128;

/** @param logprobs as a request has them; undefined: none @param field how the client names their number @throws {AltLasError} `invalid_input` */
export function checkLogprobs(logprobs: number | undefined, choices: number, field: string): void {
  if (logprobs === undefined || choices * (logprobs + 1) <= MOST_AT_ONCE) return;
  const most = Math.floor(MOST_AT_ONCE / choices) - 1;
  const allowed = most < 0 ? "none can be told" : `${field} must be at most ${most}`;
  const sentence = `Of ${choices} choices in one answer, ${allowed}; got ${logprobs}.`;
  throw new AltLasError("invalid_input", sentence, { param: field });
}

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
