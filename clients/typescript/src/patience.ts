/** Whether and when to try again. */
import { AltLasError } from "./errors.ts";

/** Seconds: the first pause, doubled each time, and the longest. */
const FIRST_PAUSE = 0.25;
const LONGEST_PAUSE = 5;

/** For one operation: it gives up when nothing has worked for so many seconds. */
export class Patience {
  readonly #seconds: number;
  readonly #signal: AbortSignal | undefined;
  readonly #now: () => number;
  #failures = 0;
  #failingSince = 0;
  /** When the connection was made that is used now; null: there is none. */
  #openSince: number | null = null;

  /** @param now milliseconds */
  constructor(seconds: number, signal: AbortSignal | undefined, now: () => number = () => performance.now()) {
    this.#seconds = seconds;
    this.#signal = signal;
    this.#now = now;
  }

  /** A connection is there. When it lasts, it has worked, though nothing may come for hours: a task can wait that long. */
  opened(): void {
    this.#openSince = this.#now();
  }

  /** Something has come. */
  reset(): void {
    this.#failures = 0;
  }

  /**
   * Resolves when it is time for the next try: never before the server's `Retry-After`.
   * @throws the error itself: it is no temporary one, or the time would be up; the reason of the signal when that aborts
   */
  async after(error: unknown): Promise<void> {
    if (!(error instanceof AltLasError) || !error.isTemporary) throw error;
    const now = this.#now();
    if (this.#openSince !== null && now - this.#openSince > LONGEST_PAUSE * 1000) this.#failures = 0;
    this.#openSince = null;
    if (this.#failures === 0) this.#failingSince = now;
    // Clients that were cut off together must not come back together.
    const spread = Math.random();
    const growing = Math.min(FIRST_PAUSE * 2 ** this.#failures, LONGEST_PAUSE) * (0.5 + spread / 2);
    const least = error.retryAfter ?? growing;
    const pause = error.retryAfter === null ? growing : least + spread * FIRST_PAUSE;
    this.#failures++;
    // The part that spreads clients is not counted: a server that asks for all of the time gets it.
    if ((now - this.#failingSince) / 1000 + least > this.#seconds) throw error;
    await sleep(pause * 1000, this.#signal);
  }
}

/** Milliseconds; longer ones a timer takes for none at all. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** At most for `LONGEST_TIMER`. @throws the reason of the signal when that aborts */
export function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal!.reason);
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      },
      Math.min(milliseconds, LONGEST_TIMER),
    );
    if (signal?.aborted === true) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}
