/** Models that come and go: which one the scheduler has loaded or unloaded, where, and for whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CardMemory, type GpuFacts, type InstanceFacts } from "../src/gpu/facts.ts";
import { type Task } from "../src/task.ts";
import { COMPLETED, facts, gpuOf, World } from "./helpers/scheduling.ts";
import { type TaskChanges } from "./helpers/requests.ts";

const GIB = 2 ** 30;

interface Model {
  readonly name: string;
  readonly memory: number | null;
  readonly state?: InstanceFacts["state"];
  readonly slots?: number;
  readonly pinned?: boolean;
}

/** GPUs with a number of models each, of which some are there; what the scheduler wants done happens when the test says so. */
class Models extends World {
  readonly #gpus = new Map<number, GpuFacts>();

  constructor(gpus: readonly (readonly Model[])[], memory: CardMemory | null = { total: 10 * GIB, reserved: 0 }) {
    super([]);
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

function instanceOf(id: number, { name, memory, state = "cold", slots = 1, pinned = false }: Model): InstanceFacts {
  const own = gpuOf(facts(0)).instances[0]!;
  const residency = { memory, fileBytes: memory ?? 0, loadSeconds: null, pinned };
  return { ...own, id, model: name, modelName: name, can: null, slots, state, residency };
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
