/** What decides everything the suite does. Each actor has dice of its own, so that none shifts what another one decides. */
import { seeded } from "../test/helpers/seeded.ts";

export class Dice {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = seeded(seed);
  }

  /** Dice for another actor. */
  fork(): Dice {
    return new Dice(this.between(0, 2 ** 31 - 1));
  }

  /** @param share how often it says yes, 0 to 1 */
  chance(share: number): boolean {
    return this.#next() < share;
  }

  /** A whole number, both ends included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.#next() * (high - low + 1));
  }

  /** @throws {Error} when there is nothing to pick from */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error("there is nothing to pick from");
    return items[this.between(0, items.length - 1)]!;
  }

  /** One of the choices, each as often as its weight says. */
  weigh<T>(choices: readonly (readonly [weight: number, choice: T])[]): T {
    let left = this.#next() * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, choice] of choices) {
      left -= weight;
      if (left < 0) return choice;
    }
    return choices.at(-1)![1];
  }
}
