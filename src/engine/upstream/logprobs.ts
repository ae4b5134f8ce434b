/**
 * The probabilities of tokens, as servers tell them: `logprobs.content` of a chat's choice, or `tokens`, `token_logprobs` and `top_logprobs`
 * of a completion's (https://platform.openai.com/docs/api-reference/completions/object). Some servers have the first in both, as llama.cpp's
 * has it in its own protocol, too.
 */
import { isObject } from "../../common/json-values.ts";
import type { LikelyToken } from "../../output.ts";
import { likelyToken, type ToldToken } from "../told-tokens.ts";

/**
 * The tokens of one event, each with so many of the likeliest in its place at most.
 * @param doubt hears of what is no token, and was left out
 */
export function tokensIn(logprobs: unknown, most: number, doubt: (what: string) => void): ToldToken[] {
  if (!isObject(logprobs)) return [];
  const told = Array.isArray(logprobs.content) ? ofChat(logprobs.content) : ofCompletion(logprobs);
  const known = told.filter((token) => token !== null);
  if (known.length < told.length) doubt("a token with a probability that is none");
  return known.map(({ token, top }) => ({ ...token, top: likeliest(top, most) }));
}

type Told = { readonly token: LikelyToken; readonly top: readonly LikelyToken[] } | null;

function ofChat(content: readonly unknown[]): Told[] {
  return content.map((entry) => {
    const token = isObject(entry) ? likelyToken(entry.token, entry.logprob, entry.bytes) : null;
    const top: readonly unknown[] = isObject(entry) && Array.isArray(entry.top_logprobs) ? entry.top_logprobs : [];
    return token && { token, top: top.flatMap((other) => (isObject(other) ? othersOf(other) : [])) };
  });
}

function othersOf({ token, logprob, bytes }: Readonly<Record<string, unknown>>): LikelyToken[] {
  const other = likelyToken(token, logprob, bytes);
  return other === null ? [] : [other];
}

function ofCompletion(logprobs: Readonly<Record<string, unknown>>): Told[] {
  const { tokens, token_logprobs: values, top_logprobs: tops } = logprobs;
  if (!Array.isArray(tokens) || !Array.isArray(values)) return [];
  return tokens.map((text: unknown, place) => {
    const token = likelyToken(text, values[place]);
    const top: unknown = Array.isArray(tops) ? tops[place] : null;
    const others = isObject(top) ? Object.entries(top) : [];
    return token && { token, top: others.flatMap(([other, logprob]) => othersOf({ token: other, logprob })) };
  });
}

/** Some servers tell the token itself beside as many as were asked for. */
function likeliest(tokens: readonly LikelyToken[], most: number): readonly LikelyToken[] {
  return tokens.toSorted((one, other) => other.logprob - one.logprob).slice(0, most);
}
