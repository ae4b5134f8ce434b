/**
 * The default strategy beside the rules of others, on the six kinds of traffic, on equal and on unequal GPUs: as good as the best that knows
 * no lengths beforehand, and fair. Figures are means over seeds: of one alone a few tasks decide.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { loadConfig } from "../../src/config/config.ts";
import { gpusOf } from "../../src/lab/gpus.ts";
import { type Kind, KINDS, made } from "../../src/lab/make.ts";
import { OWN, RULES } from "../../src/lab/policies.ts";
import { type Policy, replay } from "../../src/lab/replay.ts";
import type { Result } from "../../src/lab/tally.ts";
import { schedulerSettings } from "../../src/tasks/scheduler-settings.ts";

const TASKS = 10_000;
const SEEDS = [7, 8, 9];
const ALLOWED = 1.05;
/** Seconds: of a hundredth of the tasks that wait at all, this is chance. */
const CHANCE = 0.05;
const FAIR = 0.98;

const own = OWN.find(({ name }) => name === "least_loaded")!;
const others = [OWN.find(({ name }) => name === "random")!, ...RULES.filter(({ name }) => name !== "known-lengths")];
const config = loadConfig(undefined);
const settings = schedulerSettings(config);

function meanOf(results: readonly Result[], of: (result: Result) => number): number {
  return results.reduce((sum, result) => sum + of(result), 0) / results.length;
}

for (const [list, rate] of [
  ["4", 5.5],
  ["1:2:4", 9.625],
] as const) {
  const { gpus } = gpusOf({ gpus: list }, config, null);
  const ran = async (kind: Kind, policy: Policy): Promise<Result[]> => {
    const results: Result[] = [];
    for (const seed of SEEDS) {
      const options = { gpus, settings, policy, seed: 1, firstTokenWithin: 2 };
      results.push((await replay(made({ kind, seed, tasks: TASKS, rate }), options)).result);
    }
    return results;
  };
  for (const kind of KINDS)
    test(`${kind} on GPUs ${list}: least_loaded is within 5 % of the best rule, fair, and lets nobody starve`, async () => {
      const mine = await ran(kind, own);
      const found = await Promise.all(others.map((policy) => ran(kind, policy)));
      for (const [what, of, chance] of [
        ["end to end in the mean", ({ endToEnd }: Result) => endToEnd.mean, 0],
        ["p99 of waiting", ({ waiting }: Result) => waiting.p99, CHANCE],
      ] as const) {
        const [is, best] = [meanOf(mine, of), Math.min(...found.map((results) => meanOf(results, of)))];
        assert.ok(is <= ALLOWED * best + chance, `${what}: ${is}, and ${best} can be had`);
      }
      for (const [index, { completed, fairness, longestWait }] of mine.entries()) {
        assert.equal(completed, TASKS);
        assert.ok(fairness === null || fairness >= FAIR, `Jain's index ${fairness}`);
        const least = Math.min(...found.map((results) => results[index]!.longestWait));
        assert.ok(
          longestWait <= 1.5 * least + 1,
          `one waited ${longestWait} s, and need not wait more than ${least} s`,
        );
      }
    });
}
