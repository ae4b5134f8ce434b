/**
 * Which texts of callers contain what a vocabulary has for special tokens. Those have to be turned into tokens apart from the text of a chat
 * template, in which special tokens are meant.
 */
import type { ModelHeader } from "./header.ts";
import { UserTokens } from "./user-tokens.ts";

/** Of `enum llama_token_type`: normal; defined by a user (for which see user-tokens.ts); and a byte that no other token has. */
const ORDINARY = new Set([1, 4, 6]);

/** llama.cpp holds some tokens for special by what they look like, whatever the file says. More look like these; that costs nothing. */
const LOOKS_SPECIAL = /^_?<.+>$|^\[.+\]$/s;

export class SpecialTexts {
  readonly #texts: ReadonlySet<string>;
  readonly #lengths: readonly number[];
  /** Finds where one may begin, and where one may end. */
  readonly #beginning: RegExp;
  readonly #ending: RegExp;

  constructor(header: Pick<ModelHeader, "insights">) {
    const { insights } = header;
    const { tokens = [], token_type: types = [] } = insights.ggufFileInfo.metadata.tokenizer?.ggml ?? {};
    const special = tokens.filter((text, id) => !ORDINARY.has(types[id] ?? 0) || LOOKS_SPECIAL.test(text));
    this.#texts = new Set([...special, ...new UserTokens(header).names].filter((text) => text !== ""));
    this.#lengths = [...new Set([...this.#texts].map(({ length }) => length))].toSorted((a, b) => a - b);
    this.#beginning = anyOf([...this.#texts].map((text) => text.charCodeAt(0)));
    this.#ending = anyOf([...this.#texts].map((text) => text.charCodeAt(text.length - 1)));
  }

  /** Whether a text has one of them, or could have with what stands before and behind it. */
  areIn(text: string): boolean {
    for (const { index } of text.matchAll(this.#beginning)) if (this.#beginsAt(text, index)) return true;
    // Only the first characters of a text can end a special one that began before it.
    const head = text.slice(0, this.#lengths.at(-1) ?? 0);
    for (const { index } of head.matchAll(this.#ending)) if (this.#isEnd(head.slice(0, index + 1))) return true;
    return false;
  }

  #beginsAt(text: string, at: number): boolean {
    for (const length of this.#lengths) {
      if (at + length > text.length) return this.#isBeginning(text.slice(at));
      if (this.#texts.has(text.slice(at, at + length))) return true;
    }
    return false;
  }

  #isBeginning(tail: string): boolean {
    for (const special of this.#texts) if (special.startsWith(tail)) return true;
    return false;
  }

  #isEnd(head: string): boolean {
    for (const special of this.#texts) if (special.endsWith(head)) return true;
    return false;
  }
}

function anyOf(units: readonly number[]): RegExp {
  const escaped = [...new Set(units)].map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`);
  // An empty class matches nothing.
  return new RegExp(`[${escaped.join("")}]`, "g");
}
