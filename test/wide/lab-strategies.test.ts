/**
 * The default strategy beside the rules of others, on the six kinds of traffic, on equal and on unequal GPUs: as good as the best that knows
 * no lengths beforehand, and fair. Of the p99 of one trace a few tasks decide, so each rule is compared over several: it may not be
 * better by more than 5 % and by more than chance explains.
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
const SEEDS = [7, 8, 9, 10, 11];
const ALLOWED = 1.05;
/** Of Student's distribution, one-sided, 95 %, for five pairs. */
const CHANCE = 2.132;
const FAIR = 0.98;

const own = OWN.find(({ name }) => name === "least_loaded")!;
/** Those that know the speeds of GPUs beforehand; where these are equal, all of them are `fewest-tasks`. */
const FOR_UNEQUAL = new Set(["least-delay", "fastest-first", "least-added-delay"]);
const others = [OWN.find(({ name }) => name === "random")!, ...RULES.filter(({ name }) => name !== "known-lengths")];
const config = loadConfig(undefined);
const settings = schedulerSettings(config);

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function endToEnd({ endToEnd: { mean: seconds } }: Result): number {
  return seconds;
}

function waiting({ waiting: { p99 } }: Result): number {
  return p99;
}

/** By how much a mean may be above 0 by chance. @param values differences of pairs */
function chanceIn(values: readonly number[]): number {
  const middle = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1);
  return CHANCE * Math.sqrt(variance / values.length);
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
      const rules = others.filter(({ name }) => list !== "4" || !FOR_UNEQUAL.has(name));
      const found: (readonly Result[])[] = [];
      for (const policy of rules) found.push(await ran(kind, policy));
      for (const theirs of found) {
        const over = (of: (result: Result) => number): number[] =>
          mine.map((result, index) => of(result) - ALLOWED * of(theirs[index]!));
        const words = (of: (result: Result) => number): string =>
          `${theirs[0]!.strategy}: ${theirs.map(of).join(", ")}; least_loaded: ${mine.map(of).join(", ")}`;
        assert.ok(mean(over(endToEnd)) <= 0, `end to end in the mean, ${words(endToEnd)}`);
        assert.ok(mean(over(waiting)) <= chanceIn(over(waiting)), `p99 of waiting, ${words(waiting)}`);
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
