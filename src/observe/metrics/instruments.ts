/** Makes metrics, and keeps what counts them by their labels. */
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";

type Labels = readonly string[];

/** Counts by the values of labels, given in their order. A label that nobody can bound does not belong here: see label-values.ts. */
export type Count = (by: number, ...values: readonly string[]) => void;

/** What a metric says at a scrape. */
export interface Reading {
  /** Forgets what the last scrape showed, so that what has gone is not shown any more. */
  clear(): void;
  set(value: number, ...values: readonly string[]): void;
}

/** The metrics of one server. Names begin with `altlas_`, which is not said again. */
export class Instruments {
  readonly #registry = new Registry();

  counter(name: string, help: string, labelNames: Labels = []): Count {
    const counter = new Counter({ name: fullName(name), help, labelNames, registers: [this.#registry] });
    if (labelNames.length === 0) return (by) => counter.inc(by);
    const children = new Children((values) => counter.labels(...values));
    return (by, ...values) => children.of(values).inc(by);
  }

  histogram(name: string, help: string, buckets: readonly number[]): (seconds: number) => void {
    const histogram = new Histogram({ name: fullName(name), help, buckets: [...buckets], registers: [this.#registry] });
    return (seconds) => histogram.observe(Math.max(0, seconds));
  }

  /** What is read at each scrape. */
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

  /** What goes up and down as things happen. */
  level(name: string, help: string): (by: number) => void {
    const gauge = new Gauge({ name: fullName(name), help, registers: [this.#registry] });
    return (by) => gauge.inc(by);
  }

  /** A histogram that is counted elsewhere. */
  counted(name: string, help: string, counts: BucketCounts): void {
    this.#registry.registerMetric(new Counted(fullName(name), help, counts));
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All of it in Prometheus' text format. Other work goes on between two metrics. */
  async text(): Promise<string> {
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

/** Counts seconds in buckets, for what happens with every token: it takes a few nanoseconds, where a `Histogram` takes a microsecond. */
export class BucketCounts {
  readonly bounds: readonly number[];
  /** One for each bound, and one for all above. */
  readonly counts: Float64Array;
  sum = 0;

  /** @param bounds upper ones, in seconds, ascending */
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
