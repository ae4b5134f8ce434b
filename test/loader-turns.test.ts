/** Models that take turns on a card, for clients that never stop asking. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MIN_RESIDENCY_MS } from "../src/scheduler/residency.ts";
import { type Task } from "../src/task.ts";
import { type ModelPlan, ModelWorld, type Place } from "./helpers/model-world.ts";
import { seeded } from "./helpers/seeded.ts";

const GIB = 2 ** 30;
/** Seconds between two looks at the world. */
const STEP = 0.1;

function modelOf(name: string, memory: number, loadSeconds: number, slots = 1): ModelPlan {
  return { name, memory, slots, context: 1000, can: new Set(["completion"]), loadSeconds };
}

/** A world whose loads, unloads and tasks take their time. */
class TimedWorld extends ModelWorld {
  /** Milliseconds that each task waited until it ran first. */
  readonly waits: number[] = [];
  readonly #endsAt = new Map<Task, number>();
  readonly #readyAt = new Map<Place, number>();

  asks(model: string): Task {
    const task = this.task({ model });
    this.scheduler.submit([task], "single");
    this.tasks.push(task);
    this.obey();
    return task;
  }

  /** A moment passes. @param seconds of a task @returns tasks that have ended */
  moment(seconds: (task: Task) => number): readonly Task[] {
    this.passes(STEP);
    for (const place of this.places) this.#progress(place);
    for (const task of this.started.splice(0)) {
      this.waits.push(this.now - task.createdClock);
      this.#endsAt.set(task, this.now + seconds(task) * 1000);
    }
    const over = [...this.#endsAt].filter(([, at]) => at <= this.now).map(([task]) => task);
    for (const task of over) {
      this.#endsAt.delete(task);
      this.ends(task);
    }
    return over;
  }

  #progress(place: Place): void {
    if (place.state === "unloading") this.becomes(place, "cold");
    if (place.state !== "starting") return;
    const at = this.#readyAt.get(place) ?? this.now + place.model.loadSeconds * 1000;
    this.#readyAt.set(place, at);
    if (at > this.now) return;
    this.#readyAt.delete(place);
    this.becomes(place, "ready");
  }
}

/**
 * One client for each model asks again after each answer, for so many seconds. Each model stays for `MIN_RESIDENCY_MS` once it is there, so
 * each place for a model sees no more than one load in that time.
 */
function takeTurns(names: readonly string[], places: number): void {
  const seconds = 600;
  const world = new TimedWorld(
    [{ total: 6 * places + 3, mostTasks: null, models: names }],
    names.map((name) => modelOf(name, 6, 5)),
  );
  for (const name of names) world.asks(name);
  const answers = new Map(names.map((name) => [name, 0]));
  for (let time = 0; time < seconds; time += STEP) {
    for (const { model } of world.moment(() => STEP)) {
      answers.set(model!, answers.get(model!)! + 1);
      world.asks(model!);
    }
  }
  const most = places * (1 + (seconds * 1000) / MIN_RESIDENCY_MS);
  assert.ok(world.loadCount > names.length && world.loadCount <= most, `${world.loadCount} loads, at most ${most}`);
  // Its turn comes after those of all others, each of which is loaded, and has its time.
  const turns = names.length - places + 1;
  const longest = Math.max(...world.waits);
  assert.ok(longest <= turns * (MIN_RESIDENCY_MS + 10_000), `a task has waited for ${longest} ms`);
  const counts = [...answers.values()];
  assert.ok(Math.min(...counts) >= Math.max(...counts) / 4, `answers: ${counts.join(", ")}`);
  assert.deepEqual(world.rest(), []);
}

test("clients that ask again after each answer do not have their model unloaded between two of them", () => {
  takeTurns(["a", "b"], 1);
});

test("three models with room for two take turns at that pace too, and no task waits for ever", () => {
  takeTurns(["a", "b", "c"], 2);
});

/** Names of the first models that are all there at once, when each has a place for good. */
function fixedPlacement(models: readonly ModelPlan[], gpus: number, total: number): ReadonlySet<string> {
  const free = Array.from({ length: gpus }, () => total);
  const placed = models.filter(({ memory }) => {
    const gpu = free.findIndex((bytes) => bytes >= memory);
    if (gpu !== -1) free[gpu]! -= memory;
    return gpu !== -1;
  });
  return new Set(placed.map(({ name }) => name));
}

// The bound: with the most wanted models placed for good, each task for another one would cost a load.
test("twenty models on eight GPUs cost at most twice the loads of a placement that knows which are wanted most, and every task runs", () => {
  const random = seeded(1);
  const models = Array.from({ length: 20 }, (_, index) => {
    const memory = (4 + ((index * 7) % 11)) * GIB;
    return modelOf(`model-${index}`, memory, 1 + memory / (2 * GIB), 8);
  });
  const names = models.map(({ name }) => name);
  const world = new TimedWorld(
    Array.from({ length: 8 }, () => ({ total: 16 * GIB, mostTasks: 8, models: names })),
    models,
  );
  const shares = names.map((_, index) => 1 / (index + 1));
  const sum = shares.reduce((total, share) => total + share, 0);
  const draw = (): string => {
    let left = random() * sum;
    return names.find((_, index) => (left -= shares[index]!) <= 0) ?? names.at(-1)!;
  };
  const exponential = (mean: number): number => -mean * Math.log(1 - random());
  let next = 0;
  for (let time = 0; time < 600; time += STEP) {
    for (; next <= time; next += exponential(0.5)) world.asks(draw());
    world.moment(() => exponential(3));
  }
  const placed = fixedPlacement(models, 8, 16 * GIB);
  const most = 2 * (placed.size + world.tasks.filter(({ model }) => !placed.has(model!)).length);
  assert.ok(world.loadCount > 20 && world.loadCount <= most, `${world.loadCount} loads, at most ${most}`);
  const longest = Math.max(...world.waits);
  assert.ok(longest <= MIN_RESIDENCY_MS, `a task has waited for ${longest} ms`);
  assert.deepEqual(world.rest(), []);
});

test("models that share the slots of a GPU take turns in the order of their tasks", () => {
  const world = new ModelWorld(
    [{ total: 10, mostTasks: 1, models: ["a", "b"] }],
    ["a", "b"].map((name) => modelOf(name, 5, 0)),
  );
  for (const place of world.places) world.scheduler.ask([place], "load");
  world.obey();
  for (const place of world.places) world.becomes(place, "ready");
  const tasks = ["a", "a", "b", "a"].map((model) => world.submit({ model }));
  const [first, second] = tasks;
  world.complete(first!);
  world.complete(second!);
  assert.deepEqual(
    tasks.map(({ status }) => status),
    ["completed", "completed", "running", "queued"],
  );
});
