/** How much of the queue one caller may fill, and what one that is over it is told. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AltLasError } from "../src/errors.ts";
import { type CallerLimits } from "../src/scheduler/callers.ts";
import { DrainRate } from "../src/scheduler/drain-rate.ts";
import { type SchedulerSettings } from "../src/scheduler/effects.ts";
import { heapCostOf } from "../src/scheduler/heap-cost.ts";
import { completionOf, factsOf, type Sampling } from "../src/request.ts";
import { type Task } from "../src/task.ts";
import { facts, NO_LIMITS, World } from "./helpers/scheduling.ts";
import { newTask } from "./helpers/store.ts";

/** One GPU with one slot, and two users. */
function sharedWorld(settings: Partial<SchedulerSettings> = {}): World {
  return new World([facts(0, { slots: 1 })], { maxQueueSize: 40, isShared: () => true, ...settings });
}

function limitsOf(users: Record<string, Partial<CallerLimits>>): Pick<SchedulerSettings, "limitsOf"> {
  return { limitsOf: (user) => ({ ...NO_LIMITS, ...users[user] }) };
}

/** What a submission is answered with. */
function refusalOf(submit: () => unknown): AltLasError | null {
  try {
    submit();
    return null;
  } catch (error) {
    assert.ok(error instanceof AltLasError);
    return error;
  }
}

test("with several users, a caller that fills half of the queue is refused and told so, and the others are not", () => {
  const world = sharedWorld();
  world.submitMany(21, { user: "ada" });
  const refused = refusalOf(() => world.submit({ user: "ada" }));
  assert.deepEqual([refused?.code, refused?.status], ["rate_limited", 429]);
  assert.equal(
    refused?.message,
    "There is no room for 1 more: 20 of at most 20 tasks of ada wait (half of gpu.multi_gpu.max_queue_size, because there are several users; callers.defaults.max_queued). Try again in 10 s.",
  );
  world.submitMany(20, { user: "bob" });
  assert.equal(refusalOf(() => world.submit({ user: "eve" }))?.code, "queue_full");
});

test("a caller's texts may fill half of the bytes that may wait, also where its number of tasks is set", () => {
  const world = sharedWorld({ maxQueueBytes: 100, ...limitsOf({ bob: { maxQueued: 30 } }) });
  world.submit({ user: "eve" });
  for (const user of ["ada", "bob"]) {
    world.submit({ user, text: "x".repeat(50) });
    const refused = refusalOf(() => world.submit({ user, text: "x" }));
    assert.equal(refused?.code, "rate_limited");
    assert.match(refused!.message, new RegExp(`50 of at most 50 bytes of text of ${user} wait .*max_queue_bytes`));
  }
});

test("the only user has the whole queue, and shares it from the moment when another one is known", () => {
  let users = 1;
  const world = sharedWorld({ isShared: () => users > 1 });
  world.submitMany(31, { user: "ada" });
  users = 2;
  assert.equal(refusalOf(() => world.submit({ user: "ada" }))?.code, "rate_limited");
  users = 1;
  world.submitMany(10, { user: "ada" });
  assert.equal(refusalOf(() => world.submit({ user: "ada" }))?.code, "queue_full");
});

test("a share is lifted by `unlimited`, and never fewer than 16 tasks", () => {
  const unlimited = sharedWorld({ maxQueueBytes: 205, ...limitsOf({ ada: { maxQueued: "unlimited" } }) });
  unlimited.submitMany(41, { user: "ada" });
  assert.equal(refusalOf(() => unlimited.submit({ user: "ada" }))?.code, "queue_full");
  const small = sharedWorld({ maxQueueSize: 20 });
  small.submitMany(17, { user: "ada" });
  assert.match(refusalOf(() => small.submit({ user: "ada" }))!.message, /16 of at most 16 tasks/);
});

test("a batch beyond what its caller may ever have waiting is refused for good, with the limit", () => {
  const world = sharedWorld();
  const many = refusalOf(() => world.batch(22, "split", { user: "ada" }));
  assert.equal(many?.code, "invalid_input");
  assert.match(many!.message, /^batch has 22 items; ada may have 21: 20 waiting \(half of .*max_queue_size/);
  const bytes = sharedWorld({ maxQueueBytes: 100 });
  const long = refusalOf(() => bytes.batch(3, "split", { user: "ada", text: "x".repeat(30) }));
  assert.equal(long?.code, "invalid_input");
  assert.match(
    long!.message,
    /at least 60 bytes of text would wait; ada may have 50 waiting \(half of .*max_queue_bytes/,
  );
  bytes.batch(2, "split", { user: "ada", text: "x".repeat(30) });
});

test("tasks that go back to the queue are never refused, though their caller is over its share then", () => {
  const world = new World([facts(0, { slots: 8 })], { maxQueueSize: 16, isShared: () => true });
  const tasks = world.submitMany(24, { user: "ada" });
  world.fail(0, "faulted");
  assert.ok(tasks.every(({ status }) => status === "queued"));
  assert.equal(world.scheduler.queueSize, 24);
});

// --- when to come back -------------------------------------------------------------------------------------------

test("a caller is told when its own tasks will have got slots, not how fast those of others do", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })], {
    ...limitsOf({ ada: { maxQueued: 4 } }),
    mappings: new Map(),
  });
  const pinned = { ada: { user: "ada", pinnedGpuId: 0 }, bob: { user: "bob", pinnedGpuId: 1 } };
  world.submitMany(5, pinned.ada);
  world.submitMany(40, pinned.bob);
  const runningOf = (gpuId: number): Task => [...world.scheduler.instances[gpuId]!.running][0]!;
  // One of ada's each 19 s, one of bob's each second.
  for (let second = 1; second <= 38; second++) {
    world.pass(1);
    world.complete(runningOf(1));
    if (second % 19 === 0) world.complete(runningOf(0));
  }
  world.submitMany(2, pinned.ada);
  assert.equal(refusalOf(() => world.submit(pinned.ada))?.retryAfter, 19);
});

test("where no GPU takes tasks a full queue does not pretend to become shorter soon", () => {
  const world = new World([facts(0, { slots: 1 })], { maxQueueSize: 1 });
  world.submitMany(2);
  world.tell({ ...world.factsOf(0), state: "draining" });
  const refused = refusalOf(() => world.submit());
  assert.deepEqual([refused?.code, refused?.retryAfter], ["queue_full", 60]);
  assert.match(refused!.message, /No GPU takes tasks at present, so the queue does not get shorter/);
});

test("a queue in which nothing moves says so: the longer that lasts, the later one is told to come back", () => {
  const world = new World([facts(0, { slots: 1 })], { maxQueueSize: 1 });
  world.submitMany(2);
  assert.equal(refusalOf(() => world.submit())?.retryAfter, 10);
  world.pass(3600);
  assert.equal(refusalOf(() => world.submit())?.retryAfter, 3600);
});

test("an idle night is no slow queue, and canceled tasks are no fast one", () => {
  const world = new World([facts(0, { slots: 1 })], { maxQueueSize: 3 });
  const [first, second, third] = world.submitMany(4) as [Task, Task, Task];
  for (const task of [first, second, third]) {
    world.pass(5);
    world.complete(task);
  }
  world.pass(36_000);
  const waiting = world.submitMany(3);
  world.scheduler.cancel(waiting.slice(1));
  world.submitMany(2);
  assert.equal(refusalOf(() => world.submit())?.retryAfter, 5);
});

test("property: at a steady pace the time told is when the last place is free, whatever pauses there were before", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 2, max: 100 }),
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 0, max: 100_000 }),
      (pace, starts, places, idle) => {
        let now = 0;
        const rate = new DrainRate(() => now);
        for (let start = 0; start < starts; start++) {
          rate.enters();
          now += pace * 1000;
          rate.starts();
          rate.leaves();
          now += idle * 1000;
        }
        assert.equal(rate.secondsFor(places), places * pace);
      },
    ),
  );
});

const [TASKS, BYTES] = [40, 400];

const step = fc.oneof(
  fc.record({
    user: fc.constantFrom("ada", "bob", "eve"),
    count: fc.integer({ min: 1, max: 25 }),
    bytes: fc.integer({ min: 1, max: 20 }),
  }),
  fc.constantFrom("complete" as const, "crash" as const, "one user" as const, "two users" as const),
);

/** Tasks of several users that come and go. */
class Crowd {
  #users = 2;
  readonly #all: Task[] = [];
  readonly #world = new World([facts(0, { slots: 2 })], {
    maxQueueSize: TASKS,
    maxQueueBytes: BYTES,
    maxAttempts: 100,
    isShared: () => this.#users > 1,
  });

  go(each: typeof step extends fc.Arbitrary<infer T> ? T : never): void {
    if (typeof each === "object") this.#submit(each);
    else if (each === "crash") this.#world.crash(0);
    else if (each === "complete")
      for (const task of this.#world.scheduler.instances[0]!.running) this.#world.complete(task);
    else this.#users = each === "one user" ? 1 : 2;
  }

  get #isBusy(): boolean {
    return this.#all.some(({ status }) => status === "queued" || status === "running");
  }

  /** What waits, of one user or of all, and how long its texts are. */
  #waiting(user: string | null): { tasks: number; bytes: number } {
    const tasks = this.#all.filter((task) => task.status === "queued" && (user === null || task.user === user));
    return { tasks: tasks.length, bytes: tasks.reduce((sum, { size: own }) => sum + own, 0) };
  }

  #submit({ user, count, bytes }: { user: string; count: number; bytes: number }): void {
    const more = Array.from({ length: count }, () => this.#world.task({ user, text: "x".repeat(bytes), batchId: "b" }));
    const [own, all] = [this.#waiting(user), this.#waiting(null)];
    const isOver = (present: { tasks: number; bytes: number }, share: number): boolean =>
      present.tasks + count > TASKS * share || present.bytes + count * bytes > BYTES * share;
    const refused = refusalOf(() => this.#world.scheduler.submit(more, "split"));
    switch (refused?.code) {
      case undefined:
        this.#all.push(...more);
        this.#checkShare(user, own.tasks);
        return;
      case "rate_limited":
        assert.ok(this.#users > 1 && isOver(own, 1 / 2) && this.#isBusy, "it is over its own share, and not for ever");
        break;
      case "queue_full":
        assert.ok(isOver(all, 1) && this.#isBusy);
        break;
      default:
        assert.equal(refused?.code, "invalid_input");
        assert.ok(isOver({ tasks: 0, bytes: 0 }, 1 / this.#users), "not even an empty queue has room for it");
        return;
    }
    assert.ok(refused.retryAfter! >= 1);
  }

  #checkShare(user: string, before: number): void {
    const { tasks, bytes } = this.#waiting(user);
    // Tasks that came back after a crash, or from before there was another user, may be more.
    if (this.#users > 1 && tasks > before) assert.ok(tasks <= TASKS / 2 && bytes <= BYTES / 2);
  }
}

test("property: a caller is told to come back only for what it has itself, or because all of the queue is full", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const crowd = new Crowd();
      for (const each of steps) crowd.go(each);
    }),
  );
});

test("what waits may take so much of the heap; the sentence says how to have more", () => {
  const webhook = { url: `https://x.example/${"u".repeat(1982)}`, events: ["task.completed"] } as const;
  const world = new World([facts(0, { slots: 1 })], { maxQueueHeap: 6500 });
  world.submitMany(3, { webhook });
  assert.throws(() => world.submit({ webhook }), {
    code: "queue_full",
    message:
      /^The queue has no room for 1 more: waiting tasks take 64\d\d of at most 6500 bytes of memory \(NODE_OPTIONS/,
  });
  assert.throws(() => world.batch(4, "split", { webhook }), { code: "invalid_input", message: /bytes of memory/ });
  world.scheduler.cancel(world.scheduler.upcoming(1));
  world.submit({ webhook });
  world.scheduler.cancel(world.scheduler.upcoming(10));
  world.submitMany(5, {});
});

function cost(said: Partial<Sampling>, model: string | null = null): number {
  const request = completionOf("x", said);
  return heapCostOf({ ...newTask(1), ...factsOf(request), sampling: request.sampling, model });
}

test("what a task keeps of its sampling in memory counts, and a plain task costs what it always did", () => {
  const plain = cost({});
  assert.equal(cost({ seed: 5 }), plain);
  assert.ok(cost({}, "m".repeat(500)) >= plain + 500);
  const stop = Array.from({ length: 16 }, (_, i) => `${i}`.padStart(256, "ü"));
  assert.ok(cost({ stop }) >= plain + 16 * 2 * 256);
  const logitBias = Object.fromEntries(Array.from({ length: 1024 }, (_, i) => [String(i), 0.5]));
  // As much as V8 takes for an object of numbers that are no small integers.
  assert.ok(cost({ logitBias }) >= plain + 64 * 1024);
});

test("with several users, one may have half of the heap that is for waiting tasks", () => {
  const world = sharedWorld({ maxQueueHeap: 8000 });
  world.submitMany(4, { user: "ada" });
  const refused = refusalOf(() => world.submit({ user: "ada" }));
  assert.equal(refused?.code, "rate_limited");
  assert.match(refused!.message, /waiting tasks of ada take 30\d\d of at most 4000 bytes of memory \(half of/);
  world.submitMany(3, { user: "bob" });
});
