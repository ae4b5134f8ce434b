/** What the scheduler learns of the speeds of GPUs and the lengths of answers, and what least_loaded makes of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { AnswerLengths } from "../src/scheduler/answer-lengths.ts";
import { Pace } from "../src/scheduler/pace.ts";
import { sentenceOf } from "../src/reasons.ts";
import { TO_THE_END } from "../src/request.ts";
import type { Outcome, Task } from "../src/task.ts";
import { facts, World } from "./helpers/scheduling.ts";

/** A run of so many seconds and tokens. */
function ran(seconds: number, tokens: number): Outcome {
  return {
    status: "completed",
    result: {
      text: "",
      executionTime: seconds,
      timestamp: 0,
      finishReason: "stop",
      promptTokens: 0,
      completionTokens: tokens,
      cachedTokens: 0,
    },
  };
}

/** Runs tasks one after the other on each GPU. @param seconds that a task of 100 tokens takes there, by `gpu_id` */
function teach(world: World, seconds: readonly number[], rounds = 20): void {
  for (let round = 0; round < rounds; round++)
    for (const [pinnedGpuId, each] of seconds.entries())
      world.scheduler.finished(world.submit({ pinnedGpuId }), ran(each, 100));
}

function taskOf(model: string | null, maxTokens = TO_THE_END): Task {
  return new World([facts(0)]).task({ model, maxTokens, text: "" });
}

function gpusOf(tasks: readonly Task[]): readonly (number | null)[] {
  return tasks.map(({ gpuId }) => gpuId);
}

test("a GPU that is much faster comes first, however little the others have to do, and the reason says so", () => {
  const world = new World([facts(0, { slots: 4 }), facts(1, { slots: 4 })]);
  teach(world, [4, 1]);
  const tasks = world.submitMany(5);
  assert.deepEqual(gpusOf(tasks), [1, 1, 1, 1, 0]);
  assert.deepEqual(tasks[1]!.placement?.reason, { code: "fastest", tokensPerSecond: 100, load: 0.0625, equals: 1 });
  assert.equal(
    sentenceOf(tasks[1]!.placement!.reason, 1),
    "GPU 1 is among the fastest for one task more, 100.0 tokens/s, and has the lowest load of these, 0.06.",
  );
});

test("a slower GPU that has most of a prompt in a free slot is as good as a faster one that has to compute it", () => {
  const world = new World([facts(0, { slots: 4 }), facts(1, { slots: 4 })]);
  teach(world, [1.5, 1]);
  const long = "the same beginning ".repeat(180);
  world.scheduler.finished(world.submit({ pinnedGpuId: 0, text: long, maxTokens: 10 }), ran(0.15, 10));
  const again = world.submit({ text: `${long} and another end`, maxTokens: 10 });
  assert.deepEqual(
    [again.gpuId, again.placement?.reason && (again.placement.reason as { code: string }).code],
    [0, "cached_prefix"],
  );
  // While it runs nobody else can use what it has.
  assert.equal(world.submit({ text: `${long} and a third end`, maxTokens: 10 }).gpuId, 1);
  assert.equal(world.submit({ text: "something else", maxTokens: 10 }).gpuId, 1);
});

test("GPUs that differ by less than a quarter are equal: the lowest load decides", () => {
  const world = new World([facts(0, { slots: 8 }), facts(1, { slots: 8 })]);
  teach(world, [1.2, 1]);
  const gpus = gpusOf(world.submitMany(8));
  assert.equal(gpus.filter((gpu) => gpu === 0).length, 4);
});

test("a GPU whose speed is not known yet is tried", () => {
  const world = new World([facts(0), facts(1), facts(2)]);
  teach(world, [4, 1]);
  assert.ok(gpusOf(world.submitMany(3)).includes(2));
});

test("the load is the share of what a GPU does that is spoken for: a fast one is filled less by the same tasks", () => {
  const world = new World([facts(0, { slots: 4 }), facts(1, { slots: 4 })]);
  teach(world, [4, 1]);
  for (const pinnedGpuId of [0, 1]) world.submitMany(2, { pinnedGpuId });
  assert.deepEqual(
    world.scheduler.instances.map(({ load }) => load),
    [0.5, 0.125],
  );
});

test("a task that is expected to be long counts for more, and its placement says how long", () => {
  const world = new World([facts(0, { slots: 4 }), facts(1, { slots: 4 })]);
  for (const [user, tokens] of [
    ["long", 300],
    ["short", 100],
  ] as const)
    for (let round = 0; round < 10; round++)
      world.scheduler.finished(world.submit({ user, maxTokens: 1000 }), ran(tokens / 100, tokens));
  const long = world.submit({ user: "long", maxTokens: 1000 });
  const others = world.submitMany(2, { user: "short", maxTokens: 1000 });
  assert.deepEqual(gpusOf(others), [1 - long.gpuId!, 1 - long.gpuId!]);
  assert.deepEqual([long.placement?.expectedTokens, others[0]!.placement?.expectedTokens], [300, 100]);
  const bounded = world.submit({ user: "long", maxTokens: 50 });
  assert.equal(bounded.placement?.expectedTokens, 50, "it may not be longer");
});

test("when every task has ended no GPU has a load", () => {
  const world = new World([facts(0, { slots: 4 }), facts(1, { slots: 4 })]);
  teach(world, [4, 1]);
  const tasks = [10, 500, 90].map((maxTokens) => world.submit({ maxTokens }));
  for (const task of tasks) world.complete(task);
  assert.deepEqual(
    world.scheduler.instances.map(({ load, running }) => [load, running.work]),
    [
      [0, 0],
      [0, 0],
    ],
  );
});

test("a pace is a straight line over the tasks that run, and never below nothing", () => {
  const pace = new Pace();
  for (let round = 0; round < 200; round++) {
    const tasks = 1 + (round % 8);
    pace.learn(tasks, 0.01 + 0.002 * tasks);
  }
  assert.ok(pace.isKnown);
  for (const tasks of [1, 4, 8]) assert.ok(Math.abs(pace.secondsAt(tasks) - (0.01 + 0.002 * tasks)) < 1e-6);
  assert.ok(Math.abs(pace.secondsBeside(3) - (0.018 + 3 * 0.002)) < 1e-6);
  const steep = new Pace();
  for (const tasks of [1, 9]) for (let round = 0; round < 9; round++) steep.learn(tasks, tasks === 9 ? 1 : 0.0001);
  assert.ok(steep.secondsAt(0) >= 0);
});

test("lengths are learned for each model of a caller, and for no more than it may use", () => {
  const lengths = new AnswerLengths();
  assert.equal(lengths.expected(taskOf("a"), null), 512, "as long as nothing is known");
  for (let round = 0; round < 8; round++) lengths.learn({ model: "a" }, 40);
  for (let model = 0; model < 100; model++)
    for (let round = 0; round < 8; round++) lengths.learn({ model: `m${model}` }, 70);
  assert.deepEqual(
    [taskOf("a"), taskOf("m0"), taskOf("m99"), taskOf("a", 10)].map((one) => lengths.expected(one, null)),
    [40, 70, 512, 10],
  );
  assert.equal(lengths.expected(taskOf("a"), 30), 30, "no answer is longer than its context");
});
