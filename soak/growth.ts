/**
 * Whether something grows: the median of the last quarter of its values against that of the second quarter. The first quarter is warm-up:
 * code is compiled, caches fill, pools reach their size.
 */
import { median } from "../bench/report.ts";

/** "stored" are bytes of which it is known why there are more and more. */
export type Unit = "bytes" | "count" | "ms" | "stored";

/** What may come and go without being growth: a share of what there was, and an amount, whichever is more. Delays, and what is stored, are not held to any. */
const TOLERANCE = {
  bytes: { share: 0.05, amount: 4 * 2 ** 20 },
  count: { share: 0.05, amount: 3 },
  ms: { share: Infinity, amount: Infinity },
  stored: { share: Infinity, amount: Infinity },
};

/** Looks below which nothing can be said. */
const FEWEST = 8;

export class Growth {
  /** By name, one value a look. */
  readonly #values = new Map<string, { readonly unit: Unit; readonly values: number[] }>();

  add(look: Readonly<Record<string, { readonly unit: Unit; readonly value: number }>>): void {
    for (const [name, { unit, value }] of Object.entries(look)) {
      if (!this.#values.has(name)) this.#values.set(name, { unit, values: [] });
      this.#values.get(name)!.values.push(value);
    }
  }

  /** Prints the last look. */
  say(): void {
    const figures = [...this.#values].map(([name, { unit, values }]) => `${name} ${shown(values.at(-1)!, unit)}`);
    console.log(figures.join(", "));
  }

  /** Prints the start and the end of each figure. @returns whether none has grown; false also when there were too few looks to tell */
  verdict(): boolean {
    const rows = [...this.#values].map(([name, { unit, values }]) => {
      const { before, after, hasGrown } = compare(values, unit);
      const first = shown(values[0]!, unit);
      console.log(
        `${name}: first ${first}, second quarter ${shown(before, unit)}, last quarter ${shown(after, unit)}${hasGrown ? ", GROWN" : ""}`,
      );
      return { looks: values.length, hasGrown };
    });
    const enough = rows.every(({ looks }) => looks >= FEWEST);
    if (!enough) console.log(`Less than ${FEWEST} looks are too few to tell growth.`);
    return enough && !rows.some(({ hasGrown }) => hasGrown);
  }
}

/** Medians of two quarters of the values, and whether the later one is more than may be. */
export function compare(values: readonly number[], unit: Unit): { before: number; after: number; hasGrown: boolean } {
  const quarter = Math.max(1, Math.floor(values.length / 4));
  const before = median(values.slice(quarter, 2 * quarter));
  const after = median(values.slice(-quarter));
  const { share, amount } = TOLERANCE[unit];
  return { before, after, hasGrown: after - before > Math.max(before * share, amount) };
}

function shown(value: number, unit: Unit): string {
  if (unit === "bytes" || unit === "stored") return `${(value / 2 ** 20).toFixed(1)} MiB`;
  return unit === "ms" ? `${value.toFixed(1)} ms` : String(Math.round(value));
}
