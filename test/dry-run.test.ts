/**
 * What a submission would come to, asked without making it. That a dry run says what the submission then does is held for every single task
 * that the tests of the scheduler and of its models submit: see `RehearsedScheduler` (helpers/scheduling.ts).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AltLasError } from "../src/errors.ts";
import { PRIORITIES, STRATEGIES, type Task } from "../src/task.ts";
import { facts, NO_LIMITS, World } from "./helpers/scheduling.ts";
import { type TaskChanges } from "./helpers/requests.ts";

/** Long enough to be remembered by its beginning. */
const TEXTS = ["hello", "x".repeat(1200), `${"x".repeat(600)}${"y".repeat(600)}`, "z".repeat(20_000)];
const asked: fc.Arbitrary<TaskChanges> = fc.record({
  strategy: fc.constantFrom(...STRATEGIES),
  text: fc.constantFrom(...TEXTS),
  user: fc.constantFrom("ada", "bob", "cem"),
  priority: fc.constantFrom(...PRIORITIES),
  taskType: fc.constantFrom("summary", "other"),
  model: fc.constantFrom(null, null, "a", "b", "c"),
  pinnedGpuId: fc.constantFrom(null, null, null, 0, 1, 9),
});
const step = fc.record({
  do: fc.constantFrom("submit", "submit", "submit", "end", "crash", "crowd", "pass"),
  which: fc.nat(20),
  asked,
});
const LIMITS = {
  ada: NO_LIMITS,
  bob: { ...NO_LIMITS, maxRunning: 1, maxQueued: 2, maxQueuedKey: "callers.users.bob.max_queued" },
  cem: { ...NO_LIMITS, weight: 3, tokensPerMinute: 100, requestsPerMinute: 4 },
};

function newWorld(): World {
  const gpus = [0, 1, 2].map((id) => facts(id, { modelName: id === 2 ? "b" : "a", mostTasks: id === 1 ? 1 : null }));
  return new World(gpus, {
    mappings: new Map([["summary", new Set([1])]]),
    limitsOf: (user) => LIMITS[user as keyof typeof LIMITS],
    isShared: () => true,
    maxQueueSize: 6,
  });
}

/** @returns the refusal; null: it was taken */
function submit(world: World, changes: TaskChanges): string | null {
  try {
    world.scheduler.callers.countRequest(changes.user!);
    world.submit(changes);
    return null;
  } catch (error) {
    if (error instanceof AltLasError) return `${error.code} ${error.message}`;
    throw error;
  }
}

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function perform(world: World, { do: what, which, asked: changes }: Step): unknown {
  const running = world.started.filter(({ status }) => status === "running");
  switch (what) {
    case "submit":
      return submit(world, changes);
    case "end":
      return running.length === 0 ? null : world.complete(running[which % running.length]!);
    case "crash":
      return world.crash(which % 3);
    case "crowd":
      return world.tell({ ...world.factsOf(which % 3), crowded: which % 2 === 0 ? null : "memory_taken" });
    default:
      return world.pass(which);
  }
}

/** All that shows how things are, and what comes next. */
function stateOf(world: World): unknown {
  const { scheduler } = world;
  return {
    tasks: [...world.started, ...world.changed].map(({ id, status, gpuId, placement }: Task) => [
      id,
      status,
      gpuId,
      placement,
    ]),
    callers: scheduler.questions.callers(null),
    ranking: [...scheduler.callers.ranking].map(({ caller, tag, oldest }) => [caller.name, tag, oldest]),
    rates: Object.keys(LIMITS).map((user) => scheduler.callers.ratesOf(user)),
    waiting: scheduler.queueSize,
    upcoming: scheduler.upcoming(100).map(({ id }) => id),
    instances: scheduler.instances.map(({ running, load, freeMemory, lastUsedAt }) => [
      running.size,
      load,
      freeMemory,
      lastUsedAt,
    ]),
    alarm: world.alarmAt,
  };
}

test("property: a server that is asked again and again what would become of tasks does what one does that is not", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(step, fc.array(asked, { maxLength: 3 })), { maxLength: 40, size: "max" }),
      (steps) => {
        const [one, other] = [newWorld(), newWorld()];
        for (const world of [one, other]) for (const user of Object.keys(LIMITS)) world.scheduler.callers.of({ user });
        for (const [event, dryRuns] of steps) {
          for (const changes of dryRuns) other.rehearse(changes);
          assert.deepEqual(perform(other, event), perform(one, event));
          assert.deepEqual(stateOf(other), stateOf(one));
        }
      },
    ),
    { numRuns: 100 },
  );
});

test("a dry run takes no turn of round robin, no token of a minute and no place in the queue", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })], {
    limitsOf: () => ({ ...NO_LIMITS, tokensPerMinute: 40 }),
    maxQueueSize: 1,
  });
  const dry = () => world.rehearse({ strategy: "round_robin" });
  assert.deepEqual([dry(), dry()].map(gpuIn), [0, 0]);
  world.submit({ strategy: "round_robin" });
  assert.deepEqual([dry(), dry()].map(gpuIn), [1, 1]);
  world.submit({ strategy: "round_robin" });
  for (let count = 0; count < 3; count++) {
    const { gpuId, placement, wait } = dry() as ReturnType<World["scheduler"]["questions"]["dryRun"]>;
    assert.deepEqual([gpuId, placement, wait?.reason, wait?.ahead], [null, null, "gpu_busy", 0]);
  }
  world.submit();
  assert.equal((dry() as AltLasError).code, "rate_limited");
});

function gpuIn(outcome: unknown): number | null {
  return (outcome as ReturnType<World["scheduler"]["questions"]["dryRun"]>).gpuId;
}

test("to ask what a submission would come to changes nothing of the order of those that wait", () => {
  const world = new World([facts(0, { slots: 1 }), facts(1, { slots: 1 })], {});
  world.submit({ pinnedGpuId: 0 });
  world.submit({ pinnedGpuId: 1 });
  world.rehearse({ pinnedGpuId: 0 });
  for (const pinnedGpuId of [1, 0, 0, 1]) world.submit({ pinnedGpuId });
  assert.deepEqual(
    world.scheduler.upcoming(10).map(({ id, pinnedGpuId }) => [id, pinnedGpuId]),
    [
      ["task-3", 1],
      ["task-4", 0],
      ["task-5", 0],
      ["task-6", 1],
    ],
  );
  assert.deepEqual(
    world.scheduler
      .upcoming(1)
      .map(({ id }) => id)
      .slice(0, 2),
    ["task-3", "task-4"],
    "the next of each GPU come first",
  );
});
