/** Traces that are made: six kinds, the same from the same seed. */
import { seededRandom } from "../common/seeded.ts";
import { NOBODY, PLAIN_TYPE, PREFIX_TOKENS, type Trace, type TraceRequest } from "./trace.ts";

export const KINDS = ["steady", "bursty", "diurnal", "log-normal", "zipf", "heavy-caller"] as const;
export type Kind = (typeof KINDS)[number];

export interface MakeOptions {
  readonly kind: Kind;
  readonly seed: number;
  readonly tasks: number;
  /** Requests a second, on average. */
  readonly rate: number;
}

/** Three quarters of what four GPUs of the model `reference` with 8 slots do. */
export const RATE = 5.5;

/** Chance, in the shapes that traffic has. */
class Dice {
  readonly uniform: () => number;

  constructor(seed: number) {
    this.uniform = seededRandom(seed);
  }

  /** @param mean of an exponential distribution */
  exponential(mean: number): number {
    return -Math.log(1 - this.uniform()) * mean;
  }

  /** An integer from 1 on. */
  logNormal(median: number, sigma: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
    return Math.max(1, Math.round(median * Math.exp(sigma * normal)));
  }

  /** An integer from 0 to below `count`; the first is the likeliest. */
  zipf(weights: readonly number[]): number {
    let left = this.uniform() * weights.reduce((sum, one) => sum + one, 0);
    const place = weights.findIndex((weight) => (left -= weight) < 0);
    return place === -1 ? weights.length - 1 : place;
  }

  integer(count: number): number {
    return Math.floor(this.uniform() * count);
  }
}

/** The properties that a kind decides; the rest is as in `steady`. */
interface Shape {
  /** Requests a second at a time, as a multiple of the average. @param share of the trace that is over, from 0 to 1 */
  readonly pace?: (share: number, dice: Dice) => number;
  readonly lengths?: (dice: Dice) => Pick<TraceRequest, "promptTokens" | "outputTokens">;
  readonly caller?: (dice: Dice) => string;
  readonly prefix?: (dice: Dice) => TraceRequest["prefix"];
}

/** Prompts that others begin like. */
const GROUPS = 60;
const ZIPF = Array.from({ length: GROUPS }, (_, group) => 1 / (group + 1) ** 1.1);

const SHAPES: Readonly<Record<Kind, () => Shape>> = {
  steady: () => ({}),
  bursty: () => {
    // In one tenth of the time five times as many come as in the rest of it.
    let burst = false;
    return {
      pace: (_share, dice) => {
        if (dice.uniform() < (burst ? 1 / 60 : 1 / 108)) burst = !burst;
        return burst ? 2.6 : 0.55;
      },
    };
  },
  diurnal: () => ({ pace: (share) => 1 + 0.8 * Math.sin(4 * Math.PI * share) }),
  "log-normal": () => ({
    lengths: (dice) => ({ promptTokens: dice.logNormal(350, 1), outputTokens: dice.logNormal(110, 1) }),
  }),
  zipf: () => ({
    lengths: (dice) => ({ promptTokens: dice.logNormal(150, 0.5), outputTokens: dice.logNormal(160, 0.5) }),
    prefix: (dice) => {
      const group = dice.zipf(ZIPF);
      // From 4 to 16 blocks, always the same for a group.
      return Array.from({ length: 4 + ((group * 7) % 13) }, (_, block) =>
        Math.imul(group * 64 + block + 1, 0x9e3779b1),
      );
    },
  }),
  "heavy-caller": () => ({
    pace: () => 1.6,
    caller: (dice) => (dice.uniform() < 0.7 ? "heavy" : `${NOBODY}${dice.integer(CALLERS)}`),
  }),
};

/** Beside the heavy one. Elsewhere there is one, so that the order of callers plays no part. */
const CALLERS = 8;

/** Requests that are made as they are read. */
export function made({ kind, seed, tasks, rate }: MakeOptions): Trace {
  return async function* () {
    const dice = new Dice(seed);
    const shape = SHAPES[kind]();
    const chunk = 1000;
    let at = 0;
    for (let done = 0; done < tasks; done += chunk) {
      const count = Math.min(chunk, tasks - done);
      yield Array.from({ length: count }, (_, index) => {
        if (done + index > 0) at += dice.exponential(1 / (rate * (shape.pace?.((done + index) / tasks, dice) ?? 1)));
        return requestOf(at, shape, dice);
      });
    }
  };
}

function requestOf(at: number, shape: Shape, dice: Dice): TraceRequest {
  const { promptTokens, outputTokens } = shape.lengths?.(dice) ?? usual(dice);
  const prefix = shape.prefix?.(dice) ?? [];
  return {
    // As it is written, so that a trace in memory and one in a file are the same.
    at: Math.round(at * 1000) / 1000,
    caller: shape.caller?.(dice) ?? NOBODY,
    promptTokens: promptTokens + prefix.length * PREFIX_TOKENS,
    outputTokens,
    maxTokens: limitOf(outputTokens, dice),
    prefix,
    model: null,
    taskType: PLAIN_TYPE,
    priority: "normal",
  };
}

function usual(dice: Dice): Pick<TraceRequest, "promptTokens" | "outputTokens"> {
  return { promptTokens: dice.logNormal(500, 0.4), outputTokens: dice.logNormal(180, 0.4) };
}

/** Clients ask for a round number that is enough, often for much more; one in four sets none. */
function limitOf(outputTokens: number, dice: Dice): number | null {
  if (dice.uniform() < 0.25) return null;
  const enough = 256 * Math.ceil(outputTokens / 256);
  return enough * 2 ** dice.integer(3);
}
