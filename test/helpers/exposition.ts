/** What a scrape says, read as Prometheus reads it. */
import assert from "node:assert/strict";

const LINE = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"(?:,|$)/g;

export interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** @throws {AssertionError} it is not in Prometheus' text format */
export function seriesOf(text: string): Series[] {
  return text.split("\n").flatMap((line) => {
    if (line === "" || line.startsWith("# HELP ") || line.startsWith("# TYPE ")) return [];
    const [, name, labels = "", value] = LINE.exec(line) ?? assert.fail(line);
    const all = Array.from(labels.matchAll(LABEL), ([, label, of]) => [label!, of!] as const);
    return { name: name!, labels: Object.fromEntries(all), value: Number(value) };
  });
}

/** The sum of the series that have this name and these labels; NaN: there is none. */
export function valueOf(series: readonly Series[], name: string, labels: Series["labels"] = {}): number {
  const found = series.filter(
    (one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  );
  return found.length === 0 ? Number.NaN : found.reduce((sum, { value }) => sum + value, 0);
}
