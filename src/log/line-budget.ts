/** Lines of one kind in a minute, so that a flood of what they tell does not flood the log. */

const MINUTE = 60_000;

export interface LineBudgetParts {
  /** Lines in a minute. */
  readonly lines: number;
  /** Of these, lines about one source; default all. */
  readonly ofSource?: number;
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
}

export class LineBudget {
  readonly #parts: LineBudgetParts;
  #since = -Infinity;
  #lines = 0;
  readonly #ofSources = new Map<string, number>();

  constructor(parts: LineBudgetParts) {
    this.#parts = parts;
  }

  /** Milliseconds until the next minute begins. */
  get left(): number {
    return Math.max(0, this.#since + MINUTE - this.#parts.now());
  }

  /** Whether there is a line left in this minute, which is taken. @param source whoever the line is about, so that others have lines, too */
  take(source = ""): boolean {
    if (this.left === 0) this.#begin();
    const { lines, ofSource = lines } = this.#parts;
    const own = this.#ofSources.get(source) ?? 0;
    if (this.#lines >= lines || own >= ofSource) return false;
    this.#lines++;
    this.#ofSources.set(source, own + 1);
    return true;
  }

  #begin(): void {
    this.#since = this.#parts.now();
    this.#lines = 0;
    this.#ofSources.clear();
  }
}
