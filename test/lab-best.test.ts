/** The yardstick of the lab: lower bounds, and the best of all schedules. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bestOf, MOST_SEARCHED } from "../src/lab/best.ts";
import { Bound } from "../src/lab/bound.ts";
import type { LabGpu } from "../src/lab/fleet.ts";
import { KINDS, made } from "../src/lab/make.ts";
import { OWN, RULES } from "../src/lab/policies.ts";
import { replay } from "../src/lab/replay.ts";
import type { Trace, TraceRequest } from "../src/lab/trace.ts";
import { REFERENCE, times } from "../src/lab/speed.ts";
import { SETTINGS } from "./helpers/scheduling.ts";

const BASE: TraceRequest = {
  at: 0,
  caller: "anna",
  promptTokens: 0,
  outputTokens: 100,
  maxTokens: null,
  prefix: [],
  model: null,
  taskType: "text_generation",
  priority: "normal",
};

/** Slots do not slow each other down, and prompts take no time. */
function gpu(tokensPerSecond: number, slots = 1): LabGpu {
  const speed = {
    prompt: null,
    generation: [[1, tokensPerSecond]],
    startSeconds: 0,
    loadSeconds: 0,
    keepsPrompts: false,
  };
  return { slots, context: 32_768, kvBytesPerToken: 0, speed: { ...speed, generation: [[1, tokensPerSecond]] } };
}

function traceOf(...requests: readonly Partial<TraceRequest>[]): Trace {
  return async function* () {
    yield requests.map((request) => ({ ...BASE, ...request }));
  };
}

function about(found: number, expected: number): void {
  assert.ok(Math.abs(found - expected) < 1e-6, `${found} is not ${expected}`);
}

test("the shortest task first is best in the mean, and makes the whole no longer", async () => {
  const best = await bestOf(traceOf({ outputTokens: 300 }, { outputTokens: 100 }, { outputTokens: 200 }), [gpu(100)]);
  about(best!.makespan, 6);
  about(best!.endToEnd, (1 + 3 + 6) / 3);
});

test("a task goes where it ends soonest, and waits for a fast GPU though a slow one is free", async () => {
  const trace = traceOf({ outputTokens: 100 }, { at: 0.1, outputTokens: 1000 });
  const best = await bestOf(trace, [gpu(100), gpu(1000)]);
  about(best!.makespan, 1.1);
  about(best!.endToEnd, (0.1 + 1) / 2);
  const { makespan } = (await bestOf(traceOf({ outputTokens: 400 }, { at: 0.05, outputTokens: 100 }), [
    gpu(100),
    gpu(1000),
  ]))!;
  about(makespan, 0.5);
});

test("two slots that slow each other down are both in use, or not, whichever is better", async () => {
  const slowed: LabGpu = {
    ...gpu(100, 2),
    speed: {
      ...gpu(100).speed,
      generation: [
        [1, 100],
        [2, 30],
      ],
    },
  };
  const best = await bestOf(traceOf({ outputTokens: 100 }, { outputTokens: 100 }), [slowed]);
  about(best!.makespan, 2);
  about(best!.endToEnd, 1.5);
});

test("more requests than can be searched have no best schedule, but a bound", async () => {
  const many = traceOf(...Array.from({ length: MOST_SEARCHED + 1 }, () => ({})));
  assert.equal(await bestOf(many, [gpu(100)]), null);
});

test("the bound counts work from when it comes, and the longest request", () => {
  const bound = new Bound([gpu(100, 2), gpu(50, 2)]);
  bound.add({ ...BASE, outputTokens: 300 });
  about(bound.makespan, 3);
  bound.add({ ...BASE, outputTokens: 900, at: 0 });
  about(bound.makespan, 9);
  for (let request = 0; request < 30; request++) bound.add({ ...BASE, outputTokens: 300, at: 20 });
  about(bound.makespan, 50);
});

for (const factors of [
  [1, 1],
  [1, 2, 4],
])
  test(`on GPUs ${factors.join(":")} no strategy is better than the best schedule, nor that than the bound`, async () => {
    const gpus = factors.map((factor): LabGpu => ({ ...gpu(1, 2), speed: times(factor, REFERENCE) }));
    for (const kind of KINDS) {
      const trace = made({ kind, seed: 3, tasks: 5, rate: 4 });
      const best = (await bestOf(trace, gpus))!;
      for (const policy of [...OWN, ...RULES]) {
        const options = { gpus, settings: SETTINGS, policy, seed: 1, firstTokenWithin: 2 };
        const { result } = await replay(trace, options);
        const words = `${kind}, ${policy.name}: ${JSON.stringify([best, result.makespan, result.endToEnd.mean])}`;
        assert.equal(result.completed, 5);
        assert.ok(result.bound <= best.makespan + 1e-6, words);
        assert.ok(best.makespan <= result.makespan + 1e-6, words);
        assert.ok(best.endToEnd <= result.endToEnd.mean + 1e-6, words);
      }
    }
  });
