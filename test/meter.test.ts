/** What tasks cost: the time of an instance, and the energy of its card, shared among those that run there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type StepEnd } from "../src/gpu/worker/messages.ts";
import { CardEnergy, JointEnergy } from "../src/gpu/card/energy.ts";
import { WorkerRuns } from "../src/gpu/worker/worker-runs.ts";
import { PROOF } from "../src/engine/engine.ts";
import { type TaskUse } from "../src/task-use.ts";
import { type Outcome, type Task } from "../src/task.ts";
import { card } from "./helpers/gpu-identities.ts";
import { given } from "./helpers/requests.ts";
import { ScriptedPool } from "./helpers/scripted-pool.ts";
import { World } from "./helpers/scheduling.ts";

/** The runs of one worker, with a clock and a power meter of their own. */
class Runs {
  now = 5000;
  readonly energy: CardEnergy;
  readonly outcomes = new Map<Task, Outcome>();
  readonly #world = new World([]);
  readonly #numbers = new Map<Task, number>();
  #next = 1;
  readonly runs = new WorkerRuns({
    asksServer: false,
    send: () => {},
    busy: () => {},
    ended: (sink, outcome) => sink.ended(outcome),
    energy: {
      begins: (now) => this.energy.begins(now),
      ends: (now) => this.energy.ends(now),
      perInstance: (now) => this.energy.perInstance(now),
      isKnown: (now) => this.energy.isKnown(now),
    },
    now: () => this.now,
  });

  /** @param energy of its card, on which there may be others */
  constructor(energy = new CardEnergy()) {
    this.energy = energy;
  }

  /** The power that its card takes from now on. */
  read(watts: number | null): void {
    this.energy.read(watts, this.now);
  }

  /** Gives it a task. @param text its prompt, which has as many bytes as letters */
  give(text = "a", task = this.#world.task({ text })): Task {
    this.#numbers.set(task, this.#next++);
    const ended = (outcome: Outcome): void => void this.outcomes.set(task, outcome);
    this.runs.run(task, given(task)[1], { delta: () => {}, ended });
    this.runs.tick();
    return task;
  }

  check(): void {
    this.#next++;
    void this.runs.check(PROOF);
  }

  /**
   * A step after so many seconds.
   * @param tokens generated for each task @param prompts tokens of those that begin; null: not told @param ended tasks that end with it
   */
  step(
    seconds: number,
    tokens: readonly (readonly [Task, number])[],
    prompts: readonly (readonly [Task, number | null])[] = [],
    ended: readonly Task[] = [],
    end: Partial<Extract<StepEnd, { type: "finished" }>> = {},
  ): void {
    this.now += seconds * 1000;
    const run = (task: Task): number => this.#numbers.get(task)!;
    this.runs.step({
      type: "step",
      starts: prompts.map(([task, promptTokens]) => ({ run: run(task), promptTokens })),
      pieces: tokens.map(([task, count]) => ({
        run: run(task),
        kind: "text",
        text: "x".repeat(count),
        tokens: count,
      })),
      ends: ended.map((task) => ({
        run: run(task),
        type: "finished",
        finishReason: "stop",
        promptTokens: null,
        completionTokens: task.use!.completionTokens,
        cachedTokens: null,
        executionTime: 1,
        ...end,
      })),
    });
    this.runs.tick();
  }
}

function near(actual: number | null | undefined, expected: number, what = ""): void {
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-9, `${what} ${actual} is not ${expected}`);
}

test("tasks share the time of a step by the tokens that it brought each, with those of a prompt that begins", () => {
  const runs = new Runs();
  runs.read(100);
  const [long, short] = [runs.give(), runs.give()];
  runs.step(2, [[short, 1]], [[long, 59]]);
  // 59 of 60 tokens are those of the long prompt.
  near(long.use?.gpuSeconds, (2 * 59) / 60);
  near(short.use?.gpuSeconds, 2 / 60);
  near(long.use?.energyJoules, (200 * 59) / 60);
  runs.step(0.5, [
    [long, 1],
    [short, 3],
  ]);
  near(long.use?.gpuSeconds, (2 * 59) / 60 + 0.125);
  near(short.use?.gpuSeconds, 2 / 60 + 0.375);
  runs.step(1, [[long, 1]], [], [short]);
  near(short.use?.gpuSeconds, 2 / 60 + 0.375);
  near(long.use?.gpuSeconds, (2 * 59) / 60 + 1.125);
});

test("a step without tokens is shared alike, and nobody pays for the time before it came", () => {
  const runs = new Runs();
  runs.read(50);
  const first = runs.give();
  runs.now += 3000;
  const second = runs.give();
  near(first.use?.gpuSeconds, 3);
  runs.step(1, []);
  near(first.use?.gpuSeconds, 3.5);
  near(second.use?.gpuSeconds, 0.5);
  // Its worker dies.
  runs.now += 4000;
  runs.runs.drop();
  near(first.use?.gpuSeconds, 5.5);
  near(second.use?.energyJoules, 2.5 * 50);
});

test("idle time and health checks are nobody's, and without a power meter there is no energy", () => {
  const runs = new Runs();
  runs.check();
  runs.step(7, []);
  const task = runs.give();
  runs.step(1, [[task, 1]], [[task, 4]], [task]);
  runs.now += 60_000;
  const next = runs.give();
  runs.step(2, [[next, 1]], [[next, 4]], [next]);
  near(task.use?.gpuSeconds, 1);
  near(next.use?.gpuSeconds, 2);
  assert.equal(next.use?.energyJoules, null);
});

test("where a prompt's tokens are told at the end only, its bytes stand for them until then", () => {
  const runs = new Runs();
  const [told, untold] = [runs.give("x"), runs.give("a prompt of 32 bytes, eight token")];
  runs.step(
    1,
    [],
    [
      [told, 3],
      [untold, null],
    ],
  );
  near(told.use?.gpuSeconds, 3 / 12);
  near(untold.use?.gpuSeconds, 9 / 12);
  assert.deepEqual([told.use?.promptTokens, untold.use?.promptTokens], [3, null]);
  runs.step(1, [[untold, 2]], [], [untold], { promptTokens: 7, cachedTokens: 5, completionTokens: 4 });
  const { promptTokens, cachedTokens, completionTokens } = untold.use!;
  assert.deepEqual([promptTokens, cachedTokens, completionTokens], [7, 5, 4]);
});

test("the first output shows at once when it came, and the last one soon", () => {
  const runs = new Runs();
  const task = runs.give();
  runs.now += 1500;
  runs.runs.step({ type: "step", starts: [], pieces: [{ run: 1, kind: "text", text: "", tokens: 1 }], ends: [] });
  assert.deepEqual([task.use?.firstOutput, task.use?.lastOutput], [null, null]);
  for (const seconds of [0.5, 1]) {
    runs.now += seconds * 1000;
    runs.runs.step({ type: "step", starts: [], pieces: [{ run: 1, kind: "text", text: "x", tokens: 1 }], ends: [] });
  }
  assert.deepEqual([task.use?.firstOutput, task.use?.lastOutput, task.use?.completionTokens], [2, 2, 3]);
  runs.runs.tick();
  assert.deepEqual([task.use?.firstOutput, task.use?.lastOutput], [2, 3]);
  near(task.use?.gpuSeconds, 3);
});

test("the costs of all attempts are summed, and the times are those of the last one", () => {
  const runs = new Runs();
  const task = runs.give();
  runs.step(1, [[task, 2]], [[task, 10]]);
  runs.runs.drop();
  assert.deepEqual([task.use?.firstOutput, task.use?.lastOutput], [1, 1]);
  task.use!.firstOutput = task.use!.lastOutput = null;
  runs.give("", task);
  runs.step(2, [[task, 1]], [[task, 10]]);
  runs.step(3, [[task, 1]], [], [task], { promptTokens: 10, cachedTokens: 10, completionTokens: 2 });
  assert.deepEqual(task.use, {
    queued: 0,
    firstOutput: 2,
    lastOutput: 5,
    promptTokens: 20,
    completionTokens: 4,
    cachedTokens: 10,
    gpuSeconds: 6,
    energyJoules: null,
  });
});

test("models that work on one card at once share its power, whichever tells first of its time", () => {
  const energy = new CardEnergy();
  const [one, other] = [new Runs(energy), new Runs(energy)];
  one.read(300);
  const pass = (seconds: number): void => {
    one.now += seconds * 1000;
    other.now = one.now;
  };
  const first = one.give();
  pass(2);
  const second = other.give();
  pass(4);
  other.step(0, [[second, 1]], [], [second]);
  pass(1);
  one.read(100);
  pass(1);
  one.runs.drop();
  near(first.use?.energyJoules, 2 * 300 + 4 * 150 + 1 * 300 + 1 * 100);
  near(second.use?.energyJoules, 4 * 150);
});

test("power that was measured long ago counts no more, and what was counted before stays", () => {
  const runs = new Runs();
  runs.read(100);
  const task = runs.give();
  runs.step(40, [[task, 1]]);
  near(task.use?.energyJoules, 30 * 100);
  runs.step(40, [[task, 1]]);
  near(task.use?.energyJoules, 30 * 100);
  runs.read(50);
  runs.step(2, [[task, 1]]);
  near(task.use?.energyJoules, 30 * 100 + 2 * 50);
});

test("an instance on several cards takes the energy of all, if all are measured", () => {
  const cards = [new CardEnergy(), new CardEnergy()] as const;
  const joint = new JointEnergy(cards);
  assert.equal(new JointEnergy([]).isKnown(0), false);
  cards[0].read(100, 0);
  assert.equal(joint.isKnown(0), false);
  cards[1].read(200, 0);
  joint.begins(0);
  cards[1].begins(1000);
  near(joint.perInstance(3000), 3 * 100 + 1 * 200 + 2 * 100);
  joint.ends(3000);
  assert.ok(joint.isKnown(3000));
});

/** One thing that happens to one of two workers on a card, after some milliseconds. */
const happening = fc.record({
  after: fc.nat(500),
  worker: fc.nat(1),
  what: fc.constantFrom("give", "step", "step", "step", "end", "drop", "check", "power"),
  tokens: fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }),
  prompt: fc.option(fc.nat(3000)),
  watts: fc.option(fc.nat(700)),
});

/** A worker of that property: what runs there, and how long it has worked. */
class Worked extends Runs {
  readonly all: Task[] = [];
  live: Task[] = [];
  begun: (readonly [Task, number | null])[] = [];
  busy = 0;

  begin(prompt: number | null): void {
    const task = this.give();
    this.all.push(task);
    this.live.push(task);
    this.begun.push([task, prompt]);
  }

  tick(tokens: readonly number[], ends: boolean): void {
    const pieces = this.live.map((task, index) => [task, tokens[index % tokens.length]!] as const);
    this.step(0, pieces, this.begun, ends ? this.live.splice(0, 1) : []);
    this.begun = [];
  }

  die(): void {
    this.runs.drop();
    [this.live, this.begun] = [[], []];
  }

  sum(of: (use: TaskUse) => number): number {
    return this.all.reduce((total, { use }) => total + of(use!), 0);
  }
}

test("the shares of all tasks add up to the time in which any ran, however each ended, and to what the card took", () => {
  const property = fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
    const energy = new CardEnergy();
    const workers = [new Worked(energy), new Worked(energy)] as const;
    let power: number | null = null;
    let joules = 0;
    for (const { after, worker, what, tokens, prompt, watts } of happenings) {
      if (workers.some(({ live }) => live.length > 0)) joules += (after / 1000) * (power ?? 0);
      for (const one of workers) {
        if (one.live.length > 0) one.busy += after / 1000;
        one.now += after;
      }
      const one = workers[worker]!;
      if (what === "step" || what === "end") one.tick(tokens, what === "end");
      if (what === "give") one.begin(prompt);
      if (what === "check") one.check();
      if (what === "drop") one.die();
      if (what === "power") one.read((power = watts));
    }
    for (const one of workers) {
      one.die();
      near(
        one.sum(({ gpuSeconds }) => gpuSeconds),
        one.busy,
      );
      assert.ok(one.all.every(({ use }) => use!.gpuSeconds >= 0));
    }
    const taken = workers.reduce((total, one) => total + one.sum(({ energyJoules }) => energyJoules ?? 0), 0);
    assert.ok(Math.abs(taken - joules) < 1e-6, `${taken} of ${joules} J`);
  });
  fc.assert(property, { numRuns: 300 });
});

test("GPUs on one card share what that takes, by the driver's figures; without any, energy is not known", async (t) => {
  const gpus = [card("GPU-aaaa-1", "0000:01:00.0", { index: 0 }), card("GPU-bbbb-1", "0000:02:00.0", { index: 1 })];
  const config = "gpu: { devices: [{ gpu: 0 }, { gpu: 0 }, { gpu: 1 }] }\nengine: { model: /m.gguf }";
  const scripted = await ScriptedPool.of(t, { config, gpus });
  await scripted.startAll(3);
  const { world, pool, loads } = scripted;
  const began = performance.now();
  const cost = (gpuId: number): TaskUse => {
    const task = world.task();
    pool.run({ gpuId, id: 0 }, ...given(task), { delta: () => {}, ended: () => {} });
    return task.use!;
  };
  const [first, second, unmeasured] = [cost(0), cost(1), cost(2)];
  await new Promise((resolve) => setImmediate(resolve));
  scripted.look({}, { "GPU-aaaa-1": 200 });
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  for (const load of loads) load.end();
  await scripted.until(() => world.scheduler.instances.every(({ facts }) => facts.state !== "ready"));
  const passed = (performance.now() - began) / 1000;
  assert.ok(first.energyJoules! > 0 && second.energyJoules! > 0);
  const taken = first.energyJoules! + second.energyJoules!;
  assert.ok(taken <= 200 * passed, `${taken} J in ${passed} s`);
  // Both at once: each takes less than the whole card would have taken meanwhile.
  assert.ok(taken < 200 * (first.gpuSeconds + second.gpuSeconds));
  assert.ok(unmeasured.gpuSeconds > 0);
  assert.equal(unmeasured.energyJoules, null);
});
