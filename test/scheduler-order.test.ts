/** Which of many waiting tasks gets a slot: the order is that of the rules, however they are kept, and finding it looks at few. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Outcome, PRIORITIES, type Task } from "../src/task.ts";
import { nextOn, type Situation } from "./helpers/placement-rules.ts";
import { COMPLETED, facts, type FlatFacts, NO_LIMITS, World } from "./helpers/scheduling.ts";

const GPUS = 3;
const MAPPINGS = new Map([["summary", new Set([1, 2])]]);
const WEIGHTS = new Map([
  ["ada", 1],
  ["bob", 1],
  ["cyd", 3],
]);
const AGEING = 5;
/** Around what contexts of 500, 700 and 1,000 tokens have room for at ten bytes to a token, and more than any has. */
const TEXTS = [1, 4990, 4991, 6990, 6991, 9990, 9991].map((bytes) => "x".repeat(bytes));

const context = fc.constantFrom(500, 700, 1000, null);
const look = fc.record({
  text: fc.constantFrom(...TEXTS, "é".repeat(2500), "日".repeat(2400)),
  strategy: fc.constantFrom("least_loaded" as const, "task_specific" as const),
  taskType: fc.constantFrom("summary", "other"),
  user: fc.constantFrom(...WEIGHTS.keys()),
  priority: fc.constantFrom(...PRIORITIES),
  maxTokens: fc.constantFrom(10, 20, 400),
});
const submitStep = fc.record({
  do: fc.constant("submit" as const),
  pinnedGpuId: fc.constantFrom(null, null, null, null, 0, 1),
  /** Where it was cut off before. */
  failed: fc.constantFrom(null, null, null, 0, 1, 2),
  look,
});
const step = fc.oneof(
  { weight: 6, arbitrary: submitStep },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("batch" as const), looks: fc.array(look, { minLength: 2, maxLength: 4 }) }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("finish" as const), which: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("full" as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("pass" as const), seconds: fc.nat(8) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("gpu" as const), id: fc.nat(GPUS - 1), context, hot: fc.boolean() }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class History implements Situation {
  readonly mappings = MAPPINGS;
  readonly maxRunning = new Map();
  readonly tasks: Task[] = [];
  readonly world: World;
  gpus: readonly FlatFacts[];

  constructor(contexts: readonly (number | null)[]) {
    this.gpus = contexts.map((one, id) => facts(id, { slots: 1, context: one }));
    this.world = new World(this.gpus, {
      mappings: MAPPINGS,
      ageingSeconds: AGEING,
      limitsOf: (user) => ({ ...NO_LIMITS, weight: WEIGHTS.get(user)! }),
    });
  }

  readonly resting = (): boolean => false;
  readonly reservedFor = (): null => null;

  perform(event: Step): void {
    this.world.now += 100;
    switch (event.do) {
      case "submit": {
        const { look: own, pinnedGpuId, failed } = event;
        const attempts =
          failed === null ? [] : [{ gpuId: failed, startedAt: 0, endedAt: 0, reason: "gpu_lost" as const }];
        return this.#submit([this.world.task({ ...own, pinnedGpuId, gpuId: pinnedGpuId, attempts })], "single");
      }
      case "batch": {
        const batchId = `batch-${this.tasks.length}`;
        const [first] = event.looks;
        const { user, priority } = first!;
        const tasks = event.looks.map((own) => this.world.task({ ...own, user, priority, batchId, wholeBatch: true }));
        return this.#submit(tasks, "whole");
      }
      case "finish":
        return this.#finish(event.which);
      case "full":
        return this.#comeBack(event.which);
      case "cancel":
        return this.world.scheduler.cancel(this.tasks.filter((_, index) => index === event.which));
      case "pass":
        return this.world.pass(event.seconds);
      case "gpu":
        return this.#tell(event.id, { context: event.context, state: event.hot ? "hot" : "ready" });
    }
  }

  /** One slot becomes free: what starts there is what the rules say, and nothing else starts. */
  #finish(which: number): void {
    const running = this.tasks.filter(({ status }) => status === "running");
    const task = running[which % running.length];
    if (task === undefined) return;
    const { callers } = this.world.scheduler;
    const { now } = this.world;
    const gpu = this.gpus[task.gpuId!]!;
    const tagOf = (user: string): number => callers.of({ user }).tag;
    const next = gpu.state === "hot" ? undefined : nextOn(this, gpu, { tagOf, now, ageing: AGEING * 1000 });
    const before = this.world.started.length;
    // It takes what it was estimated at, so that no tag changes.
    this.world.scheduler.finished(task, completedWith(callers.of(task).running.get(task.id)!));
    assert.deepEqual(
      this.world.started.slice(before).map(({ id, gpuId }) => [id, gpuId]),
      next === undefined ? [] : [[next[0]!.id, gpu.id]],
    );
  }

  /** A task goes back to its place in the queue, while its GPU takes nothing for a moment. */
  #comeBack(which: number): void {
    const running = this.tasks.filter(({ status }) => status === "running");
    const task = running[which % running.length];
    // One that comes back more often rests a while: scheduler-properties.test.ts.
    if (task === undefined || task.attempts.length > 3) return;
    const id = task.gpuId!;
    this.#tell(id, { crowded: "server_full" });
    this.world.scheduler.finished(task, { status: "interrupted", reason: "gpu_full", sentence: "No room." });
    this.#tell(id, { crowded: null });
  }

  #submit(tasks: readonly Task[], grouping: "single" | "whole"): void {
    try {
      this.world.scheduler.submit(tasks, grouping);
      this.tasks.push(...tasks);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "prompt_too_long");
    }
  }

  #tell(id: number, news: Partial<FlatFacts>): void {
    this.gpus = this.gpus.map((known) => (known.id === id ? { ...known, ...news } : known));
    this.world.tell(this.gpus[id]!);
  }
}

function completedWith(tokens: number): Outcome {
  assert.equal(COMPLETED.status, "completed");
  return { status: "completed", result: { ...COMPLETED.result, promptTokens: tokens, completionTokens: 0 } };
}

test("property: a free slot goes to the caller, the priority and the age whose turn it is, whatever the sizes of texts and GPUs", () => {
  const contexts = fc.array(context, { minLength: GPUS, maxLength: GPUS });
  fc.assert(
    fc.property(contexts, fc.array(step, { minLength: 20, maxLength: 100, size: "max" }), (all, events) => {
      const history = new History(all);
      for (const event of events) history.perform(event);
    }),
    { numRuns: 500 },
  );
});

test("GPUs of more sizes than are kept apart are served in the same order", () => {
  const gpus = Array.from({ length: 50 }, (_, id) => facts(id, { slots: 1, context: 100 + id, state: "hot" }));
  const world = new World([...gpus, facts(50, { context: null, state: "hot" })], { maxQueueBytes: Infinity });
  // Of so many tokens more than the smallest GPU has room for.
  const tasks = [40, 20, 44, 1, 30].map((more) => world.submit({ text: "x".repeat((99 + more) * 10) }));
  for (const id of [45, 30, 35, 20, 49]) world.recover(id);
  assert.deepEqual(
    tasks.map(({ gpuId }) => gpuId),
    [45, 30, 49, 35, null],
  );
});

/** Lets a task count how often the length of its text is looked at. */
function watched(task: Task, onRead: () => void): Task {
  const { size } = task;
  return Object.defineProperty(task, "size", {
    get: () => {
      onRead();
      return size;
    },
  });
}

test("a small GPU's free slot is given without looking at the texts that are too long for it, however many wait in front", () => {
  for (const options of [{}, { strategy: "task_specific", taskType: "summary" }] as const) {
    const gpus = [facts(0, { state: "hot" }), facts(1, { slots: 1, context: 500 })];
    const mappings = new Map([["summary", new Set([0, 1])]]);
    const world = new World(gpus, { maxQueueSize: Infinity, maxQueueBytes: Infinity, mappings });
    let reads = 0;
    const long = "x".repeat(5000);
    for (let i = 0; i < 3000; i++) {
      const task = watched(world.task({ ...options, user: `user${i % 3}`, text: long }), () => reads++);
      world.scheduler.submit([task], "single");
    }
    const [first, second] = world.submitMany(2, options) as [Task, Task];
    assert.deepEqual([first.gpuId, second.status], [1, "queued"]);
    reads = 0;
    world.complete(first);
    assert.deepEqual([second.gpuId, reads], [1, 0]);
    world.recover(0);
    assert.equal(world.loads()[0], 2, "the long ones go where there is room for them");
  }
});
