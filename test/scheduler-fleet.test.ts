/** What the fleet keeps up to date, and the shortcuts that are taken with it, against looking at every instance anew. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { GPU_STATES, type InstanceRef, mayServeAgain } from "../src/gpu/facts.ts";
import { Eligibility } from "../src/scheduler/eligibility.ts";
import { Fleet } from "../src/scheduler/fleet.ts";
import { freeMemoryOf, type Instance, loadOf, obstacle } from "../src/scheduler/placement.ts";
import { STRATEGIES, type Task } from "../src/task.ts";
import { holds, isAllowed, isExcluded, isSuspect, isTooSmall, type Situation } from "./helpers/placement-rules.ts";
import { facts, type FlatFacts, flatOf, gpuOf, World } from "./helpers/scheduling.ts";
import { type TaskChanges } from "./helpers/requests.ts";

const GPUS = 5;
const MAPPINGS = new Map([
  ["summary", new Set([3, 1])],
  ["gone", new Set([9])],
]);

const gpu = fc.nat(GPUS - 1);
/** Some GPUs get a second instance. */
const ref = fc.tuple(gpu, fc.constantFrom(0, 0, 0, 1)).map(([gpuId, id]): InstanceRef => ({ gpuId, id }));
const news = fc.record(
  {
    state: fc.constantFrom("ready" as const, "ready" as const, ...GPU_STATES),
    crowded: fc.constantFrom(null, null, "used_by_others" as const, "server_full" as const),
    slots: fc.integer({ min: 1, max: 3 }),
    context: fc.constantFrom(null, 500, 700, 1000),
    othersUtilization: fc.constantFrom(0, 0.42),
    memoryFree: fc.constantFrom(null, 1_000_000),
  },
  { requiredKeys: [] },
);
const look = fc.record({
  text: fc.constantFrom(
    "x",
    "x".repeat(4990),
    "x".repeat(4991),
    "é".repeat(3000),
    "x".repeat(9990),
    "x".repeat(20_000),
  ),
  strategy: fc.constantFrom(...STRATEGIES),
  taskType: fc.constantFrom("summary", "gone", "other"),
  boundTo: fc.constantFrom(null, null, null, 0, 1, 7),
  /** Where and how it was cut off before. */
  attempts: fc.array(
    fc.record({
      gpuId: gpu,
      startedAt: fc.constant(0),
      endedAt: fc.constant(0),
      reason: fc.constantFrom(
        "worker_crash" as const,
        "gpu_lost" as const,
        "out_of_memory" as const,
        "gpu_full" as const,
        "gpu_drained" as const,
      ),
    }),
    { maxLength: 2 },
  ),
});
const group = fc.oneof({ weight: 3, arbitrary: fc.tuple(look) }, fc.array(look, { minLength: 2, maxLength: 3 }));
const step = fc.oneof(
  fc.record({ do: fc.constant("tell" as const), ref, news }),
  fc.record({ do: fc.constant("occupy" as const), ref, look }),
  fc.record({ do: fc.constant("vacate" as const), ref }),
  fc.record({ do: fc.constant("reserve" as const), ref, isFor: fc.boolean() }),
  fc.record({ do: fc.constant("leave" as const), ref }),
  fc.record({ do: fc.constant("ask" as const), group, chosen: fc.nat(2) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

class History {
  readonly #fleet = new Fleet(() => 0);
  readonly #eligibility = new Eligibility(this.#fleet, MAPPINGS);
  readonly #world = new World([]);
  /** For which instances are reserved. */
  readonly #suspect = this.#task({ attempts: [{ gpuId: 8, startedAt: 0, endedAt: 0, reason: "worker_crash" }] });
  /** In the order of the fleet. */
  #told: (FlatFacts & { readonly ref: InstanceRef })[] = [];

  perform(event: Step): void {
    if (event.do === "ask")
      return this.#ask(
        event.group.map((one) => this.#task(one)),
        event.chosen,
      );
    if (event.do === "tell") {
      this.#change(event.ref, event.news);
      return this.#tell(event.ref.gpuId);
    }
    const known = this.#fleet.on(event.ref.gpuId).find(({ id }) => id === event.ref.id);
    if (known === undefined) return;
    if (event.do === "occupy") this.#fleet.occupy(event.ref, this.#task(event.look), 1);
    else if (event.do === "reserve") this.#fleet.reserve(event.ref, event.isFor ? this.#suspect : null);
    else if (event.do === "vacate") for (const task of [...known.running].slice(0, 1)) this.#fleet.vacate(known, task);
    else if (known.running.size === 0) {
      this.#told = this.#told.filter((one) => !isSame(one.ref, event.ref));
      this.#tell(event.ref.gpuId);
    }
  }

  /** That all that is kept is what looking at each instance would find. */
  check(): void {
    const { all, available, unavailable, reserved, leastRoom, mostRoom, largestContext } = this.#fleet;
    assert.deepEqual(
      all.map((one) => ({ ...flatOf(one), ref: { gpuId: one.gpuId, id: one.id } })),
      this.#told,
    );
    for (const one of all) assert.equal(this.#fleet.get({ gpuId: one.gpuId, id: one.id }), one);
    for (const one of all) {
      assert.deepEqual([one.load, one.freeMemory], [loadOf(one), freeMemoryOf(one)]);
      assert.equal(one.whyNot, isAlone(one) ? "reserved" : obstacle(one));
    }
    assert.deepEqual(
      available,
      all.filter((one) => one.whyNot === null),
    );
    assert.deepEqual(Object.fromEntries(unavailable), countsOf(all.map((one) => one.whyNot)));
    assert.deepEqual(
      [...reserved].toSorted(byRef),
      all.filter(({ reservedFor }) => reservedFor !== null),
    );
    const contexts = this.#told.map(({ context }) => context);
    const known = contexts.filter((context) => context !== null);
    assert.equal(largestContext, known.length === 0 ? null : Math.max(...known));
    assert.equal(leastRoom, Math.min(Infinity, ...contexts.map(roomOf)));
    const able = this.#told.filter(({ state }) => mayServeAgain(state));
    assert.equal(mostRoom, Math.max(-Infinity, ...able.map(({ context }) => roomOf(context))));
  }

  /** That the candidates are those that the rules give for each instance by itself, and the rest is counted truly. @param chosen so many of them before */
  #ask(tasks: readonly Task[], chosen: number): void {
    const first = this.#fleet.all.filter((one) => this.#whyNot(one, tasks) === null).slice(0, chosen);
    const without = new Set(first.map(({ gpuId }) => gpuId));
    const why = this.#fleet.all.map(
      (one) => this.#whyNot(one, tasks) ?? (without.has(one.gpuId) ? "chosen_already" : null),
    );
    const { eligible, others } = this.#eligibility.candidates(tasks, without);
    assert.deepEqual(
      eligible,
      this.#fleet.all.filter((_, index) => why[index] === null),
    );
    assert.deepEqual({ ...others }, countsOf(why));
    const able = this.#told.filter((one) => mayServeAgain(one.state) && (tasks[0]!.pinnedGpuId ?? one.id) === one.id);
    assert.equal(
      this.#eligibility.isEverPossible(tasks[0]!),
      able.some((one) => holds(one, [tasks[0]!])),
    );
  }

  /** In the order in which reasons count. */
  #whyNot(one: Instance, tasks: readonly Task[]): string | null {
    const [first] = tasks as [Task];
    const situation: Situation = {
      gpus: this.#told,
      tasks: [],
      mappings: MAPPINGS,
      maxRunning: new Map(),
      resting: () => false,
      reservedFor: () => null,
    };
    if (!isAllowed(situation, flatOf(one), tasks)) return first.boundTo === null ? "not_mapped" : "not_requested";
    if (isAlone(one) || (isSuspect(first) && one.running.size > 0)) return "reserved";
    if (obstacle(one) !== null) return obstacle(one);
    if (isTooSmall(situation, flatOf(one), tasks)) return "context_too_small";
    return isExcluded(situation, flatOf(one), tasks) ? "failed_before" : null;
  }

  #change(at: InstanceRef, changes: Partial<FlatFacts>): void {
    const known = this.#told.find((one) => isSame(one.ref, at));
    const now = { ...facts(at.gpuId), ...known, ...changes, ref: at };
    const { memoryFree, othersUtilization } = now;
    const others = this.#told
      .filter((one) => !isSame(one.ref, at))
      .map((one) => (one.id === at.gpuId ? { ...one, memoryFree, othersUtilization } : one));
    this.#told = [...others, now].toSorted((a, b) => byRef(a.ref, b.ref));
  }

  #tell(id: number): void {
    const here = this.#told.filter((one) => one.id === id);
    const { memoryFree, othersUtilization, mostTasks, memory } = here[0] ?? facts(id);
    const instances = here.map(({ ref: at, ...flat }) => ({ ...gpuOf(flat).instances[0]!, id: at.id }));
    this.#fleet.tell({ id, memoryFree, othersUtilization, mostTasks, memory, instances });
  }

  #task(changes: TaskChanges): Task {
    return this.#world.task({ ...changes, pinnedGpuId: changes.boundTo ?? null });
  }
}

/** Whether an instance is reserved for a task, or runs one, that must be alone. */
function isAlone({ reservedFor, running }: Instance): boolean {
  return reservedFor !== null || (running.size === 1 && [...running].some(isSuspect));
}

/** Bytes, at ten to a token. */
function roomOf(context: number | null): number {
  return context === null ? Infinity : (context - 1) * 10;
}

function countsOf(reasons: readonly (string | null)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const why of reasons) if (why !== null) counts[why] = (counts[why] ?? 0) + 1;
  return counts;
}

function byRef(a: InstanceRef, b: InstanceRef): number {
  return a.gpuId - b.gpuId || a.id - b.id;
}

function isSame(a: InstanceRef, b: InstanceRef): boolean {
  return byRef(a, b) === 0;
}

test("property: what the fleet keeps is what looking at each instance would find, and so are the candidates for any tasks", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (events) => {
      const history = new History();
      for (const event of events) {
        history.perform(event);
        history.check();
      }
    }),
    { numRuns: 1000 },
  );
});

test("who gives back a slot that its task does not have, or names a GPU that is not there, has a bug", () => {
  const fleet = new Fleet(() => 0);
  fleet.tell(gpuOf(facts(0)));
  const task = new World([]).task();
  assert.throws(() => fleet.vacate(ONLY, task), /task-1 does not run on GPU 0/);
  assert.throws(() => fleet.of(task), /task-1 does not run on GPU null/);
  assert.throws(() => fleet.occupy({ gpuId: 1, id: 0 }, task, 1), /there is no instance 0 on GPU 1/);
  assert.throws(() => fleet.occupy({ gpuId: 0, id: 1 }, task, 1), /there is no instance 1 on GPU 0/);
  fleet.occupy(ONLY, task, 1);
  assert.throws(() => fleet.tell({ ...gpuOf(facts(0)), instances: [] }), /tasks still run on instance 0 of GPU 0/);
});

const ONLY: InstanceRef = { gpuId: 0, id: 0 };
