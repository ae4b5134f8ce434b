/** The results of replays as a table: a column for each strategy, a row for each figure. */
import { table } from "../cli/table.ts";
import { saidAlone } from "../words/terminal.ts";
import { type Best, MOST_SEARCHED } from "./best.ts";
import type { Result, Spread } from "./tally.ts";

type Figure = readonly [name: string, of: (result: Result) => string];

const SPREAD = ["mean", "p50", "p95", "p99"] as const satisfies readonly (keyof Spread)[];

function spread(name: string, unit: string, of: (result: Result) => Spread): Figure[] {
  return SPREAD.map((part) => [`${name} ${part}${unit}`, (result) => number(of(result)[part])]);
}

const FIGURES: readonly Figure[] = [
  ["completed", ({ completed }) => String(completed)],
  ["makespan s", ({ makespan }) => number(makespan)],
  ["makespan ÷ bound", ({ makespan, bound }) => ratio(makespan, bound)],
  ["goodput /s", ({ goodput }) => number(goodput)],
  ...spread("waiting", " s", ({ waiting }) => waiting),
  ["waiting longest s", ({ longestWait }) => number(longestWait)],
  ...spread("first token", " s", ({ firstToken }) => firstToken),
  ...spread("end to end", " s", ({ endToEnd }) => endToEnd),
  ...spread("slowdown", "", ({ slowdown }) => slowdown),
  ["slots in use", ({ use }) => share(use)],
  ["Jain's index", ({ fairness }) => (fairness === null ? "–" : fairness.toFixed(3))],
  ["prompt from cache", ({ cached }) => share(cached)],
  ["model loads", ({ loads }) => String(loads)],
  ["reloads", ({ reloads }) => String(reloads)],
  ["refused", ({ refused }) => refusals(refused)],
  ["never served", ({ unserved }) => String(unserved)],
];

export function resultTable(results: readonly Result[], best: Best | null): string {
  const rows = figureRows(results, best).map(([name = "", ...values]) => [saidAlone(name), ...values]);
  return table(["", ...results.map(({ strategy }) => strategy)], rows);
}

/** For each figure its name, and what it is of each. @param best of all schedules; null: it is not known */
export function figureRows(results: readonly Result[], best: Best | null): string[][] {
  const lowest = (of: (result: Result) => number): Figure[1] => {
    const least = Math.min(...results.map(of));
    return (result) => ratio(of(result), least);
  };
  const compared: Figure[] = [
    ["end to end mean ÷ lowest here", lowest(({ endToEnd }) => endToEnd.mean)],
    ["waiting p99 ÷ lowest here", lowest(({ waiting }) => waiting.p99)],
  ];
  const toBest: Figure[] =
    best === null
      ? []
      : [
          ["makespan ÷ best", ({ makespan }) => ratio(makespan, best.makespan)],
          ["end to end mean ÷ best", ({ endToEnd }) => ratio(endToEnd.mean, best.endToEnd)],
        ];
  const rows = [...FIGURES, ...(results.length > 1 ? compared : []), ...toBest];
  return rows.map(([name, of]) => [name, ...results.map(of)]);
}

function ratio(value: number, least: number): string {
  return least === 0 ? (value === 0 ? "1.00" : "–") : (value / least).toFixed(2);
}

/** A line about the best of all schedules. */
export function bestWords(best: Best | null): string {
  if (best === null)
    return `The best of all schedules can be searched for a few requests only (${MOST_SEARCHED} at most); here the bound stands for it.`;
  return `The best of all schedules, by search: makespan ${number(best.makespan)} s, end to end ${number(best.endToEnd)} s in the mean.`;
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

/** Like "1 task", "2 tasks". */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
