/** Several models on one GPU: what each instance's worker does, and what happens to the card that they share. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { Mutex } from "../src/common/mutex.ts";
import { type SimulatedOptions } from "../src/engine/engine.ts";
import { UNKNOWN } from "../src/gpu/card/readings.ts";
import { Gpu } from "../src/gpu/gpu.ts";
import { ModelNames } from "../src/gpu/models.ts";
import { type Outcome, type Task } from "../src/task.ts";
import { Changes } from "./helpers/changes.ts";
import { aGpu, simulatedEngine } from "./helpers/devices.ts";
import { LocalWorkers } from "./helpers/local-workers.ts";
import { given } from "./helpers/requests.ts";
import { World } from "./helpers/scheduling.ts";

interface Model extends Partial<SimulatedOptions> {
  readonly model: string;
  readonly slots: number;
}

const SMALL: Model = { model: "small", slots: 3, context: 1000, tokens_per_second: 1 };
const LARGE: Model = { model: "large", slots: 1, context: 9000, tokens_per_second: 1 };

/** A GPU with an instance for each model, and what it told. */
class Owner {
  readonly gpu: Gpu;
  readonly workers = new LocalWorkers();
  /** Instances whose tasks were cut off, and why. */
  readonly losses: (readonly [number, string])[] = [];
  readonly #changes = new Changes();

  constructor(t: TestContext, models: readonly Model[]) {
    this.gpu = new Gpu(
      {
        device: aGpu(),
        memory: () => null,
        memoryFreed: () => async () => {},
        estimate: async () => null,
        healthCheckInterval: 0,
        stallTimeout: 600,
        cancelTimeout: 60,
        memoryBudget: async () => null,
        footprint: () => null,
        loading: new Mutex(),
        openChannel: this.workers.open,
        timing: { restartPause: 0, retryPauses: [86_400_000], healthyAfter: 300_000 },
        names: new ModelNames(),
        log: pino({ level: "silent" }),
      },
      {
        changed: () => this.#changes.tell(),
        lost: (reason, _sentence, instance) => {
          this.losses.push([instance, reason]);
          this.#changes.tell();
        },
        wanted: () => {},
        started: () => {},
      },
    );
    for (const { model, slots, ...simulated } of models)
      this.gpu.add({ ...simulatedEngine(simulated), model, slots }, null);
    t.after(() => this.gpu.stop());
    this.gpu.start(null);
  }

  /** In the order of the instances. */
  get states(): string[] {
    return this.gpu.facts().instances.map(({ state }) => state);
  }

  async are(...states: string[]): Promise<void> {
    await this.#changes.until(() => this.states.join() === states.join());
  }

  run(instance: number): { readonly task: Task; readonly ended: Promise<Outcome> } {
    const task = world.task({ maxTokens: 900 });
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.gpu.run(instance, ...given(task), { delta: () => {}, ended: resolve });
    return { task, ended: promise };
  }
}

const world = new World([]);

test("two models on one GPU have workers, slots and contexts of their own", async (t) => {
  const owner = new Owner(t, [SMALL, LARGE]);
  await owner.are("ready", "ready");
  const shown = owner.gpu.facts().instances.map(({ id, model, slots, context }) => [id, model, slots, context]);
  assert.deepEqual(shown, [
    [0, "small", 3, 1000],
    [1, "large", 1, 9000],
  ]);
  assert.equal(owner.workers.alive.length, 2);
  owner.run(0);
  owner.run(0);
  owner.run(1);
  assert.deepEqual(
    owner.gpu.instances.map(({ tasks }) => tasks),
    [2, 1],
  );
});

test("a GPU is ready as soon as one of its models is, while the other still loads", async (t) => {
  const owner = new Owner(t, [SMALL, { ...LARGE, load_seconds: 1e6 }]);
  await owner.are("ready", "starting");
  assert.deepEqual([owner.gpu.state, owner.gpu.settled], ["ready", false]);
  assert.equal(owner.gpu.status().reason, null);
});

test("a model that cannot be loaded says so of its instance, and the GPU serves with the other", async (t) => {
  const owner = new Owner(t, [{ ...SMALL, failures: [{ kind: "load_error" }] }, LARGE]);
  await owner.are("unfit", "ready");
  assert.match(owner.gpu.facts().instances[0]!.reason ?? "", /set to fail when it is loaded/);
  assert.deepEqual([owner.gpu.state, owner.gpu.settled], ["ready", true]);
});

test("a task is canceled on whichever instance it runs", async (t) => {
  const owner = new Owner(t, [SMALL, LARGE]);
  await owner.are("ready", "ready");
  const runs = [owner.run(0), owner.run(1)];
  for (const { task } of runs) owner.gpu.cancel(task);
  const outcomes = await Promise.all(runs.map(({ ended }) => ended));
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["canceled", "canceled"],
  );
});

test("a card that is lost takes all its instances with it, and brings them back", async (t) => {
  const owner = new Owner(t, [SMALL, LARGE]);
  await owner.are("ready", "ready");
  owner.gpu.vanish("GPU is lost.");
  assert.deepEqual(owner.states, ["lost", "lost"]);
  assert.deepEqual(owner.losses, [
    [0, "gpu_lost"],
    [1, "gpu_lost"],
  ]);
  owner.gpu.read(UNKNOWN);
  await owner.are("ready", "ready");
});

test("a card that needs a reset faults all its instances, and a hot one shuts them", async (t) => {
  const owner = new Owner(t, [SMALL, LARGE]);
  await owner.are("ready", "ready");
  owner.gpu.read({ ...UNKNOWN, temperature: 95 });
  assert.deepEqual([owner.states, owner.losses], [["hot", "hot"], []]);
  owner.gpu.report({ type: "xid", uuid: aGpu().uuids[0]!, xid: 79 });
  assert.deepEqual(owner.states, ["faulted", "faulted"]);
});

test("what others take of a card crowds all its instances", async (t) => {
  const owner = new Owner(t, [SMALL, LARGE]);
  await owner.are("ready", "ready");
  owner.gpu.read({ ...UNKNOWN, othersMemory: 0.95 });
  assert.deepEqual(
    owner.gpu.facts().instances.map(({ crowded }) => crowded),
    ["memory_taken", "memory_taken"],
  );
});

test("a GPU is drained when nothing runs on any of its instances; those that are idle end at once", async (t) => {
  const owner = new Owner(t, [SMALL, LARGE]);
  await owner.are("ready", "ready");
  const { task, ended } = owner.run(1);
  owner.gpu.drain("Drained by ada.", null);
  assert.deepEqual([owner.states, owner.gpu.instances.map(({ use }) => use)[1]], [["draining", "draining"], "loaded"]);
  assert.equal(owner.gpu.instances[0]!.isLoaded, false);
  owner.gpu.cancel(task);
  await ended;
  assert.deepEqual([owner.states, owner.losses], [["drained", "drained"], []]);
  owner.gpu.resume("Resumed by ada.");
  await owner.are("ready", "ready");
});

test("a worker that dies is replaced alone", async (t) => {
  const owner = new Owner(t, [SMALL, LARGE]);
  await owner.are("ready", "ready");
  const { task } = owner.run(0);
  const before = owner.workers.count;
  owner.workers.of().kill();
  await owner.are("ready", "starting");
  assert.deepEqual(owner.losses, [[1, "worker_crash"]]);
  assert.ok(owner.gpu.instances[0]!.tasks === 1 && task.status === "queued");
  await owner.are("ready", "ready");
  assert.deepEqual([owner.workers.count - before, owner.gpu.status().restarts], [1, 1]);
});
