/** When an idle instance has to show that it works: a busy one proves itself by working. */

/** The least number of milliseconds between two checks. */
const PAUSE = 1000;

export class IdleCheck {
  /** Milliseconds; 0: never. */
  readonly #interval: number;
  readonly #check: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param interval seconds; 0: never @param check called when it has been idle for so long; `next` has to follow */
  constructor(interval: number, check: () => void) {
    this.#interval = interval * 1000;
    this.#check = check;
  }

  /** Waits for the next check. @param idleFor milliseconds since it last had work, then and now */
  next(idleFor: () => number): void {
    clearTimeout(this.#timer);
    if (this.#interval === 0) return;
    const wait = Math.max(this.#interval - idleFor(), PAUSE);
    this.#timer = setTimeout(() => this.#look(idleFor), Math.min(wait, this.#interval));
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(idleFor: () => number): void {
    if (idleFor() >= this.#interval) this.#check();
    else this.next(idleFor);
  }
}
