/** The results of replays as a table: a column for each strategy, a row for each figure. */
import { table } from "../cli/table.ts";
import type { Result, Spread } from "./tally.ts";

type Figure = readonly [name: string, of: (result: Result) => string];

const SPREAD = ["mean", "p50", "p95", "p99"] as const satisfies readonly (keyof Spread)[];

function spread(name: string, unit: string, of: (result: Result) => Spread): Figure[] {
  return SPREAD.map((part) => [`${name} ${part}${unit}`, (result) => number(of(result)[part])]);
}

const FIGURES: readonly Figure[] = [
  ["completed", ({ completed }) => String(completed)],
  ["makespan s", ({ makespan }) => number(makespan)],
  ["above the bound", ({ makespan, bound }) => (bound === 0 ? "–" : (makespan / bound).toFixed(2))],
  ["goodput /s", ({ goodput }) => number(goodput)],
  ...spread("waiting", " s", ({ waiting }) => waiting),
  ["waiting longest s", ({ longestWait }) => number(longestWait)],
  ...spread("first token", " s", ({ firstToken }) => firstToken),
  ...spread("end to end", " s", ({ endToEnd }) => endToEnd),
  ...spread("slowdown", "", ({ slowdown }) => slowdown),
  ["slots in use", ({ use }) => share(use)],
  ["Jain's index", ({ fairness }) => (fairness === null ? "–" : fairness.toFixed(3))],
  ["prompt from cache", ({ cached }) => share(cached)],
  ["reloads", ({ reloads }) => String(reloads)],
  ["refused", ({ refused }) => refusals(refused)],
  ["never served", ({ unserved }) => String(unserved)],
];

export function resultTable(results: readonly Result[]): string {
  return table(
    ["", ...results.map(({ strategy }) => strategy)],
    FIGURES.map(([name, of]) => [name, ...results.map(of)]),
  );
}

function refusals(refused: Result["refused"]): string {
  const codes = Object.entries(refused);
  return codes.length === 0 ? "0" : codes.map(([code, count]) => `${count} ${code}`).join(", ");
}

function share(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

export function number(value: number): string {
  return value >= 1000 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
