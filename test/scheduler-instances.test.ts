/** Several models on one GPU: each instance has slots, a context and a state of its own, and the GPU stays one for who asks for it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type GpuFacts, type InstanceFacts } from "../src/gpu/facts.ts";
import { type Instance } from "../src/scheduler/placement.ts";
import { type Task } from "../src/task.ts";
import { facts, gpuOf, World } from "./helpers/scheduling.ts";

/** A GPU with several instances, each as changed. */
function gpuWith(id: number, ...instances: readonly Partial<InstanceFacts>[]): GpuFacts {
  const [one] = gpuOf(facts(id)).instances;
  return { ...gpuOf(facts(id)), instances: instances.map((changes, index) => ({ ...one!, id: index, ...changes })) };
}

function worldOf(...gpus: readonly GpuFacts[]): World {
  const world = new World([]);
  for (const gpu of gpus) world.scheduler.setGpu(gpu);
  return world;
}

function instanceOf(world: World, gpuId: number, id: number): Instance {
  return world.scheduler.instances.find((one) => one.gpuId === gpuId && one.id === id)!;
}

/** Tasks running on each instance, in their order. */
function loads(world: World): number[] {
  return world.scheduler.instances.map(({ running }) => running.size);
}

function states(tasks: readonly Task[]): (string | number | null)[][] {
  return tasks.map(({ status, gpuId }) => [status, gpuId]);
}

test("each instance of a GPU has its own slots, and all of them take tasks", () => {
  const world = worldOf(gpuWith(0, { slots: 2 }, { slots: 3 }));
  const tasks = world.submitMany(6);
  assert.deepEqual(loads(world), [2, 3]);
  assert.deepEqual(states(tasks), [...Array.from({ length: 5 }, () => ["running", 0]), ["queued", null]]);
  world.complete([...instanceOf(world, 0, 1).running][0]!);
  assert.deepEqual([loads(world), tasks.at(-1)!.status], [[2, 3], "running"]);
});

test("a task starts on the instance that was chosen, and its slot is given back there", () => {
  const world = worldOf(gpuWith(0, { slots: 1 }, { slots: 1 }));
  const started: unknown[] = [];
  world.onStart = ({ gpuId, id }) => started.push([gpuId, id]);
  const tasks = world.submitMany(2);
  assert.deepEqual(started.toSorted(), [
    [0, 0],
    [0, 1],
  ]);
  world.complete(tasks[0]!);
  world.complete(tasks[1]!);
  assert.deepEqual(loads(world), [0, 0]);
});

test("an instance that does not serve leaves the others of its GPU alone", () => {
  const world = worldOf(gpuWith(0, { slots: 2 }, { slots: 2, state: "starting", reason: "It loads." }));
  world.submitMany(3);
  assert.deepEqual(loads(world), [2, 0]);
  world.scheduler.setGpu(gpuWith(0, { slots: 2 }, { slots: 2 }));
  assert.deepEqual(loads(world), [2, 1]);
});

test("a worker that dies takes the tasks of its instance, not those beside it", () => {
  const world = worldOf(gpuWith(0, { slots: 2 }, { slots: 2 }), gpuOf(facts(1, { slots: 4, state: "starting" })));
  world.submitMany(4);
  const cutOff = [...instanceOf(world, 0, 1).running];
  const kept = [...instanceOf(world, 0, 0).running];
  world.scheduler.interrupted({ gpuId: 0, id: 1 }, "gpu_drained");
  assert.deepEqual(loads(world), [2, 0, 0], "without its worker it takes nothing");
  assert.deepEqual(states(cutOff), [
    ["queued", null],
    ["queued", null],
  ]);
  assert.ok(kept.every(({ status }) => status === "running"));
});

test("a suspect runs alone on its instance, beside which the others of the GPU go on", () => {
  const world = worldOf(gpuWith(0, { slots: 2 }, { slots: 2 }));
  const suspect = world.submit();
  world.scheduler.interrupted({ gpuId: 0, id: instanceOf(world, 0, 0).running.has(suspect) ? 0 : 1 }, "worker_crash");
  world.scheduler.setGpu(gpuWith(0, { slots: 2 }, { slots: 2 }));
  assert.equal(suspect.status, "running");
  world.submitMany(4);
  const [alone, other] = loads(world).toSorted();
  assert.deepEqual([alone, other], [1, 2]);
});

test("a text goes to the instance whose context it fits, also on the GPU that it asks for", () => {
  const world = worldOf(gpuWith(0, { context: 100 }, { context: 1000 }));
  const tasks = [world.submit({ text: "x".repeat(5000) }), world.submit({ text: "x".repeat(5000), pinnedGpuId: 0 })];
  assert.deepEqual(
    [loads(world), states(tasks)],
    [
      [0, 2],
      [
        ["running", 0],
        ["running", 0],
      ],
    ],
  );
  assert.throws(() => world.submit({ text: "x".repeat(20_000) }), /context of 1000 tokens/);
});

test("a batch that is not to be split takes the slots of all instances of its GPU, and no other", () => {
  const world = worldOf(gpuWith(0, { slots: 2 }, { slots: 2 }), gpuOf(facts(1, { slots: 1, othersUtilization: 0.9 })));
  const batch = world.batch(6, "whole");
  assert.deepEqual(loads(world), [2, 2, 0]);
  assert.ok(batch.every(({ boundTo }) => boundTo === 0));
});

test("the distinct GPUs of a split batch are GPUs, not instances", () => {
  const gpus = [gpuWith(0, { slots: 4 }, { slots: 4 }), gpuWith(1, { slots: 4 }, { slots: 4 })];
  const world = new World([], { minBatchSizePerGpu: 2 });
  for (const gpu of gpus) world.scheduler.setGpu(gpu);
  const batch = world.batch(8, "split");
  assert.deepEqual(new Set(batch.map(({ gpuId }) => gpuId)), new Set([0, 1]));
  assert.equal(batch.filter(({ gpuId }) => gpuId === 0).length, 4);
});

test("an instance that is not told of any more is gone, and what waits goes to those that are left", () => {
  const world = worldOf(gpuWith(0, { slots: 1 }, { slots: 1 }));
  world.scheduler.setGpu(gpuWith(0, { slots: 1 }));
  assert.deepEqual(loads(world), [0]);
  world.submitMany(2);
  assert.deepEqual([loads(world), world.scheduler.queueSize], [[1], 1]);
  world.scheduler.setGpu(gpuWith(0, { slots: 1 }, { slots: 1 }));
  assert.deepEqual([loads(world), world.scheduler.queueSize], [[1, 1], 0]);
});

test("a GPU on which nothing is loaded is known, and can run nothing", () => {
  const world = worldOf(gpuWith(0), gpuOf(facts(1)));
  assert.throws(() => world.submit({ pinnedGpuId: 0 }), /GPU 0 cannot run tasks/);
  assert.throws(() => world.submit({ pinnedGpuId: 7 }), /must be the id of a GPU \(0, 1\); got 7/);
  assert.equal(world.submit().gpuId, 1);
});
