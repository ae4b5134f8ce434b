/** What the benchmarks say, and where it is kept. */
import { execFileSync } from "node:child_process";
import { closeSync, fdatasyncSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { arch, availableParallelism, cpus, loadavg, platform, totalmem } from "node:os";
import { join } from "node:path";
import { CACHE } from "./server.ts";

const RESULTS = join(import.meta.dirname, "results");

/** How a benchmark is to be run. */
export interface Extent {
  /** A shorter run, whose figures vary more. */
  readonly quick: boolean;
  /** CPU profiles of the server are written to bench/cache/profiles. */
  readonly profile: boolean;
  /** Also what takes very long. */
  readonly all?: boolean;
  /** A folder with another checkout, to compare with. */
  readonly checkout?: string | undefined;
  /** Numbers of connections to compare with, and pairs of turns for each; absent: as `quick` has it. */
  readonly connections?: readonly number[] | undefined;
  readonly pairs?: number | undefined;
  /** Schemas to compile, a line each. */
  readonly file?: string | undefined;
}

export type Row = Readonly<Record<string, string | number>>;

/** What one benchmark found. */
export interface Section {
  /** The benchmark's name on the command line, and what of it this is when it has several parts. */
  readonly name: string;
  /** What was measured and how, in one or two sentences. */
  readonly about: string;
  /** Each row has the same keys; they are the table's head. */
  readonly rows: readonly Row[];
  readonly bars: readonly Bar[];
  /** Cores that other processes kept busy meanwhile: with more than a few hundredths the figures are too low. null: not known. */
  readonly others?: number | null;
}

/** A figure that must not get worse than a bound. */
export interface Bar {
  readonly what: string;
  readonly measured: number;
  /** By how much `measured` may be off, for people: see `centreOf`. Absent: it was not estimated. */
  readonly margin?: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Where and when. */
export interface Circumstances {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly system: string;
  /** Median milliseconds of a 4 KiB write and its fdatasync. */
  readonly fsyncMs: number;
  readonly node: string;
  readonly commit: string;
  readonly date: string;
  /** Of the last minute, when the run began: what else the machine was doing. */
  readonly load: number;
  readonly command: string;
}

export function circumstances(command: string): Circumstances {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${arch()}`,
    fsyncMs: measureFsync(),
    node: process.version,
    commit: commit(),
    date: new Date().toISOString(),
    load: loadavg()[0]!,
    command,
  };
}

/** Whether every bar holds. */
export function passes({ bars }: Section): boolean {
  return bars.every(holds);
}

export function markdownOf(section: Section): string {
  const lines = section.bars.map((bar) => `- ${holds(bar) ? "ok" : "**MISSED**"}: ${bar.what}: ${bounds(bar)}`);
  const others =
    section.others == null ? [] : [`Other processes kept ${section.others.toFixed(2)} cores busy meanwhile.`];
  const bars = lines.length === 0 ? [] : [lines.join("\n")];
  const table = section.rows.length === 0 ? [] : [tableOf(section.rows)];
  return [`## ${section.name}`, section.about, ...table, ...others, ...bars].join("\n\n");
}

export function lineOf({
  cores,
  cpu,
  memoryGiB,
  system,
  fsyncMs,
  node,
  commit: at,
  date,
  load,
}: Circumstances): string {
  const machine = `${cores} cores of ${cpu}, ${memoryGiB} GiB, ${system}, fdatasync ${fsyncMs.toFixed(1)} ms`;
  return `${machine}; Node ${node}; commit ${at}; ${date}; load at the start ${load.toFixed(1)}`;
}

/** Writes the figures to bench/results, as Markdown for people and as JSON for comparisons. */
export function record(where: Circumstances, sections: readonly Section[]): string {
  mkdirSync(RESULTS, { recursive: true });
  const name = `${where.date.replaceAll(":", "").slice(0, 15)}-${where.commit}`;
  const parts = [`# \`${where.command}\``, lineOf(where), ...sections.map(markdownOf)];
  writeFileSync(join(RESULTS, `${name}.md`), `${parts.join("\n\n")}\n`);
  writeFileSync(join(RESULTS, `${name}.json`), `${JSON.stringify({ ...where, sections }, null, 2)}\n`);
  return join("bench", "results", name);
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  return middleOf(values.toSorted((a, b) => a - b));
}

function middleOf(sorted: ArrayLike<number>): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** What lies in the middle of values that vary. */
export interface Centre {
  readonly value: number;
  /** By how much it may be off, with a confidence of 95 %: the distance to the farther end of the interval. */
  readonly margin: number;
}

/**
 * Hodges and Lehmann's estimate, the median of the means of all pairs of values (of each with itself too), with the interval of
 * Wilcoxon's signed-rank test (its normal approximation; of few values, all of it). A few outliers do not move it, as they do not move
 * the median, which needs half as many values more to be known as well. Source: M. Hollander, D. A. Wolfe, Nonparametric Statistical
 * Methods, 3.2 and 3.3.
 */
export function centreOf(values: readonly number[]): Centre {
  const count = values.length;
  const means = Float64Array.from({ length: (count * (count + 1)) / 2 });
  let at = 0;
  for (let i = 0; i < count; i++) for (let j = 0; j <= i; j++) means[at++] = (values[i]! + values[j]!) / 2;
  means.sort();
  const value = middleOf(means);
  const spread = 1.96 * Math.sqrt((count * (count + 1) * (2 * count + 1)) / 24);
  const left = Math.max(0, Math.floor(means.length / 2 - spread));
  return { value, margin: Math.max(value - means[left]!, means.at(-1 - left)! - value) };
}

/** The value that this share of the values, 0 to 1, does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * share) - 1] ?? NaN;
}

export function rounded(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}

function holds({ measured, atLeast = -Infinity, atMost = Infinity }: Bar): boolean {
  return measured >= atLeast && measured <= atMost;
}

function bounds({ measured, margin, atLeast, atMost }: Bar): string {
  const bound = atLeast === undefined ? `at most ${atMost}` : `at least ${atLeast}`;
  const about = margin === undefined ? "" : ` ± ${rounded(margin, 3)}`;
  return `${rounded(measured, 3)}${about} (${bound})`;
}

function tableOf(rows: Section["rows"]): string {
  const heads = Object.keys(rows[0] ?? {});
  const lines = [heads, ...rows.map((row) => heads.map((head) => String(row[head])))];
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const [head, ...body] = lines.map((line) => `| ${line.map((cell, i) => cell.padStart(widths[i]!)).join(" | ")} |`);
  return [head, `| ${widths.map((width) => `${"-".repeat(width - 1)}:`).join(" | ")} |`, ...body].join("\n");
}

function commit(): string {
  try {
    const options = { cwd: import.meta.dirname, encoding: "utf8" } as const;
    const hash = execFileSync("git", ["rev-parse", "--short", "HEAD"], options).trim();
    const changed = execFileSync("git", ["status", "--porcelain", "--untracked-files=no"], options).trim() !== "";
    return changed ? `${hash}-changed` : hash;
  } catch {
    return "unknown";
  }
}

function measureFsync(): number {
  mkdirSync(CACHE, { recursive: true });
  const path = join(CACHE, `fsync-probe-${process.pid}`);
  const file = openSync(path, "w");
  const page = Buffer.alloc(4096);
  const times = Array.from({ length: 50 }, () => {
    const started = performance.now();
    writeSync(file, page);
    fdatasyncSync(file);
    return performance.now() - started;
  });
  closeSync(file);
  rmSync(path);
  return median(times);
}
