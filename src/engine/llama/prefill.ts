/**
 * How many prompt tokens go into a step beside tasks that generate, so that these wait twice as long for a token as without them at most.
 *
 * The cost of a prompt token depends on the machine: on a CPU more than a generated one, on a GPU next to nothing up to some hundreds.
 * So the steps are measured, those with prompt tokens against plain ones with as many tasks that generate:
 *
 *  1. A step without a task that generates holds nobody up: all the room there is. Nor is one counted with prompts that hold nobody up,
 *     as step-plan.ts has it.
 *  2. Before anything is known of plain steps, and again after `PLAIN_EVERY` steps with prompt tokens, one step is plain.
 *  3. Otherwise the prompts get as much time as a plain step takes; more only where more prompts wait than tasks generate: then less
 *     would keep many waiting for the sake of few.
 *  4. Plain steps are saved up, `SAVED` at most, for the next prompt: a short one is there at once, and the others wait for it one time,
 *     not for longer than twice the time on the whole.
 *  5. From one step to the next the number doubles at most, because what few tokens cost says little about many.
 *  6. Every prompt always moves, even where a single token takes too long.
 *
 * All estimates are medians of the last few steps, so that one step that something else held up changes nothing.
 */

/** The share of a plain step that prompts may add to it. Less than what is promised: steps vary, and a plain one between others takes longer. */
const SHARE = 0.75;
/** Steps with prompt tokens between two plain ones. */
const PLAIN_EVERY = 16;
/** Plain steps whose time a prompt may take at once. */
const SAVED = 8;
/** Steps that an estimate is made of. */
const WINDOW = 9;

/** The participants of a step: tasks that generate, and tasks with prompt tokens left. */
export interface StepLoad {
  readonly generating: number;
  readonly prompts: number;
}

/** Decides from step to step. */
export interface Pace {
  /** Prompt tokens that the next step may have, all prompts together; 0: it is to be a plain one. */
  allowance(load: StepLoad): number;
  /** @param milliseconds what a step took that had so many tasks that generated and so many prompt tokens */
  took(generating: number, promptTokens: number, milliseconds: number): void;
}

export class Prefill implements Pace {
  readonly #most: number;
  /** Milliseconds of plain steps, by the number of tasks that generated. */
  readonly #plain = new Map<number, Recent>();
  /** Steps with prompt tokens since the last plain one, by the number of tasks that generated. */
  readonly #since = new Map<number, number>();
  /** Milliseconds that a prompt token added to a step, where the prompts had no more than their time. */
  readonly #perToken = new Recent();
  /** Plain steps since the last one with prompt tokens, `SAVED` at most. */
  #saved = SAVED;
  /** Prompt tokens of a step for which nothing is saved, as it was allowed last. */
  #rate = Infinity;

  /** @param most prompt tokens of a step at most, beside tasks that generate */
  constructor(most: number) {
    this.#most = most;
  }

  allowance({ generating, prompts }: StepLoad): number {
    if (generating === 0) return Infinity;
    const plain = this.#plainStep(generating);
    if (plain === undefined || (this.#since.get(generating) ?? 0) >= PLAIN_EVERY) return 0;
    const time = plain * SHARE * Math.max(1, prompts / generating);
    // As long as nothing is known, a prompt token costs as much as a generated one.
    const cost = this.#perToken.median ?? plain / generating;
    this.#rate = Math.max(1, Math.min(time / cost, 2 * this.#rate));
    const fitting = Math.floor(this.#rate * Math.max(1, this.#saved));
    return Math.min(this.#most, Math.max(fitting, prompts));
  }

  took(generating: number, promptTokens: number, milliseconds: number): void {
    if (generating === 0) return;
    if (promptTokens === 0) {
      this.#saved = Math.min(this.#saved + 1, SAVED);
      this.#since.set(generating, 0);
      const times = this.#plain.get(generating) ?? new Recent();
      times.add(milliseconds);
      this.#plain.set(generating, times);
      return;
    }
    const plain = this.#plainStep(generating);
    // Many tokens at once cost less each than the few that follow them.
    if (plain !== undefined && this.#saved <= 1) {
      this.#perToken.add(Math.max(0, milliseconds - plain) / promptTokens);
    }
    this.#saved = 0;
    this.#since.set(generating, (this.#since.get(generating) ?? 0) + 1);
  }

  /** Milliseconds of a plain step; where none with as many tasks was seen, rather too few, from one with about as many. */
  #plainStep(generating: number): number | undefined {
    const own = this.#plain.get(generating)?.median;
    if (own !== undefined) return own;
    const [nearest] = [...this.#plain.keys()].toSorted((a, b) => Math.abs(a - generating) - Math.abs(b - generating));
    if (nearest === undefined) return undefined;
    return this.#plain.get(nearest)!.median! * Math.min(1, generating / nearest);
  }
}

/** The last few of some figures. */
class Recent {
  #values: number[] = [];

  add(value: number): void {
    this.#values.push(value);
    if (this.#values.length > WINDOW) this.#values.shift();
  }

  get median(): number | undefined {
    return this.#values.toSorted((a, b) => a - b)[this.#values.length >> 1];
  }
}
