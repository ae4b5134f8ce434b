/** Notes what a report draws of a replay, in memory that does not grow with the trace. */
import type { Histogram } from "./histogram.ts";
import type { Run } from "./machine.ts";
import type { Tally } from "./tally.ts";

/** Points of a line over time; of twice as many each two become one. */
const POINTS = 400;
/** Tasks whose runs are drawn: the first ones. */
const DRAWN = 600;
/** Points of a distribution. */
const SHARES = 200;
/** Seconds of the first points. */
const FIRST_WIDTH = 0.25;

/** A run: `gpu_id`, start and end in seconds, seconds that it waited, and the caller's place among all. */
export type DrawnRun = readonly [gpuId: number, start: number, end: number, waited: number, caller: number];
/** Seconds, and the share of all tasks that took no more. */
export type Shares = readonly (readonly [seconds: number, share: number])[];

/** All figures are rounded: a report is to be small. */
export interface Drawing {
  /** Seconds of each point of `waiting` and `inUse`. */
  readonly width: number;
  /** The most tasks that waited at once. */
  readonly waiting: readonly number[];
  /** Slots in use, on average. */
  readonly inUse: readonly number[];
  readonly shares: { readonly waiting: Shares; readonly firstToken: Shares; readonly endToEnd: Shares };
  readonly runs: readonly DrawnRun[];
  readonly callers: readonly string[];
}

export class Recorder {
  #width = FIRST_WIDTH;
  readonly #waiting: number[] = [];
  /** Slot-seconds of each point. */
  readonly #used: number[] = [];
  readonly #runs: DrawnRun[] = [];
  readonly #callers = new Map<string, number>();
  #at = 0;
  #running = 0;
  #waits = 0;

  /** Tells how it is from now on. @param now milliseconds */
  observe(now: number, waiting: number, running: number): void {
    this.#upTo(now / 1000);
    this.#running = running;
    this.#waits = waiting;
    const point = this.#pointAt(now / 1000);
    this.#waiting[point] = Math.max(this.#waiting[point] ?? 0, waiting);
  }

  ended({ task, request: { caller }, startedAt }: Run, gpuId: number, now: number): void {
    if (task.seq > DRAWN) return;
    let place = this.#callers.get(caller);
    if (place === undefined) this.#callers.set(caller, (place = this.#callers.size));
    const waited = (startedAt - task.createdClock) / 1000;
    this.#runs.push([gpuId, rounded(startedAt / 1000), rounded(now / 1000), rounded(waited), place]);
  }

  drawing({ waiting, firstToken, endToEnd }: Pick<Tally, "waiting" | "firstToken" | "endToEnd">): Drawing {
    return {
      width: this.#width,
      waiting: Array.from(this.#waiting, (count = 0) => count),
      inUse: Array.from(this.#used, (seconds = 0) => rounded(seconds / this.#width)),
      shares: { waiting: sharesOf(waiting), firstToken: sharesOf(firstToken), endToEnd: sharesOf(endToEnd) },
      runs: this.#runs.toSorted((one, other) => one[1] - other[1]),
      callers: [...this.#callers.keys()],
    };
  }

  /** Counts how it was until then. @param time in seconds */
  #upTo(time: number): void {
    this.#pointAt(time);
    while (this.#at < time) {
      const point = Math.floor(this.#at / this.#width + 1e-9);
      const until = Math.min(time, (point + 1) * this.#width);
      this.#used[point] = (this.#used[point] ?? 0) + (until - this.#at) * this.#running;
      this.#waiting[point] = Math.max(this.#waiting[point] ?? 0, this.#waits);
      this.#at = until;
    }
  }

  /** Makes the points wider until there is one. */
  #pointAt(time: number): number {
    while (time >= POINTS * this.#width) {
      this.#width *= 2;
      halve(this.#waiting, Math.max);
      halve(this.#used, (one, other) => one + other);
    }
    return Math.floor(time / this.#width);
  }
}

function sharesOf(histogram: Histogram): Shares {
  if (histogram.count === 0) return [];
  return histogram.points(SHARES).map(([value, share]) => [rounded(value), share] as const);
}

function halve(values: number[], merged: (one: number, other: number) => number): void {
  const half = Math.ceil(values.length / 2);
  for (let point = 0; point < half; point++) values[point] = merged(values[2 * point] ?? 0, values[2 * point + 1] ?? 0);
  values.length = half;
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
