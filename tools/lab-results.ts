/**
 * Replays the six kinds of traces on equal and on unequal GPUs, prints the table of docs/lab.md, and makes its pictures in docs/images.
 *
 *     node tools/lab-results.ts [TASKS]        10,000 unless it says otherwise; a few minutes
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../src/config/config.ts";
import { gpusOf } from "../src/lab/gpus.ts";
import { type Kind, KINDS, made } from "../src/lab/make.ts";
import { BASELINES, OWN, RULES } from "../src/lab/policies.ts";
import { Recorder } from "../src/lab/recorder.ts";
import { type Replay, replay } from "../src/lab/replay.ts";
import type { Result } from "../src/lab/tally.ts";
import { schedulerSettings } from "../src/tasks/scheduler-settings.ts";
import { barsSvg, linesSvg } from "./lab/svg.ts";

const FOLDER = join(import.meta.dirname, "..", "docs", "images");
const TASKS = Number(process.argv[2] ?? 10_000);
const SEED = 7;
/** Three quarters of what they do. */
const FLEETS = [
  { gpus: "4", words: "4 equal", rate: 5.5 },
  { gpus: "1:2:4", words: "1:2:4", rate: 9.625 },
] as const;
/** Rules that need to know nothing beforehand: these are what the default is held to. */
const FAIR = ["random", ...RULES.map(({ name }) => name)].filter((name) => name !== "known-lengths");
const POLICIES = [...OWN, ...BASELINES, ...RULES];
const settings = schedulerSettings(loadConfig(undefined));

interface Case {
  readonly kind: Kind;
  readonly words: string;
  readonly results: ReadonlyMap<string, Replay>;
}

async function caseOf(kind: Kind, { gpus: list, words, rate }: (typeof FLEETS)[number]): Promise<Case> {
  const { gpus } = gpusOf({ gpus: list }, loadConfig(undefined), null);
  const trace = made({ kind, seed: SEED, tasks: TASKS, rate });
  const results = new Map<string, Replay>();
  for (const policy of POLICIES) {
    const options = { gpus, settings, policy, seed: 1, firstTokenWithin: 2, recorder: new Recorder() };
    results.set(policy.name, await replay(trace, options));
  }
  return { kind, words, results };
}

const endToEnd = ({ endToEnd: { mean } }: Result): number => mean;
const waiting = ({ waiting: { p99 } }: Result): number => p99;

function resultOf({ results }: Case, name: string): Result {
  return results.get(name)!.result;
}

function bestBy(one: Case, of: (result: Result) => number): Result {
  return FAIR.map((name) => resultOf(one, name)).reduce((best, other) => (of(other) < of(best) ? other : best));
}

function tableRow(one: Case): string {
  const [own, knowing] = [resultOf(one, "least_loaded"), resultOf(one, "known-lengths")];
  const cells = [endToEnd, waiting].flatMap((of) => {
    const best = bestBy(one, of);
    return [of(own), `${of(best).toFixed(2)} (${best.strategy})`, of(knowing)];
  });
  const figures = cells.map((cell) => (typeof cell === "number" ? cell.toFixed(2) : cell));
  const bound = (own.makespan / own.bound).toFixed(3);
  return `| ${[one.kind, one.words, ...figures, bound, own.fairness?.toFixed(3) ?? "–"].join(" | ")} |`;
}

function draw(name: string, text: string): void {
  writeFileSync(join(FOLDER, `${name}.svg`), text);
}

const BESIDE = ["least_loaded", "round_robin", "random", "push-two-choices", "push-fewest-requests", "known-lengths"];

function drawAll(cases: readonly Case[]): void {
  const found = (kind: Kind, words: string): Case => cases.find((one) => one.kind === kind && one.words === words)!;
  for (const { words } of FLEETS)
    draw(
      `lab-${words === "1:2:4" ? "unequal" : "equal"}`,
      barsSvg({
        title: `End to end in the mean, as a multiple of the best rule that knows no lengths; GPUs ${words}`,
        series: BESIDE,
        most: words === "1:2:4" ? 1.6 : 1.08,
        groups: cases
          .filter((one) => one.words === words)
          .map((one) => ({
            name: one.kind,
            values: BESIDE.map((name) => Math.max(1, endToEnd(resultOf(one, name)) / endToEnd(bestBy(one, endToEnd)))),
          })),
      }),
    );
  const spread = found("log-normal", "1:2:4");
  const names = ["least_loaded", "round_robin", "push-two-choices", "known-lengths"];
  draw(
    "lab-shares",
    linesSvg({
      title: "Share of tasks that ended within so many seconds; log-normal, GPUs 1:2:4",
      series: names.map((name) => ({ name, points: spread.results.get(name)!.drawing!.shares.endToEnd })),
      xMost: 5,
      yMost: 1,
      xName: "seconds from arrival to end",
    }),
  );
}

const cases: Case[] = [];
for (const kind of KINDS) for (const fleet of FLEETS) cases.push(await caseOf(kind, fleet));
console.log(
  "| kind | GPUs | end to end, mean s | best | known lengths | waiting, p99 s | best | known lengths | makespan ÷ bound | Jain |",
);
console.log("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
for (const one of cases) console.log(tableRow(one));
drawAll(cases);
