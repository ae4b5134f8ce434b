/** What tasks cost: the time of an instance, and the energy of its card, shared among those that run there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type StepEnd } from "../src/gpu/worker/messages.ts";
import { WorkerRuns } from "../src/gpu/worker/worker-runs.ts";
import { PROOF } from "../src/engine/engine.ts";
import { type Outcome, type Task } from "../src/task.ts";
import { given } from "./helpers/requests.ts";
import { World } from "./helpers/scheduling.ts";

/** The runs of one worker, with a clock and a power meter of their own. */
class Runs {
  now = 5000;
  watts: number | null = null;
  readonly outcomes = new Map<Task, Outcome>();
  readonly #world = new World([]);
  readonly #numbers = new Map<Task, number>();
  #next = 1;
  readonly runs = new WorkerRuns({
    send: () => {},
    busy: () => {},
    ended: (sink, outcome) => sink.ended(outcome),
    watts: () => this.watts,
    now: () => this.now,
  });

  /** Gives it a task. @param text its prompt, which has as many bytes as letters */
  give(text = "a", task = this.#world.task({ text })): Task {
    this.#numbers.set(task, this.#next++);
    const ended = (outcome: Outcome): void => void this.outcomes.set(task, outcome);
    this.runs.run(task, given(task)[1], { delta: () => {}, ended });
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
  }
}

function near(actual: number | null | undefined, expected: number, what = ""): void {
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-9, `${what} ${actual} is not ${expected}`);
}

test("tasks share the time of a step by the tokens that it brought each, with those of a prompt that begins", () => {
  const runs = new Runs();
  runs.watts = 100;
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
  runs.watts = 50;
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

/** One thing that happens to a worker, after some milliseconds. */
const happening = fc.record({
  after: fc.nat(500),
  what: fc.constantFrom("give", "step", "step", "step", "end", "drop", "check"),
  tokens: fc.array(fc.nat(20), { minLength: 1, maxLength: 4 }),
  prompt: fc.option(fc.nat(3000)),
});

test("the shares of all tasks add up to the time in which any ran, however each ended, and so does the energy", () => {
  const property = fc.property(fc.array(happening, { maxLength: 60 }), fc.option(fc.nat(700)), (happenings, watts) => {
    const runs = new Runs();
    runs.watts = watts;
    const all: Task[] = [];
    let live: Task[] = [];
    let begun: (readonly [Task, number | null])[] = [];
    let busy = 0;
    for (const { after, what, tokens, prompt } of happenings) {
      if (live.length > 0) busy += after / 1000;
      runs.now += after;
      if (what === "step" || what === "end") {
        const pieces = live.map((task, index) => [task, tokens[index % tokens.length]!] as const);
        runs.step(0, pieces, begun, what === "end" ? live.splice(0, 1) : []);
        begun = [];
      }
      if (what === "give") {
        const task = runs.give();
        all.push(task);
        live.push(task);
        begun.push([task, prompt]);
      }
      if (what === "check") runs.check();
      if (what === "drop") {
        runs.runs.drop();
        [live, begun] = [[], []];
      }
    }
    runs.runs.drop();
    const sum = (of: (task: Task) => number): number => all.reduce((total, task) => total + of(task), 0);
    near(
      sum(({ use }) => use!.gpuSeconds),
      busy,
    );
    if (watts !== null) assert.ok(Math.abs(sum(({ use }) => use!.energyJoules ?? 0) - busy * watts) < 1e-6);
    assert.ok(all.every(({ use }) => use!.gpuSeconds >= 0 && (watts !== null || use!.energyJoules === null)));
  });
  fc.assert(property, { numRuns: 300 });
});
