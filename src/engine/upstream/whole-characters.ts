/** Keeps back what may be a part of a character until the rest of it is there, so that no text ends within one. */

/** A high surrogate, or what some servers put for the bytes of a character that is not whole. */
const PART_OF_A_CHARACTER = /[\uD800-\uDBFF\uFFFD]+$/;

export class WholeCharacters {
  #held = "";

  /** @returns what is whole of all that was not returned yet */
  add(text: string): string {
    const all = this.#held + text;
    this.#held = PART_OF_A_CHARACTER.exec(all)?.[0] ?? "";
    return all.slice(0, all.length - this.#held.length).toWellFormed();
  }

  /**
   * The rest at the end. @param isCut whether the text was cut there: then what was kept back is no character that the model wrote;
   * else it may have written U+FFFD itself
   */
  end(isCut: boolean): string {
    return isCut ? "" : this.#held.replace(/[\uD800-\uDFFF]/g, "");
  }
}
