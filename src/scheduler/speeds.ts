/**
 * The effect of the instances' measured paces on their loads: which are faster than others, and how much work fills one. Noise must
 * move nothing, so equal cards count as equal: a difference counts from a quarter on.
 */
import { LEAST, type Pace } from "./pace.ts";
import { UNEVEN } from "./placement.ts";

/** Ends of tasks between two looks at all instances; more where there are more of them. */
const EACH = 8;
const INSTANCES_EACH = 4;
/** The share of a new task in the mean work of all, when many were placed. */
const FRESH = 1 / 64;

/** One instance, as it is compared. */
interface Paced {
  readonly pace: Pace;
  readonly facts: { readonly slots: number };
}

export class Speeds {
  #isUneven = false;
  #placed = 0;
  #mean = 0;
  #span = 1;
  #learned = 0;
  #ended = 0;

  /** Whether some instances are known to be faster than others. */
  get isUneven(): boolean {
    return this.#isUneven;
  }

  /** Tokens of work of a mean task: the slowest instance does one on each of its slots in the reference span. */
  get span(): number {
    return this.#span;
  }

  /** A task was placed. @returns whether the span has changed, and so all loads */
  placed(work: number): boolean {
    if (++this.#placed % EACH !== 1 && this.#placed > 1 / FRESH) return false;
    this.#mean += Math.max(FRESH, 1 / this.#placed) * (work - this.#mean);
    if (this.#mean <= 0 || (this.#placed > 1 && within(this.#mean, this.#span))) return false;
    this.#span = this.#mean;
    return true;
  }

  /** A task has ended. @returns whether something is to be learned of it: of many each eighth is enough */
  isTurn(instances: number): boolean {
    return (++this.#ended & (EACH - 1)) === 0 || this.#ended < LEAST * 2 * instances;
  }

  /** A task has ended, and the pace of its instance was measured. @returns whether speeds have changed, and so all loads */
  learned(instances: readonly Paced[]): boolean {
    if (++this.#learned < Math.max(EACH, instances.length / INSTANCES_EACH)) return false;
    this.#learned = 0;
    let slowest = Infinity;
    let fastest = 0;
    for (const one of instances) {
      if (!one.pace.isKnown) continue;
      const speed = speedOf(one);
      slowest = Math.min(slowest, speed);
      fastest = Math.max(fastest, speed);
    }
    const was = this.#isUneven;
    this.#isUneven = fastest >= UNEVEN * slowest;
    if (!was && !this.#isUneven) return false;
    for (const one of instances) {
      const ratio = this.#isUneven && one.pace.isKnown ? speedOf(one) / slowest : 1;
      one.pace.ratio = ratio >= UNEVEN ? ratio : 1;
    }
    return true;
  }
}

/** Tokens a second of a slot, with all slots in use. */
function speedOf({ pace, facts }: Paced): number {
  return 1 / Math.max(1e-9, pace.secondsAt(facts.slots));
}

function within(one: number, other: number): boolean {
  return one < UNEVEN * other && other < UNEVEN * one;
}
