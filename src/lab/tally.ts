/** The results of a replay: counted while it runs, in memory that does not grow with the trace. */
import type { Bound } from "./bound.ts";
import { Fairness } from "./fairness.ts";
import { Histogram } from "./histogram.ts";
import type { Run } from "./machine.ts";

/** Seconds within which a first token has to come for a request to count as goodput, unless the command says otherwise. */
export const FIRST_TOKEN_WITHIN = 2;

export interface Spread {
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** Seconds, but where a name says otherwise. */
export interface Result {
  readonly strategy: string;
  /** Requests of the trace, and what became of them. */
  readonly requests: number;
  readonly completed: number;
  /** By the code of the refusal. */
  readonly refused: Readonly<Record<string, number>>;
  /** Those that had not run when nothing could happen any more, or had failed. */
  readonly unserved: number;
  readonly makespan: number;
  /** No schedule is shorter: see bound.ts. */
  readonly bound: number;
  /** Requests a second whose first token came in time. */
  readonly goodput: number;
  readonly waiting: Spread;
  readonly firstToken: Spread;
  readonly endToEnd: Spread;
  /** Times of what a request would have taken alone on the fastest GPU. */
  readonly slowdown: Spread;
  /** Share of all slots that was in use, from 0 to 1. */
  readonly use: number;
  /** null: fewer than two callers waited for long enough. */
  readonly fairness: number | null;
  /** Share of all prompt tokens that were in a cache, from 0 to 1. */
  readonly cached: number;
  /** The longest that one waited. */
  readonly longestWait: number;
  /** Times that models were loaded while it served, and among these those of models that had been there before. */
  readonly loads: number;
  readonly reloads: number;
  /** Requests by GPU. */
  readonly byGpu: readonly number[];
}

export interface TallyOptions {
  readonly firstTokenWithin: number;
  readonly gpus: number;
  readonly bound: Bound;
  /** Seconds that a run takes alone on the GPU that is fastest for its model. */
  readonly secondsAlone: (run: Run, gpuId: number) => number;
  readonly weightOf: (caller: string) => number;
}

export class Tally {
  readonly waiting = new Histogram();
  readonly firstToken = new Histogram();
  readonly endToEnd = new Histogram();
  readonly slowdown = new Histogram();
  readonly fairness: Fairness;
  readonly refused: Record<string, number> = {};
  readonly #options: TallyOptions;
  readonly #byGpu: number[];
  requests = 0;
  #good = 0;
  #lastEnd = 0;
  #promptTokens = 0;
  #cachedTokens = 0;

  constructor(options: TallyOptions) {
    this.#options = options;
    this.#byGpu = Array.from({ length: options.gpus }, () => 0);
    this.fairness = new Fairness(options.weightOf);
  }

  refuse(code: string): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1;
  }

  /** A run has come to its end. @param now milliseconds */
  ended(run: Run, gpuId: number, now: number): void {
    const { task, request, startedAt, firstAt, cachedTokens } = run;
    const arrived = task.createdClock;
    const first = (firstAt! - arrived) / 1000;
    const all = (now - arrived) / 1000;
    this.waiting.add((startedAt - arrived) / 1000);
    this.firstToken.add(first);
    this.endToEnd.add(all);
    this.slowdown.add(all / Math.max(1e-6, this.#options.secondsAlone(run, gpuId)));
    if (first <= this.#options.firstTokenWithin) this.#good++;
    this.#byGpu[gpuId]!++;
    this.#promptTokens += request.promptTokens;
    this.#cachedTokens += cachedTokens;
    this.#lastEnd = now;
  }

  /** @param slotSeconds of all slots together: in use, and there */
  result(strategy: string, used: number, slots: number, { loads, reloads }: Pick<Result, "loads" | "reloads">): Result {
    const makespan = this.#lastEnd / 1000;
    const refusals = Object.values(this.refused).reduce((sum, count) => sum + count, 0);
    const completed = this.endToEnd.count;
    return {
      strategy,
      requests: this.requests,
      completed,
      refused: this.refused,
      unserved: this.requests - completed - refusals,
      makespan,
      bound: this.#options.bound.makespan,
      goodput: makespan === 0 ? 0 : this.#good / makespan,
      waiting: spreadOf(this.waiting),
      firstToken: spreadOf(this.firstToken),
      endToEnd: spreadOf(this.endToEnd),
      slowdown: spreadOf(this.slowdown),
      use: makespan === 0 ? 0 : used / (slots * makespan),
      fairness: this.fairness.index(),
      cached: this.#promptTokens === 0 ? 0 : this.#cachedTokens / this.#promptTokens,
      longestWait: this.waiting.most,
      loads,
      reloads,
      byGpu: this.#byGpu,
    };
  }
}

function spreadOf(histogram: Histogram): Spread {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => histogram.quantile(share)) as [number, number, number];
  return { mean: histogram.mean, p50, p95, p99 };
}
