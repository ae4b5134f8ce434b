/** Models that come and go: which one the scheduler has loaded or unloaded, where, and for whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CardMemory, type GpuFacts, type InstanceFacts } from "../src/gpu/facts.ts";
import { type Task } from "../src/task.ts";
import { type SchedulerSettings } from "../src/scheduler/effects.ts";
import { COMPLETED, facts, gpuOf, NO_LIMITS, World } from "./helpers/scheduling.ts";
import { type TaskChanges } from "./helpers/requests.ts";

const GIB = 2 ** 30;

interface Model {
  readonly name: string;
  readonly memory: number | null;
  readonly state?: InstanceFacts["state"];
  readonly slots?: number;
  readonly pinned?: boolean;
  readonly context?: number;
  /** The one that is to take its place. */
  readonly successor?: number;
  readonly retired?: boolean;
}

/** GPUs with a number of models each, of which some are there; what the scheduler wants done happens when the test says so. */
class Models extends World {
  readonly #gpus = new Map<number, GpuFacts>();

  constructor(
    gpus: readonly (readonly Model[])[],
    memory: CardMemory | null = { total: 10 * GIB, reserved: 0 },
    settings: Partial<SchedulerSettings> = {},
  ) {
    super([], settings);
    for (const [id, models] of gpus.entries()) this.put(id, models, memory);
  }

  put(gpuId: number, models: readonly Model[], memory: CardMemory | null): void {
    const gpu = gpuOf({ ...facts(gpuId), memory });
    const instances = models.map((model, id) => instanceOf(id, model));
    this.#gpus.set(gpuId, { ...gpu, instances });
    this.scheduler.setGpu(this.#gpus.get(gpuId)!);
  }

  /** An instance has got into this state. */
  becomes(gpuId: number, id: number, state: InstanceFacts["state"], reason: string | null = null): void {
    const gpu = this.#gpus.get(gpuId)!;
    const instances = gpu.instances.map((one) => (one.id === id ? { ...one, state, reason } : one));
    this.#gpus.set(gpuId, { ...gpu, instances });
    this.scheduler.setGpu(this.#gpus.get(gpuId)!);
  }

  ask(changes: TaskChanges): Task {
    const task = this.task(changes);
    this.scheduler.submit([task], "single");
    return task;
  }

  /** What was wanted since the last call, as [load or unload, GPU, instance]. */
  get wanted(): readonly string[] {
    return [
      ...this.modelsUnloaded.splice(0).map(({ gpuId, id }) => `unload ${gpuId}/${id}`),
      ...this.modelsLoaded.splice(0).map(({ gpuId, id }) => `load ${gpuId}/${id}`),
    ];
  }
}

function instanceOf(id: number, model: Model): InstanceFacts {
  const { name, memory, state = "cold", slots = 1, pinned = false, context = 1000 } = model;
  const { successor = null, retired = false } = model;
  const own = gpuOf(facts(0)).instances[0]!;
  const residency = { memory, fileBytes: memory ?? 0, loadSeconds: null, pinned };
  const as = { id, model: name, modelName: name, can: null, context, slots, state };
  return { ...own, ...as, residency, successor, retired };
}

const A: Model = { name: "a", memory: 6 * GIB };
const B: Model = { name: "b", memory: 3 * GIB };
const C: Model = { name: "c", memory: 6 * GIB };
const READY = { state: "ready" } as const;

test("a model that a task names is loaded where memory is free, and the task runs when it is there", () => {
  const world = new Models([[{ ...C, ...READY }, A], [A]]);
  const task = world.ask({ model: "a" });
  assert.equal(task.status, "queued");
  assert.deepEqual(world.wanted, ["load 1/0"]);
  world.becomes(1, 0, "starting");
  assert.deepEqual(world.wanted, []);
  world.becomes(1, 0, "ready");
  assert.deepEqual([task.status, task.gpuId], ["running", 1]);
});

test("a model that is ready somewhere is loaded elsewhere only while it is full and memory is free there", () => {
  const world = new Models([[{ ...A, ...READY }], [{ ...C, ...READY }, A], [A]]);
  world.ask({ model: "a" });
  assert.deepEqual(world.wanted, [], "it has a free slot");
  world.ask({ model: "a" });
  assert.deepEqual(world.wanted, ["load 2/0"]);
  world.ask({ model: "a" });
  assert.deepEqual(world.wanted, [], "nothing is unloaded for a further one");
});

test("the idle model that is cheapest to bring back makes room, and the next one is loaded when it has left", () => {
  const world = new Models([[{ ...A, ...READY }, { ...B, ...READY }, C]]);
  world.now += 60_000;
  world.ask({ model: "c" });
  assert.deepEqual(world.wanted, ["unload 0/0"]);
  const late = world.ask({ model: "a" });
  assert.deepEqual(world.wanted, [], "a task for what just leaves waits for the next load");
  world.becomes(0, 0, "cold");
  assert.deepEqual(world.wanted, ["load 0/2"]);
  world.becomes(0, 2, "ready");
  assert.equal(late.status, "queued");
});

test("a busy model is never unloaded: it gets nothing new, and leaves when its tasks have ended", () => {
  const world = new Models([[{ ...A, ...READY, slots: 2 }, C]]);
  const running = world.ask({ model: "a" });
  world.now += 60_000;
  world.ask({ model: "c" });
  world.now += 31_000;
  world.scheduler.tick();
  assert.deepEqual(world.wanted, []);
  const later = world.ask({ model: "a" });
  assert.equal(later.status, "queued", "a free slot is not given to it");
  world.scheduler.finished(running, COMPLETED);
  assert.deepEqual(world.wanted, ["unload 0/0"]);
});

test("models that do not fit beside each other take turns no faster than the least time of residency", () => {
  const world = new Models([[{ ...A, ...READY }, C]]);
  let switches = 0;
  for (let second = 0; second < 300; second++) {
    world.now += 1000;
    const tasks = ["a", "c"].map((model) => world.ask({ model }));
    world.scheduler.tick();
    for (const task of [...world.started].filter(({ status }) => status === "running"))
      world.scheduler.finished(task, COMPLETED);
    for (const wish of world.wanted) {
      const [what, where] = wish.split(" ") as [string, string];
      const id = Number(where.split("/")[1]);
      if (what === "unload") switches++;
      world.becomes(0, id, what === "unload" ? "cold" : "ready");
    }
    assert.equal(tasks.length, 2);
  }
  assert.ok(switches >= 5 && switches <= 10, `${switches} switches in 300 s`);
});

test("a model that would fit nowhere with everything else gone is refused with both numbers, before anything is unloaded", () => {
  const world = new Models([
    [
      { ...A, ...READY },
      { name: "huge", memory: 14 * GIB },
    ],
  ]);
  assert.throws(() => world.ask({ model: "huge" }), {
    code: "model_too_large",
    message: "model huge needs 14.0 GiB, and no GPU has more than 10.0 GiB for it.",
  });
  assert.deepEqual(world.wanted, []);
});

test("tasks for a model that cannot be loaded end with the reason, and the next ones have it tried again", () => {
  const world = new Models([[A]]);
  const task = world.ask({ model: "a" });
  assert.deepEqual(world.wanted, ["load 0/0"]);
  world.becomes(0, 0, "unfit", "The model file a does not exist.");
  assert.equal(task.status, "failed");
  assert.equal(task.error?.code, "model_error");
  assert.match(task.error!.sentence, /^The model a cannot be loaded\. GPU 0: The model file a does not exist\.$/);
  assert.throws(() => world.ask({ model: "a" }), { code: "no_usable_gpu" });
  world.becomes(0, 0, "cold");
  world.ask({ model: "a" });
  assert.deepEqual(world.wanted, ["load 0/0"]);
});

test("a task that names no model takes what is there, else has the first one loaded", () => {
  const there = new Models([[A, { ...B, ...READY }]]);
  there.ask({});
  there.ask({});
  assert.deepEqual(there.wanted, []);
  const cold = new Models([[A, B]]);
  cold.ask({});
  assert.deepEqual(cold.wanted, ["load 0/0"]);
});

test("a task for one GPU has its model loaded there, also when another GPU has it", () => {
  const world = new Models([[{ ...A, ...READY }], [A]]);
  world.ask({ model: "a", pinnedGpuId: 1, boundTo: 1 });
  assert.deepEqual(world.wanted, ["load 1/0"]);
});

test("nothing is loaded beside a model of which is not known yet what it takes", () => {
  const own: Model = { name: "own", memory: null, state: "starting", pinned: true };
  const world = new Models([[own, A]]);
  world.ask({ model: "a" });
  assert.deepEqual(world.wanted, []);
  world.put(0, [{ ...own, ...READY, memory: GIB }, A], { total: 10 * GIB, reserved: 0 });
  assert.deepEqual(world.wanted, ["load 0/1"]);
});

test("what an operator wants is loaded, and unloaded when nothing runs there", () => {
  const world = new Models([[{ ...A, ...READY }, B]]);
  world.scheduler.ask([{ gpuId: 0, id: 1 }], "load");
  assert.deepEqual(world.wanted, ["load 0/1"]);
  const running = world.ask({ model: "a" });
  world.scheduler.ask([{ gpuId: 0, id: 0 }], "unload");
  assert.deepEqual(world.wanted, []);
  world.scheduler.finished(running, COMPLETED);
  assert.deepEqual(world.wanted, ["unload 0/0"]);
});

test("room that was made for a model is not taken back by older tasks of the one that has left", () => {
  const world = new Models([[{ ...A, ...READY }, C]]);
  const running = world.ask({ model: "a" });
  const old = world.ask({ model: "a" });
  world.now += 10;
  const young = world.ask({ model: "c" });
  world.pass(60);
  world.complete(running);
  assert.deepEqual(world.wanted, ["unload 0/0"]);
  world.becomes(0, 0, "unloading");
  world.becomes(0, 0, "cold");
  assert.deepEqual(world.wanted, ["load 0/1"]);
  world.becomes(0, 1, "ready");
  assert.deepEqual([old.status, young.status], ["queued", "running"]);
});

test("room is made on one GPU, also for tasks of several callers and priorities", () => {
  const world = new Models([
    [{ ...A, ...READY }, C],
    [{ ...A, ...READY }, C],
  ]);
  world.now += 60_000;
  for (const user of ["ada", "bob"])
    for (const priority of ["low", "high"] as const) world.ask({ model: "c", user, priority });
  assert.deepEqual(world.wanted, ["unload 0/0"]);
  world.becomes(0, 0, "unloading");
  assert.deepEqual(world.wanted, []);
});

test("a caller's limit counts: what it may not run yet is no reason to load a model twice", () => {
  const world = new Models([[A], [A]], undefined, { limitsOf: () => ({ ...NO_LIMITS, maxRunning: 1 }) });
  for (let count = 0; count < 5; count++) world.ask({ model: "a" });
  assert.deepEqual(world.wanted, ["load 0/0"]);
  world.becomes(0, 0, "starting");
  assert.deepEqual(world.wanted, []);
});

test("a model whose GPU is too hot, or taken by others, is loaded on another one", () => {
  const world = new Models([[{ ...A, ...READY }], [{ ...C, ...READY }, A]]);
  world.becomes(0, 0, "hot");
  world.now += 60_000;
  world.ask({ model: "a" });
  assert.deepEqual(world.wanted, ["unload 1/0"]);
});

test("younger tasks leave the memory alone that an older one has waited for", () => {
  const D: Model = { name: "d", memory: 4 * GIB };
  const world = new Models([[{ ...A, ...READY }, { name: "whole", memory: 10 * GIB }, B, D]]);
  const running = world.ask({ model: "a" });
  world.ask({ model: "whole" });
  world.pass(31);
  world.ask({ model: "b" });
  assert.deepEqual(world.wanted, [], "it would fit beside the busy one");
  world.complete(running);
  assert.deepEqual(world.wanted, ["unload 0/0"]);
  world.becomes(0, 0, "cold");
  assert.deepEqual(world.wanted, ["load 0/1"]);
});

test("a text too long for the model that is there has another one loaded, once", () => {
  const world = new Models([[{ ...A, ...READY, context: 100 }, B]]);
  world.now += 60_000;
  world.ask({ text: "x".repeat(5000) });
  assert.deepEqual(world.wanted, ["load 0/1"]);
});

test("a server that stops loads nothing any more", () => {
  const world = new Models([[A]]);
  world.ask({ model: "a" });
  assert.deepEqual(world.wanted, ["load 0/0"]);
  world.scheduler.drain();
  world.becomes(0, 0, "cold");
  assert.deepEqual(world.wanted, []);
});

test("models on devices that share their memory make room for each other", () => {
  const world = new Models([[{ ...A, ...READY }], [C]], { total: 10 * GIB, reserved: 0, sharedBy: [0, 1] });
  world.now += 60_000;
  world.ask({ model: "c" });
  assert.deepEqual(world.wanted, ["unload 0/0"]);
  world.becomes(0, 0, "cold");
  assert.deepEqual(world.wanted, ["load 1/0"]);
});

test("tasks for a model that nobody has any more end with its name", () => {
  const world = new Models([[A, B]]);
  const task = world.ask({ model: "b", pinnedGpuId: null });
  assert.deepEqual(world.wanted, ["load 0/1"]);
  world.put(0, [A], { total: 10 * GIB, reserved: 0 });
  assert.deepEqual([task.status, task.error?.code], ["failed", "model_not_found"]);
});

/** The version of a model that is there, and the one that is to take its place. */
const OLD: Model = { ...A, ...READY, successor: 1, slots: 2 };
const NEXT: Model = { ...A, memory: 4 * GIB, slots: 2 };

test("a successor is loaded beside what it replaces where memory is free, though no task waits for it", () => {
  const world = new Models([[OLD, NEXT]]);
  assert.deepEqual(world.wanted, ["load 0/1"]);
  const task = world.ask({ model: "a" });
  assert.deepEqual([task.status, task.gpuId], ["running", 0], "the one before serves until it is ready");
});

test("without memory beside it, an instance finishes what runs, goes, and its successor is loaded; what comes waits", () => {
  const big = { ...NEXT, memory: 6 * GIB };
  const world = new Models([[{ ...A, ...READY, slots: 2 }, big, { ...B, ...READY }]]);
  const running = world.ask({ model: "a" });
  world.put(0, [OLD, big, { ...B, ...READY }], { total: 10 * GIB, reserved: 0 });
  const late = world.ask({ model: "a" });
  assert.deepEqual([late.status, world.wanted], ["queued", []]);
  world.scheduler.finished(running, COMPLETED);
  assert.deepEqual(world.wanted, ["unload 0/0"], "no other model has to go");
  assert.equal(late.status, "queued");
  world.becomes(0, 0, "cold");
  assert.deepEqual(world.wanted, ["load 0/1"]);
  world.becomes(0, 1, "ready");
  assert.equal(late.status, "running");
});

test("an instance stays while its successor would not fit without it either, or an operator wants it gone", () => {
  const huge = new Models([[OLD, { ...NEXT, memory: 11 * GIB }]]);
  assert.deepEqual(huge.wanted, []);
  assert.equal(huge.ask({ model: "a" }).status, "running");
  const unknown = new Models([[OLD, { ...NEXT, memory: null }]]);
  assert.deepEqual(unknown.wanted, []);
  const gone = new Models([[{ ...A, ...READY }, NEXT]]);
  gone.scheduler.ask([{ gpuId: 0, id: 0 }], "unload");
  gone.put(0, [{ ...OLD, state: "unloading" }, NEXT], { total: 10 * GIB, reserved: 0 });
  gone.becomes(0, 0, "cold");
  assert.deepEqual(gone.wanted, ["unload 0/0"], "its successor is loaded when it is wanted");
  gone.ask({ model: "a" });
  assert.deepEqual(gone.wanted, ["load 0/1"]);
});

test("a retired instance takes nothing, and the name that it alone had is nobody's", () => {
  const world = new Models([[{ ...A, ...READY }, B]]);
  const running = world.ask({ model: "a" });
  const waiting = world.ask({ model: "a" });
  world.put(0, [{ ...A, state: "draining", retired: true }, B], { total: 10 * GIB, reserved: 0 });
  assert.deepEqual([waiting.status, waiting.error?.code], ["failed", "model_not_found"]);
  assert.throws(() => world.ask({ model: "a" }), { code: "model_not_found" });
  world.scheduler.finished(running, COMPLETED);
  world.put(0, [], { total: 10 * GIB, reserved: 0 });
  assert.equal(running.status, "completed");
});

test("the rest of a batch whose model has left its GPU goes where that is", () => {
  const world = new Models([[{ ...A, ...READY }, C], [{ ...A, ...READY }]]);
  const elsewhere = world.ask({ model: "a", pinnedGpuId: 1, boundTo: 1 });
  const [first, second] = world.batch(2, "whole", { model: "a" });
  world.ask({ model: "c", pinnedGpuId: 0, boundTo: 0 });
  world.pass(31);
  world.complete(first!);
  assert.deepEqual(world.wanted, ["unload 0/0"]);
  world.complete(elsewhere);
  world.becomes(0, 0, "unloading");
  assert.equal(second!.status, "queued");
  world.becomes(0, 0, "cold");
  assert.deepEqual([second!.status, second!.gpuId], ["running", 1]);
});
