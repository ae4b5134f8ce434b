/**
 * Keeps one server's answers from taking all the time of a process that asks others too. A usual piece of an answer takes a fraction of a
 * millisecond to read; a flood of events, or JSON without end, takes many at a time.
 */

/** Bytes at a time from which on it is worth a look at the clock: what a server generates comes in far smaller pieces. */
export const LARGE = 16 * 1024;

/** Milliseconds of work at one go from which on it counts. */
const LONG = 3;

/** Times as long as it took, its server is not heard then. */
const REST = 4;

/** The stream that an answer comes from. */
interface Source {
  pause(): void;
  resume(): void;
}

export class Pace {
  /** Milliseconds on the monotonic clock, until which the server has used up its time. */
  #until = 0;

  /** Does a piece of work for an answer, which rests behind it if that took long. */
  take(source: Source, work: () => void): void {
    const begun = performance.now();
    work();
    const ended = performance.now();
    const took = ended - begun;
    if (took < LONG) return;
    // All its answers share what it has.
    this.#until = Math.max(this.#until, ended) + took * REST;
    source.pause();
    setTimeout(() => source.resume(), this.#until - ended);
  }
}
