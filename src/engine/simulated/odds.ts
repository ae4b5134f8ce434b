/** The probabilities of a simulated model: functions of a token and its place, like those of a model that is fairly sure of what it says. */
import type { LikelyToken, TokenLogprob } from "../../output.ts";
import { WORDS } from "./words.ts";

/** A token that is said has at least this probability, so that it is the likeliest, as at temperature 0. */
const LEAST = 0.5;
/** And at most this one: others must be possible. */
const MOST = 0.95;

const TOKENS = [...new Set(WORDS)].map((word) => ` ${word}`);

/**
 * A token that was said, with its probability.
 * @param place its number in the answer, from 0
 * @param top how many of the likeliest tokens to tell
 */
export function oddsOf(token: string, place: number, top: number): Omit<TokenLogprob, "length"> {
  const at = hashOf(token, place);
  const probability = LEAST + (MOST - LEAST) * (at / 2 ** 32);
  const said = likely(token, probability);
  const others = Array.from({ length: TOKENS.length }, (_, turn) => TOKENS[(at + turn) % TOKENS.length]!)
    .filter((other) => other !== token)
    .slice(0, Math.max(0, top - 1))
    // Half of what is left for each, so that all of them together stay below 1.
    .map((other, index) => likely(other, (1 - probability) / 2 ** (index + 1)));
  return { ...said, top: top === 0 ? [] : [said, ...others] };
}

function likely(token: string, probability: number): LikelyToken {
  return { token, bytes: [...Buffer.from(token)], logprob: Math.log(probability) };
}

/** @returns 0 to 2^32 - 1 */
function hashOf(token: string, place: number): number {
  let hash = Math.imul(place + 1, 0x9e3779b1);
  for (let index = 0; index < token.length; index++) hash = Math.imul(hash ^ token.charCodeAt(index), 0x01000193);
  return (hash ^ (hash >>> 15)) >>> 0;
}
