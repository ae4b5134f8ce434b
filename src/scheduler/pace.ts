/**
 * How fast an instance does tasks, as it was measured: seconds for a token of work, as a straight line over the tasks that run there. That is
 * what decoding in batches comes to: each step has a part of its own and one for each sequence.
 *
 * A token of work is one of an answer. Those of prompts are computed many at a time, so that `PROMPT_TOKENS` of them count as one.
 */

/** Tokens of a prompt that take about as long as one of an answer, with several tasks running. */
const PROMPT_TOKENS = 16;
/** Tasks that have to end before anything is believed. */
export const LEAST = 8;
/** The share of each new task in what is known, when many have ended: what was long ago must not count for ever. */
const FRESH = 1 / 32;

/** Tokens of work of a prompt and an answer. @param prompt tokens of it that have to be computed */
export function workOf(prompt: number, answer: number): number {
  return answer + prompt / PROMPT_TOKENS;
}

/** Tokens of work of a part of a prompt. A token has about four characters. */
export function promptWork(characters: number): number {
  return characters / 4 / PROMPT_TOKENS;
}

export class Pace {
  /** How many times as fast as the slowest instance: see speeds.ts. */
  ratio = 1;
  #count = 0;
  // Means of the tasks that ran there at once, of seconds for a token, and of the squares and products for the line through them.
  #tasks = 0;
  #seconds = 0;
  #squares = 0;
  #products = 0;
  /** Seconds that each further task adds to a token. */
  #slope = 0;

  get isKnown(): boolean {
    return this.#count >= LEAST;
  }

  /** A task has ended. @param tasks that ran there at once, with it @param seconds for each token of its work */
  learn(tasks: number, seconds: number): void {
    this.#count++;
    const share = Math.max(FRESH, 1 / this.#count);
    this.#tasks += share * (tasks - this.#tasks);
    this.#seconds += share * (seconds - this.#seconds);
    this.#squares += share * (tasks * tasks - this.#squares);
    this.#products += share * (tasks * seconds - this.#products);
    this.#slope = this.#slopeNow();
  }

  /** Seconds for a token with so many tasks running. */
  secondsAt(tasks: number): number {
    return Math.max(0, this.#seconds + this.#slope * (tasks - this.#tasks));
  }

  /** Seconds that a token of one task more costs beside these: its own, and what the others wait for it. */
  secondsBeside(tasks: number): number {
    return this.secondsAt(tasks + 1) + tasks * this.#slope;
  }

  /** Not below 0, and not so much that a token of one task alone took none. */
  #slopeNow(): number {
    const variance = this.#squares - this.#tasks * this.#tasks;
    if (variance < 1e-6) return 0;
    return Math.min(
      Math.max(0, (this.#products - this.#tasks * this.#seconds) / variance),
      this.#seconds / this.#tasks,
    );
  }
}
