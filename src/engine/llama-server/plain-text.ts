/**
 * Which texts may be sent as they are. A llama.cpp server takes what looks like a special token in a text for that token, so it is given
 * the tokens of such a text, for which it has to be asked; all others it may turn into tokens by itself, which saves a task that question.
 */
import type { ModelHeader } from "../llama/header.ts";
import type { UserTokens } from "../llama/user-tokens.ts";

/** Of `enum llama_token_type`: normal; defined by a user (for which see llama/user-tokens.ts); and a byte that no other token has. */
const ORDINARY = new Set([1, 4, 6]);

/** llama.cpp holds some tokens for special by what they look like, whatever the file says; all of them have one of these. */
const BRACKETS = ["<", "["];

/** Tokens that a text may have beyond its bytes: its beginning, its end, and a space before it. */
const MARGIN = 8;

/** Whether the context has room for a text and an answer of so many tokens, whatever the text's tokens are. */
export function isRoomFor(text: string, maxTokens: number, context: number): boolean {
  return Buffer.byteLength(text) + maxTokens + MARGIN <= context;
}

export class PlainText {
  /** Characters with which special tokens begin, or that they have; null: the file does not tell its tokens. */
  readonly #signs: ReadonlySet<string> | null;

  constructor({ insights }: Pick<ModelHeader, "insights">, { names }: Pick<UserTokens, "names">) {
    const { tokens, token_type: types } = insights.ggufFileInfo.metadata.tokenizer?.ggml ?? {};
    const isKnown = Array.isArray(tokens) && Array.isArray(types) && tokens.length === types.length;
    this.#signs = isKnown ? new Set([...BRACKETS, ...signsIn(tokens, types), ...[...names].flatMap(firstOf)]) : null;
  }

  /** Whether the text has no special tokens, and the context has room for it and an answer of so many tokens, whatever its tokens are. */
  allows(text: string, maxTokens: number, context: number): boolean {
    const signs = this.#signs;
    if (signs === null || text === "" || !isRoomFor(text, maxTokens, context)) return false;
    for (const character of text) if (signs.has(character)) return false;
    return true;
  }
}

function signsIn(tokens: readonly string[], types: readonly number[]): string[] {
  return tokens.flatMap((token, id) => (ORDINARY.has(types[id]!) ? [] : firstOf(token)));
}

function firstOf(name: string): string[] {
  return [...name].slice(0, 1);
}
