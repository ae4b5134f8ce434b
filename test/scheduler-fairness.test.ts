/** Whose turn it is: shares between callers, priorities and age within one, and what each caller may have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AltLasError } from "../src/errors.ts";
import { type CallerLimits } from "../src/scheduler/callers.ts";
import { type Outcome, PRIORITIES, type Task } from "../src/task.ts";
import { COMPLETED, facts, NO_LIMITS, World } from "./helpers/scheduling.ts";

function limits(users: Record<string, Partial<CallerLimits>>): { limitsOf: (user: string) => CallerLimits } {
  return { limitsOf: (user) => ({ ...NO_LIMITS, ...users[user] }) };
}

function completedWith(promptTokens: number, completionTokens: number): Outcome {
  assert.equal(COMPLETED.status, "completed");
  return { ...COMPLETED, result: { ...COMPLETED.result, promptTokens, completionTokens } } as Outcome;
}

function refusal(submit: () => unknown): AltLasError {
  try {
    submit();
  } catch (error) {
    assert.ok(error instanceof AltLasError);
    return error;
  }
  return assert.fail("it was not refused");
}

function endedOf(tasks: readonly Task[]): number {
  return tasks.filter(({ status }) => status === "completed").length;
}

// --- between callers ---------------------------------------------------------------------------------------------

/** The most tokens that a task of the properties below may take. */
const LARGEST = 200;

const shares = fc.record({
  weights: fc.array(fc.constantFrom(1, 1, 1, 2, 4), { minLength: 2, maxLength: 4 }),
  slots: fc.integer({ min: 1, max: 4 }),
  gpus: fc.integer({ min: 1, max: 2 }),
  /** Of each task: what it may take, and which share of that it does. */
  sizes: fc.array(fc.tuple(fc.integer({ min: 2, max: LARGEST }), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 5,
    maxLength: 50,
  }),
});
type Shares = typeof shares extends fc.Arbitrary<infer T> ? T : never;

/** Callers that always have tasks waiting. @param usedBy tokens that a task generates */
class Saturation {
  readonly world: World;
  readonly #shares: Shares;
  readonly #usedBy: (task: Task) => number;
  readonly #served: number[];
  #next = 0;
  #steps = 0;

  constructor(of: Shares, usedBy: (task: Task) => number) {
    this.#shares = of;
    this.#usedBy = usedBy;
    this.#served = of.weights.map(() => 0);
    const weights = of.weights.map((weight, user) => [String(user), { weight }] as const);
    this.world = new World([], limits(Object.fromEntries(weights)));
    const gpus = Array.from({ length: of.gpus }, (_, id) => facts(id, { slots: of.slots, context: null }));
    // Nobody is served before all of them wait.
    for (const gpu of gpus) this.world.tell({ ...gpu, state: "starting" });
    for (let round = 0; round < 3 * of.slots * of.gpus; round++) of.weights.forEach((_, user) => this.#submit(user));
    for (const gpu of gpus) this.world.tell(gpu);
  }

  /** One task ends, and its caller sends another one. */
  step(): void {
    const running = this.#running();
    const task = running[(this.#steps++ * 7919) % running.length]!;
    this.#served[Number(task.user)]! += this.#workOf(task);
    this.world.scheduler.finished(task, completedWith(1, this.#usedBy(task)));
    this.#submit(Number(task.user));
  }

  /** Checks that the callers' work, with that of what runs, is in the ratio of their weights. @param share of it that may be missing */
  check(share: number): void {
    const served = [...this.#served];
    for (const task of this.#running()) served[Number(task.user)]! += this.#workOf(task);
    const byWeight = served.map((work, user) => work / this.#shares.weights[user]!);
    const [least, most] = [Math.min(...byWeight), Math.max(...byWeight)];
    assert.ok(most - least <= LARGEST + share * most, byWeight.join(", "));
  }

  #running(): Task[] {
    return this.world.scheduler.instances.flatMap((gpu) => [...gpu.running]);
  }

  #workOf(task: Task): number {
    return 1 + this.#usedBy(task);
  }

  #submit(user: number): void {
    const [most] = this.#shares.sizes[this.#next++ % this.#shares.sizes.length]!;
    this.world.submit({ user: String(user), text: "four", maxTokens: most - 1 });
  }
}

test("property: callers that always have tasks waiting are served by weight, at any time to within one task", () => {
  fc.assert(
    fc.property(shares, (of) => {
      const saturation = new Saturation(of, ({ sampling }) => sampling.maxTokens);
      for (let step = 0; step < 200; step++) {
        saturation.check(0);
        saturation.step();
      }
    }),
  );
});

test("property: where tasks take less than could be foreseen, that is corrected: to within one task and 5 %", () => {
  fc.assert(
    fc.property(shares, (of) => {
      const shareOf = ({ seq }: Task): number => of.sizes[seq % of.sizes.length]![1];
      const saturation = new Saturation(of, (task) => Math.max(1, Math.round(shareOf(task) * task.sampling.maxTokens)));
      for (let step = 0; step < 3000; step++) saturation.step();
      saturation.check(0.05);
    }),
    { numRuns: 50 },
  );
});

test("one caller's batch of 1,000 keeps another's single task waiting for one slot only", () => {
  const world = new World([facts(0, { slots: 4 })], {});
  world.batch(1000, "split", { user: "bulk", maxTokens: 500 });
  for (let done = 0; done < 40; done++) world.complete([...world.scheduler.instances[0]!.running][0]!);
  const single = world.submit({ user: "single" });
  assert.equal(single.status, "queued");
  world.complete([...world.scheduler.instances[0]!.running][0]!);
  assert.equal(single.status, "running");
});

test("a caller that comes back after a pause has saved up nothing, and pays for nothing that others did not want", () => {
  const world = new World([facts(0, { slots: 1 })]);
  // Alone, ada has had a lot.
  for (const task of world.submitMany(20, { user: "ada", maxTokens: 900 })) world.complete(task);
  const ada = world.submitMany(10, { user: "ada", maxTokens: 90 });
  const bob = world.submitMany(10, { user: "bob", maxTokens: 90 });
  for (let done = 0; done < 10; done++) world.complete([...world.scheduler.instances[0]!.running][0]!);
  assert.ok(Math.abs(endedOf(ada) - endedOf(bob)) <= 1, `${endedOf(ada)} and ${endedOf(bob)}`);
});

test("who could not be served for long does not make up for it at the cost of the others", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1, state: "hot" })]);
  const completeOn = (gpu: number): void =>
    world.scheduler.finished([...world.scheduler.instances[gpu]!.running][0]!, completedWith(1, 9));
  const options = { text: "four", maxTokens: 9, pinnedGpuId: 1 };
  const blocked = world.submitMany(50, { ...options, user: "blocked" });
  world.submitMany(200, { ...options, user: "busy", pinnedGpuId: 0 });
  for (let done = 0; done < 100; done++) completeOn(0);
  const pinned = world.submitMany(50, { ...options, user: "busy" });
  world.tell(facts(0, { slots: 1, state: "hot" }));
  completeOn(0);
  // Both want the other GPU now, and one of them has had nothing yet.
  world.recover(1);
  for (let done = 0; done < 20; done++) completeOn(1);
  assert.ok(Math.abs(endedOf(blocked) - endedOf(pinned)) <= 2, `${endedOf(blocked)} and ${endedOf(pinned)}`);
});

test("among callers that have had as much the oldest task comes first, also one that has run already and comes back", () => {
  const world = new World([facts(0, { slots: 1 })]);
  const first = world.submit({ user: "ada" });
  const second = world.submit({ user: "bob" });
  world.submit({ user: "ada" });
  world.fail(0, "starting");
  world.recover(0);
  assert.deepEqual([first.status, second.status], ["running", "queued"], "what was cut off is no part of a share");
  world.complete(first);
  assert.equal(second.status, "running");
});

// --- within one caller -------------------------------------------------------------------------------------------

/** Waiting tasks of the given priorities, and the order in which they start. */
function orderOf(world: World, tasks: readonly Task[]): number[] {
  const first = world.started.length;
  for (let left = tasks.length + 1; left > 0; left--) {
    const running = [...world.scheduler.instances[0]!.running][0];
    if (running !== undefined) world.complete(running);
  }
  return world.started.slice(first).map((task) => tasks.indexOf(task));
}

test("a higher priority comes first, then age", () => {
  const world = new World([facts(0, { slots: 1 })]);
  world.submit();
  const tasks = (["low", "normal", "high", "normal", "low", "high"] as const).map((priority) =>
    world.submit({ priority }),
  );
  assert.deepEqual(orderOf(world, tasks), [2, 5, 1, 3, 0, 4]);
});

test("waiting lifts a task by one priority at a time, up to the highest", () => {
  const world = new World([facts(0, { slots: 1 })], { ageingSeconds: 10 });
  world.submit();
  const old = [world.submit({ priority: "low" }), world.submit({ priority: "normal" })];
  world.pass(10);
  const middle = [world.submit({ priority: "normal" }), world.submit({ priority: "high" })];
  assert.deepEqual(
    orderOf(world, [...old, ...middle]),
    [1, 3, 0, 2],
    "low is as normal, normal as high, and both are older",
  );
});

test("priorities are a caller's own affair: another one's low comes before more of what has had its share", () => {
  const world = new World([facts(0, { slots: 1 })]);
  world.submit({ user: "ada" });
  world.submitMany(5, { user: "ada", priority: "high" });
  const low = world.submit({ user: "bob", priority: "low" });
  world.complete(world.started[0]!);
  assert.equal(low.status, "running");
});

test("property: with ageing nothing starves, however many tasks of a higher priority keep coming", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...PRIORITIES),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 20 }),
      (priority, slots, ageingSeconds) => {
        const world = new World([facts(0, { slots })], { ageingSeconds });
        world.submitMany(slots, { priority: "high" });
        const task = world.submit({ priority });
        // One more high one for each that ends: a second each.
        for (let second = 0; task.status === "queued"; second++) {
          assert.ok(second <= 2 * ageingSeconds + 2 * slots + 2, "its age makes it the first of all");
          world.submit({ priority: "high" });
          world.pass(1);
          world.complete([...world.scheduler.instances[0]!.running][0]!);
        }
      },
    ),
  );
});

// --- limits of a caller ------------------------------------------------------------------------------------------

test("a caller has at most max_running tasks running, and what waits for that holds up nobody else", () => {
  const world = new World([facts(0), facts(1)], limits({ ada: { maxRunning: 1 } }));
  const [first, second] = world.submitMany(2, { user: "ada" }) as [Task, Task];
  const batch = world.batch(2, "whole", { user: "ada" });
  const other = world.submitMany(3, { user: "bob" });
  assert.deepEqual([first.status, second.status, batch[0]!.status], ["running", "queued", "queued"]);
  assert.ok(other.every(({ status }) => status === "running"));
  world.complete(first);
  assert.equal(second.status, "running", "though the slot that it took is on whichever GPU is free");
  for (const task of [second, ...batch]) world.complete(task);
  assert.equal(world.scheduler.queueSize, 0);
});

test("over max_queued a caller is refused with the time after which a slot may be free; others are not", () => {
  const world = new World([facts(0, { slots: 1 })], limits({ ada: { maxQueued: 2 } }));
  world.submitMany(3, { user: "ada" });
  const refused = refusal(() => world.submit({ user: "ada" }));
  assert.deepEqual([refused.code, refused.status, refused.retryAfter], ["rate_limited", 429, 10]);
  assert.match(refused.message, /2 of at most 2 tasks of ada wait/);
  world.submit({ user: "bob" });
  const large = refusal(() => world.batch(4, "split", { user: "ada" }));
  assert.deepEqual(
    [large.code, world.scheduler.queueSize],
    ["invalid_input", 3],
    "four never fit, so it is no use to try again",
  );
});

test("submissions are counted by the minute, and refused with the time until the next one", () => {
  const world = new World([facts(0)], limits({ ada: { requestsPerMinute: 2 } }));
  const { callers } = world.scheduler;
  callers.countRequest("ada");
  callers.countRequest("ada");
  const refused = refusal(() => callers.countRequest("ada"));
  assert.deepEqual([refused.code, refused.retryAfter], ["rate_limited", 30]);
  callers.countRequest("bob");
  world.pass(30);
  callers.countRequest("ada");
  assert.equal(refusal(() => callers.countRequest("ada")).retryAfter, 30);
});

test("tokens are counted as estimated, then as used; what ended early or was refused is given back", () => {
  const world = new World([facts(0, { slots: 1 })], { ...limits({ ada: { tokensPerMinute: 100 } }), maxQueueSize: 1 });
  const submit = (maxTokens: number): Task => world.submit({ user: "ada", text: "four", maxTokens });
  const task = submit(79); // 80 with its prompt
  assert.equal(refusal(() => submit(29)).retryAfter, 6, "30 are wanted, 20 are there, and 100 come in a minute");
  world.scheduler.finished(task, completedWith(1, 9));
  submit(49); // 40 are left
  const waiting = submit(29); // 10
  world.scheduler.cancel([waiting]);
  submit(29);
  assert.equal(refusal(() => world.submit({ user: "bob" })).code, "queue_full");
  assert.equal(refusal(() => submit(9)).code, "queue_full", "which gives back the 10 that it was to take");
  assert.equal(refusal(() => submit(9)).code, "queue_full");
});

test("a task that was too late to run took no tokens", () => {
  const world = new World([facts(0, { slots: 1 })], limits({ ada: { tokensPerMinute: 100 } }));
  world.submit({ user: "bob" });
  world.submit({ user: "ada", text: "four", maxTokens: 99, timeoutSeconds: 1 });
  assert.equal(refusal(() => world.submit({ user: "ada" })).code, "rate_limited");
  world.pass(1);
  world.submit({ user: "ada", text: "four", maxTokens: 99 });
});

test("asking for as many tokens as there can be, while no model has told how many that are, is no debt for ever", () => {
  const world = new World(
    [facts(0, { state: "starting", context: null })],
    limits({ ada: { tokensPerMinute: 8192 }, bob: {} }),
  );
  const task = world.submit({ user: "ada", maxTokens: Number.MAX_SAFE_INTEGER });
  world.tell(facts(0, { slots: 1 }));
  const failed: Outcome = { status: "failed", error: { code: "model_error", sentence: "It failed." } };
  world.scheduler.finished(task, failed);
  assert.equal(refusal(() => world.submit({ user: "ada", text: "four", maxTokens: 8191 })).retryAfter, 8);
});

test("a task larger than a minute's tokens is let in when nothing has been taken, and those after it wait for it", () => {
  const world = new World([facts(0)], limits({ ada: { tokensPerMinute: 100 } }));
  world.submit({ user: "ada", text: "four", maxTokens: 299 });
  assert.equal(refusal(() => world.submit({ user: "ada", text: "four", maxTokens: 9 })).retryAfter, 126);
});

// --- too late ----------------------------------------------------------------------------------------------------

test("a task that is not done by its deadline fails: at once while it waits, when its worker has stopped it while it runs", () => {
  const world = new World([facts(0, { slots: 1 })]);
  const running = world.submit({ timeoutSeconds: 5 });
  const waiting = world.submit({ timeoutSeconds: 5 });
  const patient = world.submit({ timeoutSeconds: 6 });
  world.pass(4.999);
  assert.deepEqual([running.status, waiting.status, world.canceled], ["running", "queued", []]);
  world.pass(0.001);
  assert.deepEqual([running.status, waiting.status, world.canceled], ["running", "failed", [running]]);
  const partial = { ...(COMPLETED as { result: NonNullable<Task["result"]> }).result, text: "so far" };
  world.scheduler.finished(running, { status: "canceled", result: { ...partial, finishReason: "canceled" } });
  assert.deepEqual([running.status, running.error?.code, running.result?.text], ["failed", "timeout", "so far"]);
  assert.deepEqual([running.result?.finishReason, running.attempts[0]!.reason], ["timeout", "timeout"]);
  assert.deepEqual([waiting.error?.code, waiting.attempts, world.started.includes(waiting)], ["timeout", [], false]);
  assert.equal(patient.status, "running");
});

test("a task that waits too long fails without touching a GPU; one that was cut off waits anew", () => {
  const world = new World([facts(0, { slots: 1 })], { queueTimeout: 10 });
  const first = world.submit();
  const second = world.submit();
  world.pass(8);
  world.fail(0, "faulted", "gpu_lost");
  world.pass(2);
  assert.deepEqual([second.status, second.error?.code, first.status], ["failed", "timeout", "queued"]);
  assert.match(second.error!.sentence, /10 s .*gpu\.multi_gpu\.queue_timeout/);
  world.pass(8);
  assert.deepEqual([first.status, world.scheduler.queueSize], ["failed", 0]);
});

test("a timer that comes late starts nothing that is too late, and a restart does not either", () => {
  const world = new World([facts(0, { slots: 1 })]);
  const running = world.submit();
  const late = world.submit({ timeoutSeconds: 5 });
  world.now += 6000;
  world.complete(running);
  assert.deepEqual([late.status, world.started], ["failed", [running]]);

  const before = new World([facts(0, { state: "hot" })]);
  const old = before.submit({ timeoutSeconds: 5 });
  const after = new World([facts(0)]);
  after.now = 60_000;
  after.scheduler.restore([old]);
  assert.deepEqual([old.status, after.started, after.changed], ["failed", [], [old]]);
});

test("very many tasks that are late together end in several events, and none of them starts meanwhile", () => {
  const world = new World([facts(0, { slots: 1 })], { maxQueueSize: 10_000 });
  const running = world.submit();
  const late = world.submitMany(5000, { timeoutSeconds: 5 });
  const patient = world.submit();
  world.now += 5000;
  world.complete(running);
  const left = (): number => late.filter(({ status }) => status === "queued").length;
  assert.deepEqual([left(), patient.status, world.alarmAt <= world.now], [3000, "queued", true]);
  world.pass(0);
  assert.deepEqual([left(), patient.status, world.started.length], [0, "running", 2]);
});

test("an alarm that falls due within an event keeps no GPU empty, and rings after it", () => {
  const world = new World([facts(0, { slots: 1 })]);
  const [running, patient] = world.submitMany(2) as [Task, Task];
  const late = world.submit({ timeoutSeconds: 5 });
  const due = world.now + 5000;
  let reads = 0;
  Object.defineProperty(world, "now", { get: () => (reads++ === 0 ? due - 1 : due) });
  world.complete(running);
  assert.deepEqual([patient.status, late.status, world.alarmAt], ["running", "queued", due]);
  world.scheduler.tick();
  assert.equal(late.status, "failed");
});

test("an alarm that rings too early is set again", () => {
  const world = new World([facts(0)]);
  const task = world.submit({ timeoutSeconds: 5 });
  const due = world.alarmAt;
  world.now = due - 1;
  world.alarmAt = Infinity;
  world.scheduler.tick();
  assert.deepEqual([world.alarmAt, world.canceled], [due, []]);
  world.now = due;
  world.scheduler.tick();
  assert.deepEqual(world.canceled, [task]);
});

test("a task whose deadline passes while its worker dies does not run again", () => {
  const world = new World([facts(0)]);
  const task = world.submit({ timeoutSeconds: 5 });
  world.pass(5);
  world.crash(0);
  assert.deepEqual([task.status, task.error?.code, world.started.length], ["failed", "timeout", 1]);
});

test("tasks that are late together leave the batch that they wait in, and the rest of it goes on waiting as one", () => {
  const world = new World([facts(0, { state: "starting" })], { queueTimeout: 3600 });
  const batch = [5, 60, 5, 60].map((timeoutSeconds) => world.task({ batchId: "b", wholeBatch: true, timeoutSeconds }));
  world.scheduler.submit(batch, "whole");
  world.pass(5);
  assert.deepEqual(
    batch.map(({ status }) => status),
    ["failed", "queued", "failed", "queued"],
  );
  world.recover(0);
  assert.deepEqual(world.started, [batch[1], batch[3]]);
  assert.equal(world.scheduler.queueSize, 0);
});

test("alarms of tasks that have ended are dropped, so that a deadline in a year costs no memory for a year", () => {
  const world = new World([facts(0)]);
  for (let i = 0; i < 10_000; i++) world.complete(world.submit({ timeoutSeconds: 31_536_000 }));
  const [kept] = world.submitMany(1, { timeoutSeconds: 10 }) as [Task];
  assert.equal(world.alarmAt, world.now + 10_000);
  world.pass(10);
  assert.deepEqual(world.canceled, [kept]);
});
