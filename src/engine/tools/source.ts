/**
 * A text that comes in pieces, for readers that go on where they stopped. A reader is a generator: it yields where it needs more, and each
 * character is looked at a fixed number of times, however the text is cut.
 */

/** A reader of something. It yields where the text so far does not suffice. */
export type Reading<Found> = Generator<void, Found>;

const BLANK = /\s/;

export class Source {
  /** All of it so far, with what was read already. */
  text = "";
  /** Where to read on; what stands before it was taken. */
  at = 0;
  /** Whether nothing comes any more. */
  hasEnded = false;

  add(piece: string): void {
    this.text += piece;
  }

  /** The next character; undefined: the text has ended. */
  *next(): Reading<string | undefined> {
    while (this.at === this.text.length) {
      if (this.hasEnded) return undefined;
      yield;
    }
    return this.text[this.at];
  }

  /** Takes white space. */
  *blank(): Reading<void> {
    for (;;) {
      const char = yield* this.next();
      if (char === undefined || !BLANK.test(char)) return;
      this.at++;
    }
  }

  /** Takes exactly these characters, or nothing. @returns whether they stand here */
  *takes(wanted: string): Reading<boolean> {
    for (;;) {
      const here = this.text.slice(this.at, this.at + wanted.length);
      if (here === wanted) {
        this.at += wanted.length;
        return true;
      }
      if (this.hasEnded || !wanted.startsWith(here)) return false;
      yield;
    }
  }

  /** Takes all up to a mark, and the mark. @returns what stands before it; null: the text has ended without it, and all was taken */
  *until(mark: string): Reading<string | null> {
    const from = this.at;
    for (;;) {
      const at = this.text.indexOf(mark, Math.max(from, this.at - mark.length + 1));
      if (at !== -1) {
        this.at = at + mark.length;
        return this.text.slice(from, at);
      }
      this.at = this.text.length;
      if (this.hasEnded) return null;
      yield;
    }
  }

  /** Takes as many characters as match. */
  *all(one: RegExp): Reading<string> {
    const from = this.at;
    for (;;) {
      const char = yield* this.next();
      if (char === undefined || !one.test(char)) return this.text.slice(from, this.at);
      this.at++;
    }
  }
}
