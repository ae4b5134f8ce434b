/** What a task that waits is told: why, where, and how many are before it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Wait } from "../src/scheduler/why-waiting.ts";
import { type Task } from "../src/task.ts";
import { type GpuPlan, type ModelPlan, ModelWorld } from "./helpers/model-world.ts";
import { facts, gpuOf, NO_LIMITS, World } from "./helpers/scheduling.ts";

function why(world: World, task: Task): string {
  const wait = world.scheduler.questions.whyWaiting(task);
  return wait === null ? "not" : `${wait.reason} ${wait.ahead}: ${wait.sentence}`;
}

const ONE_SLOT = facts(0, { slots: 1 });

test("a task that runs, or has ended, does not wait", () => {
  const world = new World([ONE_SLOT]);
  const task = world.submit();
  assert.equal(why(world, task), "not");
  world.complete(task);
  assert.equal(why(world, task), "not");
});

test("behind a busy GPU it is told which one, since when, and how many of its caller's are before it", () => {
  const world = new World([ONE_SLOT]);
  world.submit();
  world.submit({ user: "bob" });
  const first = world.submit();
  world.now += 500;
  const second = world.submit();
  const urgent = world.submit({ priority: "high" });
  assert.equal(why(world, first), "gpu_busy 1: All slots that it may have are taken: it waits for GPU 0.");
  assert.match(why(world, second), /^gpu_busy 2: /);
  assert.match(why(world, urgent), /^gpu_busy 0: /);
  assert.deepEqual(
    [first, second].map((task) => world.scheduler.questions.whyWaiting(task)!.since),
    [1000, 1500],
  );
});

test("a caller's own limit, a pause after a failure and the end of a drain each have their code", () => {
  const world = new World([facts(0)], { limitsOf: () => ({ ...NO_LIMITS, maxRunning: 1 }), retryBackoff: 10 });
  const running = world.submit();
  const second = world.submit();
  assert.equal(why(world, second), "caller_limit 0: ada has 1 task running, and may have no more.");
  world.fail(0, "faulted");
  assert.equal(why(world, running), "retry_pause 0: It was cut off, and is tried again after a pause.");
  assert.equal(why(world, second), "gpu_not_ready 0: Nothing that it may go to takes tasks: GPU 0 (faulted).");
  world.tell(facts(0, { state: "drained", reason: "Drained by ada." }));
  assert.equal(why(world, second), "gpu_drained 0: An operator took GPU 0 out of service.");
});

test("GPUs that take nothing are named with what is wrong with each", () => {
  const world = new World([
    facts(0, { state: "hot", reason: "It was at 90 °C." }),
    facts(1, { crowded: "memory_taken" }),
  ]);
  const task = world.submit();
  assert.equal(
    why(world, task),
    "gpu_not_ready 0: Nothing that it may go to takes tasks: GPU 0 (hot), GPU 1 (memory taken by others).",
  );
  assert.equal(world.scheduler.questions.whyWaiting(task)!.detail, "It was at 90 °C.");
});

test("a task under which a worker died waits for an empty GPU, and a batch that is not to be split for one GPU", () => {
  const world = new World([facts(0)]);
  const [suspect] = world.submitMany(2) as [Task, Task];
  world.crash(0);
  const waiting = [suspect, ...world.changed].find(({ status }) => status === "queued")!;
  assert.match(
    why(world, waiting),
    /^quarantine 0: A worker failed under it, so it runs alone: it waits until nothing runs on GPU 0\.$/,
  );
  const other = new World([facts(0)]);
  other.submitMany(2);
  const batch = other.batch(3, "whole");
  assert.equal(
    why(other, batch[2]!),
    "batch_waits 0: Its batch, 3 tasks of which wait, runs on one GPU: it waits for GPU 0.",
  );
});

const GIB = 2 ** 30;

function plan(name: string, gib: number): ModelPlan {
  const can = new Set(["completion" as const]);
  return { name, memory: gib * GIB, slots: 1, context: 1000, can, loadSeconds: 1 };
}

const CARD: GpuPlan = { total: 10 * GIB, mostTasks: null, models: ["a", "b"] };

test("a task whose model is not there is told whether that is loaded, leaves, or waits for memory, and where", () => {
  const world = new ModelWorld([CARD], [plan("a", 6), plan("b", 6)]);
  const [a, b] = world.places;
  const first = world.submit({ model: "a" });
  world.obey();
  assert.equal(why(world, first), "model_loading 0: The model a is being loaded on GPU 0.");
  const second = world.submit({ model: "b" });
  assert.equal(why(world, second), "model_loading 0: The model b is loaded as soon as there is room for it on GPU 0.");
  world.becomes(a!, "ready");
  world.ends(first);
  world.passes(31);
  assert.equal(a!.state, "unloading");
  const third = world.submit({ model: "a" });
  assert.equal(why(world, third), "model_loading 0: The model a leaves GPU 0, and is loaded again after that.");
  world.becomes(a!, "cold");
  assert.equal(why(world, second), "model_loading 0: The model b is being loaded on GPU 0.");
  world.becomes(b!, "ready");
  assert.equal(why(world, second), "not");
});

test("a task whose model is being fetched is told so, with what the fetch says", () => {
  const world = new World([]);
  const own = gpuOf(facts(0)).instances[0]!;
  const residency = { memory: 0, fileBytes: 0, loadSeconds: null, pinned: false };
  const instance = { ...own, modelName: "a", can: null, residency, state: "starting", isFetching: true } as const;
  world.scheduler.setGpu({ ...gpuOf(facts(0)), instances: [{ ...instance, reason: "Its file is being fetched." }] });
  const task = world.submit({ model: "a" });
  const { since: _since, ...wait } = world.scheduler.questions.whyWaiting(task) as Wait;
  assert.deepEqual(wait, {
    reason: "model_loading",
    sentence: "The model a is not here yet.",
    detail: "Its file is being fetched.",
    ahead: 0,
  });
});
