/** One of the strings that a search looks for. */
interface Pattern {
  readonly text: string;
  /** By a number of characters, how many of these are at the pattern's beginning again: all of them but fewer than that number. */
  readonly shorter: Uint32Array;
  /** Characters of its beginning that the text so far ends with. */
  matched: number;
}

/**
 * Finds the first of some strings in a text that comes in pieces: the one that is whole first, of several at once the longest. Each character
 * is looked at once (Knuth, Morris and Pratt, 1977), so that no string makes a long answer slow.
 */
export class Search {
  readonly #patterns: readonly Pattern[];
  /** The longest tail of the text that may begin one of the strings. */
  #held = "";

  /** @param texts none is empty */
  constructor(texts: readonly string[]) {
    this.#patterns = texts.map((text) => ({ text, shorter: bordersOf(text), matched: 0 }));
  }

  /** @returns the text before what was found, as far as it was not returned earlier, and what of the piece comes behind it; undefined: none was found */
  push(piece: string): { readonly before: string; readonly after: string | undefined } {
    if (this.#patterns.length === 0) return { before: piece, after: undefined };
    const text = this.#held + piece;
    const from = this.#held.length;
    this.#held = "";
    for (let at = from; at < text.length; at++) {
      const found = this.#step(text.charCodeAt(at));
      if (found > 0) return { before: text.slice(0, at + 1 - found), after: text.slice(at + 1) };
    }
    const sure = text.length - Math.max(...this.#patterns.map(({ matched }) => matched));
    this.#held = text.slice(sure);
    return { before: text.slice(0, sure), after: undefined };
  }

  /** Returns the text held back, when nothing comes any more; it is given once. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** @returns the length of the longest string that this character completes; 0: none */
  #step(unit: number): number {
    let found = 0;
    for (const pattern of this.#patterns) {
      while (pattern.matched > 0 && pattern.text.charCodeAt(pattern.matched) !== unit)
        pattern.matched = pattern.shorter[pattern.matched]!;
      if (pattern.text.charCodeAt(pattern.matched) === unit) pattern.matched++;
      if (pattern.matched === pattern.text.length) found = Math.max(found, pattern.matched);
    }
    return found;
  }
}

function bordersOf(text: string): Uint32Array {
  const borders = new Uint32Array(text.length + 1);
  for (let at = 1, border = 0; at < text.length; at++) {
    while (border > 0 && text.charCodeAt(border) !== text.charCodeAt(at)) border = borders[border]!;
    if (text.charCodeAt(border) === text.charCodeAt(at)) border++;
    borders[at + 1] = border;
  }
  return borders;
}
