/**
 * Makes metrics. Events that each task has are counted in plain numbers, which prom-client gets to see at a scrape: its own counters and
 * histograms look their labels up and check them each time, and together they would take a task five microseconds.
 */
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";

type Labels = readonly string[];

/** Counts by the values of at most two labels, in their order. A value that nobody can bound does not belong here: see label-values.ts. */
export interface Count {
  (by: number, one?: string, other?: string): void;
  /** The sum of these values, for who adds to it again and again: finding it takes longer than adding. */
  of(one?: string, other?: string): Sum;
}

/** The values that a metric shows at a scrape. */
export interface Reading {
  /** Forgets what the last scrape showed, so that what has gone is not shown any more. */
  clear(): void;
  set(value: number, ...values: readonly string[]): void;
}

/** The metrics of one server. Names begin with `altlas_`, which is not said again. */
export class Instruments {
  readonly #registry = new Registry();
  readonly #counted: (() => void)[] = [];

  counter(name: string, help: string, labelNames: Labels): Count {
    const shown = this.total(name, help, labelNames);
    const sums = new Sums();
    this.#counted.push(() => {
      shown.clear();
      sums.each((sum, ...values) => shown.set(sum, ...values.slice(0, labelNames.length)));
    });
    const of = (one = "", other = ""): Sum => sums.of(one, other);
    const add = (by: number, one?: string, other?: string): void => void (of(one, other).value += by);
    return Object.assign(add, { of });
  }

  /** @returns what counts seconds */
  histogram(name: string, help: string, bounds: readonly number[]): (seconds: number) => void {
    const counts = new BucketCounts(bounds);
    this.#registry.registerMetric(new Counted(fullName(name), help, counts));
    return (seconds) => counts.add(Math.max(0, seconds));
  }

  /** A value that is read at each scrape. */
  gauge(name: string, help: string, labelNames: Labels = []): Reading {
    const gauge = new Gauge({ name: fullName(name), help, labelNames, registers: [this.#registry] });
    const children = new Children((values) => gauge.labels(...values));
    return {
      clear: () => gauge.reset(),
      set: (value, ...values) => (labelNames.length === 0 ? gauge.set(value) : children.of(values).set(value)),
    };
  }

  /** A sum that something else keeps, read at each scrape. */
  total(name: string, help: string, labelNames: Labels = []): Reading {
    const counter = new Counter({ name: fullName(name), help, labelNames, registers: [this.#registry] });
    const children = new Children((values) => counter.labels(...values));
    return {
      clear: () => counter.reset(),
      set: (value, ...values) => (labelNames.length === 0 ? counter.inc(value) : children.of(values).inc(value)),
    };
  }

  /** A value that goes up and down as things happen. */
  level(name: string, help: string): (by: number) => void {
    const shown = this.gauge(name, help);
    let level = 0;
    this.#counted.push(() => shown.set(level));
    return (by) => void (level += by);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All of it in Prometheus' text format. Other work goes on between two metrics. */
  async text(): Promise<string> {
    for (const show of this.#counted) show();
    const pieces: string[] = [];
    for (const { name } of this.#registry.getMetricsAsArray()) {
      pieces.push(await this.#registry.getSingleMetricAsString(name));
      await new Promise(setImmediate);
    }
    return `${pieces.join("\n")}\n`;
  }
}

/** Names that others have given belong to no program. */
function fullName(name: string): string {
  return name.startsWith("process_") ? name : `altlas_${name}`;
}

/** Finding a metric's child by its labels costs more than counting with it. */
class Children<Child> {
  readonly #make: (values: string[]) => Child;
  readonly #known = new Map<string, Child>();

  constructor(make: (values: string[]) => Child) {
    this.#make = make;
  }

  of(values: readonly string[]): Child {
    const key = values.length === 1 ? values[0]! : values.join("\n");
    let child = this.#known.get(key);
    if (child === undefined) this.#known.set(key, (child = this.#make([...values])));
    return child;
  }
}

export interface Sum {
  value: number;
}

/** By the values of two labels. */
class Sums {
  readonly #sums = new Map<string, Map<string, Sum>>();

  of(one: string, other: string): Sum {
    return this.#sums.get(one)?.get(other) ?? this.#make(one, other);
  }

  each(look: (value: number, one: string, other: string) => void): void {
    for (const [one, sums] of this.#sums) for (const [other, { value }] of sums) look(value, one, other);
  }

  #make(one: string, other: string): Sum {
    const sum = { value: 0 };
    const sums = this.#sums.get(one) ?? new Map<string, Sum>();
    this.#sums.set(one, sums.set(other, sum));
    return sum;
  }
}

/** Counts seconds in buckets. */
class BucketCounts {
  /** Upper ones, ascending. */
  readonly bounds: readonly number[];
  /** One for each bound, and one for all above. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  add(seconds: number): void {
    const { bounds } = this;
    let index = 0;
    while (index < bounds.length && seconds > bounds[index]!) index++;
    this.counts[index]! += 1;
    this.sum += seconds;
  }
}

class Counted extends Histogram {
  readonly name: string;
  readonly help: string;
  readonly #counts: BucketCounts;

  constructor(name: string, help: string, counts: BucketCounts) {
    super({ name, help, buckets: [...counts.bounds], registers: [] });
    this.name = name;
    this.help = help;
    this.#counts = counts;
  }

  /** By this name the registry asks a histogram for what it shows. */
  async getForPromString() {
    const { name, help } = this;
    const { bounds, counts, sum } = this.#counts;
    let count = 0;
    const buckets = [...bounds, "+Inf"].map((le, index) => {
      count += counts[index]!;
      return { labels: { le }, value: count, metricName: `${name}_bucket` };
    });
    const sums = [
      { labels: {}, value: sum, metricName: `${name}_sum` },
      { labels: {}, value: count, metricName: `${name}_count` },
    ];
    return { name, help, type: "histogram", values: [...buckets, ...sums] };
  }
}
