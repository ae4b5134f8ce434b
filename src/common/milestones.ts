/** When progress is worth a line: at its first figures, with every tenth, and every 30 s. */

/** Milliseconds after which a line comes, however little has. */
const SILENCE = 30_000;

export class Milestones {
  /** Milliseconds on the monotonic clock; null: there were no figures yet. */
  #saidAt: number | null = null;
  #tenths = 0;

  /** Whether these figures are worth a line. */
  isDue({ bytes, total }: { readonly bytes: number; readonly total: number | null }): boolean {
    if (bytes === 0 && total === null) return false;
    const tenths = total === null || total === 0 ? 0 : Math.floor((10 * bytes) / total);
    const now = performance.now();
    if (this.#saidAt !== null && tenths <= this.#tenths && now - this.#saidAt < SILENCE) return false;
    this.#saidAt = now;
    this.#tenths = tenths;
    return true;
  }
}
