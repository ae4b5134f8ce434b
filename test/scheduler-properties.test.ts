/** The scheduler in random histories of tasks and GPUs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AltLasError } from "../src/errors.ts";
import { GPU_STATES } from "../src/gpu/facts.ts";
import { type Need, PLAIN_NEEDS, sharedNeeds } from "../src/request.ts";
import { type TeamRules } from "../src/scheduler/teams.ts";
import { isFinal, type Outcome, PRIORITIES, STRATEGIES, type Task } from "../src/task.ts";
import {
  couldRun,
  hasFailedUnder,
  holds,
  isAllowed,
  isTooSmall,
  isCapped,
  isFor,
  isSuspect,
  mayReturn,
  restsOf,
  runningOn,
  serves,
  type Situation,
  suits,
  waitingGroups,
  waitsInVain,
} from "./helpers/placement-rules.ts";
import { COMPLETED, facts, type FlatFacts, NO_LIMITS, SETTINGS, World } from "./helpers/scheduling.ts";

const GPUS = 3;
const MAPPINGS = new Map([["summary", new Set([1])]]);
/** At ten bytes to a token: one that fits everywhere, and one too long for a context of 500 tokens. */
const USERS = ["ada", "bob"];
/** Users and a team, and how many of their tasks may run at once. */
const MAX_RUNNING = new Map([
  ["ada", Infinity],
  ["bob", 2],
  ["red", 3],
]);
function teamsWith(maxRunning: number): TeamRules {
  const limits = { maxRunning, maxQueued: null, requestsPerMinute: null, tokensPerMinute: null };
  return { limitsOf: () => limits, named: ["red"] };
}
const QUEUE_TIMEOUT = 300;
const BACKOFF = 20;
const TEXTS = { short: "x".repeat(10), long: "x".repeat(5000) };

// --- what may happen ---------------------------------------------------------------------------------------------

/** What GPUs can do, each time they have loaded a model, and what tasks ask. */
const ABILITIES: readonly ReadonlySet<Need>[] = [
  new Set<Need>(["completion"]),
  new Set<Need>(["completion", "chat"]),
  new Set<Need>(["embedding"]),
];
const NEEDS: readonly (readonly Need[])[] = [PLAIN_NEEDS, sharedNeeds(["chat"]), sharedNeeds(["embedding"])];

const position = fc.nat(30);
const gpu = fc.nat(GPUS - 1);
const changes = fc.record({
  crowded: fc.constantFrom(null, null, null, null, "memory_taken" as const, "used_by_others" as const),
  slots: fc.integer({ min: 1, max: 3 }),
  context: fc.constantFrom(1000, 1000, 500),
  modelName: fc.constantFrom("a", "a", "a", "b"),
  can: fc.constantFrom(...ABILITIES.slice(0, 2), ...ABILITIES),
});
const looks = {
  strategy: fc.constantFrom(...STRATEGIES),
  taskType: fc.constantFrom("summary", "other"),
  text: fc.constantFrom("short", "short", "long"),
  user: fc.constantFrom("ada", "ada", "bob"),
  team: fc.constantFrom(null, "red"),
  priority: fc.constantFrom(...PRIORITIES),
  model: fc.constantFrom(null, null, null, "a", "b", "c"),
  needs: fc.constantFrom(PLAIN_NEEDS, PLAIN_NEEDS, ...NEEDS),
  timeoutSeconds: fc.constantFrom(null, null, null, 50, 150),
} as const;
const submitStep = fc.record({
  do: fc.constant("submit" as const),
  pinned: fc.constantFrom(null, null, null, null, null, 0, 1, 2),
  ...looks,
});
const batchStep = fc.record({
  do: fc.constant("batch" as const),
  size: fc.integer({ min: 1, max: 5 }),
  whole: fc.boolean(),
  ...looks,
});
const failStep = fc.record({
  do: fc.constant("fail" as const),
  gpu,
  state: fc.constantFrom("starting" as const, ...GPU_STATES.filter((state) => state !== "ready")),
  reason: fc.constantFrom(
    "worker_crash" as const,
    "worker_crash" as const,
    "gpu_lost" as const,
    "gpu_drained" as const,
    "worker_stopped" as const,
  ),
  stateFirst: fc.boolean(),
});

const step = fc.oneof(
  { weight: 4, arbitrary: submitStep },
  { weight: 3, arbitrary: batchStep },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("finish" as const), which: position }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("cutOff" as const),
      which: position,
      reason: fc.constantFrom("out_of_memory" as const, "gpu_lost" as const, "gpu_full" as const, "gpu_full" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.array(position, { maxLength: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("stopped" as const), which: position }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), seconds: fc.nat(60) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("state" as const), gpu, state: fc.constantFrom(...GPU_STATES) }),
  },
  { weight: 7, arbitrary: fc.record({ do: fc.constant("serve" as const), gpu, changes }) },
  { weight: 3, arbitrary: failStep },
);
/** Settings that an operator may change meanwhile. */
const configureStep = fc.record({
  do: fc.constant("configure" as const),
  summary: fc.constantFrom([], [0], [1], [0, 2]),
  other: fc.constantFrom([], [], [1], [2]),
  maxRunning: fc.constantFrom(1, 2, 3, Infinity),
  maxRunningOfTeam: fc.constantFrom(1, 2, 4, Infinity),
  weight: fc.constantFrom(0.1, 1, 10),
  maxQueueSize: fc.constantFrom(1000, 1000, 1000, 2),
  minBatchSizePerGpu: fc.constantFrom(1, 2),
});
const changingStep = fc.oneof({ weight: 6, arbitrary: step }, { weight: 1, arbitrary: configureStep });
type Step = typeof changingStep extends fc.Arbitrary<infer T> ? T : never;

/** A scheduler, what it was told, and what has to be true of it. */
class History implements Situation {
  readonly world: World;
  readonly tasks: Task[] = [];
  mappings: ReadonlyMap<string, ReadonlySet<number>> = MAPPINGS;
  maxRunning: ReadonlyMap<string, number> = MAX_RUNNING;
  #maxQueueSize = SETTINGS.maxQueueSize;
  gpus: readonly FlatFacts[] = Array.from({ length: GPUS }, (_, id) =>
    // The last one is loading yet.
    facts(id, id === GPUS - 1 ? { state: "starting", modelName: null, can: null, context: null } : { modelName: "a" }),
  );
  /** The GPU whose worker is gone, while its state does not say so yet. */
  #gone: number | null = null;

  constructor(seed: number) {
    const settings = {
      minBatchSizePerGpu: 2,
      mappings: MAPPINGS,
      retryBackoff: BACKOFF,
      queueTimeout: QUEUE_TIMEOUT,
      limitsOf: (user: string) => ({ ...NO_LIMITS, maxRunning: MAX_RUNNING.get(user)! }),
      teams: teamsWith(MAX_RUNNING.get("red")!),
    };
    this.world = new World(this.gpus, settings, seed);
    this.world.onRun = (gpuId, task) => this.#checkStart(gpuId, task);
  }

  perform(event: Step): void {
    this.world.now += 10;
    switch (event.do) {
      case "submit":
        return this.#submit(event);
      case "batch":
        return this.#submit({ ...event, pinned: null });
      case "finish":
        return this.#finish(event.which);
      case "cutOff":
        return this.#cutOff(event);
      case "cancel":
        return this.#cancel(event.which);
      case "stopped":
        return this.#finish(event.which, { status: "canceled" }, true);
      case "pass":
        return this.world.pass(event.seconds);
      case "state":
        return this.tell(event.gpu, { state: event.state });
      case "serve":
        return this.tell(event.gpu, { ...event.changes, state: "ready" });
      case "fail":
        return this.#fail(event);
      case "configure":
        return this.#configure(event);
    }
  }

  #configure({
    summary,
    other,
    maxRunning,
    maxRunningOfTeam,
    weight,
    ...settings
  }: Extract<Step, { do: "configure" }>): void {
    const mapped = Object.entries({ summary, other }).filter(([, ids]) => ids.length > 0);
    this.mappings = new Map(mapped.map(([type, ids]) => [type, new Set(ids)]));
    this.maxRunning = new Map([...MAX_RUNNING, ["bob", maxRunning], ["red", maxRunningOfTeam]]);
    this.#maxQueueSize = settings.maxQueueSize;
    const limitsOf = (user: string) => ({ ...NO_LIMITS, weight, maxRunning: this.maxRunning.get(user)! });
    const { maxQueueBytes } = SETTINGS;
    const teams = teamsWith(maxRunningOfTeam);
    this.world.scheduler.configure({ ...settings, maxQueueBytes, mappings: this.mappings, limitsOf, teams });
  }

  tell(id: number, news: Partial<FlatFacts>): void {
    this.gpus = this.gpus.map((known) => (known.id === id ? { ...known, ...news } : known));
    this.world.tell(this.gpus[id]!);
  }

  /** The pause after the last attempt, which doubles with each one that is held against the task, or after three that found servers full. */
  readonly resting = ({ attempts }: Task): boolean => {
    if (restsOf(attempts) > 0) return this.world.now < attempts.at(-1)!.endedAt! + restsOf(attempts) * 1000;
    const counted = attempts.filter(
      ({ reason, alone }) =>
        reason === "gpu_lost" || reason === "out_of_memory" || (reason === "worker_crash" && alone === true),
    );
    const last = attempts.at(-1);
    if (last === undefined || last.endedAt === null || !counted.includes(last)) return false;
    return this.world.now < last.endedAt + BACKOFF * 1000 * 2 ** (counted.length - 1);
  };

  readonly reservedFor = ({ id }: FlatFacts): Task | null => this.world.scheduler.instances[id]!.reservedFor;

  /** What must hold after every event. */
  check(): void {
    const { scheduler } = this.world;
    const running = scheduler.instances.map((one) => [...one.running]);
    assert.deepEqual(
      running.map((tasks) => new Set(tasks)),
      this.gpus.map((one) => new Set(runningOn(this, one))),
      "a task runs where it says, and nowhere else",
    );
    assert.equal(scheduler.queueSize, this.tasks.filter(({ status }) => status === "queued").length);
    for (const group of waitingGroups(this)) {
      const free = this.gpus.find((one) => couldRun(this, one, group));
      assert.equal(free, undefined, `${group[0]!.id} waits although it could run on GPU ${free?.id}`);
    }
    const queued = this.tasks.filter(({ status }) => status === "queued").map((task) => [task]);
    for (const group of [...waitingGroups(this), ...queued])
      assert.ok(!waitsInVain(this, group), `${group[0]!.id} waits in vain`);
    this.#checkKept();
    this.#checkTimes();
    for (const user of USERS) {
      const own = this.tasks.filter((task) => task.user === user && task.status === "running");
      assert.deepEqual(new Set(scheduler.callers.of({ user }).running.keys()), new Set(own.map(({ id }) => id)));
    }
    const red = this.tasks.filter(({ team }) => team === "red");
    const { running: runs, queued: waits } = scheduler.callers.teams.of({ team: "red" })!;
    const countOf = (wanted: Task["status"]): number => red.filter(({ status }) => status === wanted).length;
    assert.deepEqual([runs, waits], [countOf("running"), countOf("queued")], "what the team has");
  }

  /** A GPU becomes empty only for a waiting suspect that may go there, and for each of these one GPU at most. */
  #checkKept(): void {
    const kept = this.gpus.flatMap((one) => {
      const task = this.reservedFor(one);
      if (task === null) return [];
      assert.ok(one.state === "ready" && one.crowded === null && isSuspect(task) && !isCapped(this, task));
      const group = waitingGroups(this).find(([first]) => first === task);
      assert.ok(group !== undefined && isFor(this, one, group), `GPU ${one.id} is reserved for ${task.id}`);
      return [task];
    });
    assert.equal(new Set(kept).size, kept.length);
  }

  /** No task has waited or lived too long. */
  #checkTimes(): void {
    const { now } = this.world;
    for (const task of this.tasks.filter(({ status }) => status === "queued")) {
      const since = task.attempts.findLast(({ reason }) => reason !== "gpu_full")?.endedAt ?? task.createdAt;
      assert.ok(now < since + QUEUE_TIMEOUT * 1000, `${task.id} waits too long`);
      assert.ok(now < task.createdAt + (task.timeoutSeconds ?? Infinity) * 1000, `${task.id} is too late`);
    }
  }

  /** All GPUs serve again, and everything ends. */
  end(): void {
    for (let id = 0; id < GPUS; id++) this.tell(id, { state: "ready", crowded: null });
    // Twice: those that pause are there after the pause.
    for (let left = this.tasks.length; left > 0; left--) this.#finish(0);
    this.world.pass(BACKOFF * 4);
    for (let left = this.tasks.length; left > 0; left--) this.#finish(0);
    this.check();
    assert.ok(this.tasks.every(({ status }) => isFinal(status)));
    assert.deepEqual(this.world.loads(), [0, 0, 0], "every slot is free when everything has ended");
  }

  #submit(event: Extract<Step, { do: "submit" | "batch" }> & { pinned: number | null }): void {
    const { pinned: pinnedGpuId, strategy, taskType, user, team, priority, timeoutSeconds, model } = event;
    const grouping = event.do === "submit" ? "single" : event.whole ? "whole" : "split";
    const size = event.do === "submit" ? 1 : event.size;
    const batchId = event.do === "submit" ? null : `batch-${this.tasks.length}`;
    const tasks = Array.from({ length: size }, (_, index) => {
      // The first one of a batch says which type it is looked up by; the last one may be longer than all before it.
      const text = TEXTS[index === size - 1 ? event.text : "short"];
      const type = index === 0 ? taskType : "other";
      const needs = index === size - 1 ? event.needs : PLAIN_NEEDS;
      return this.world.task({
        pinnedGpuId,
        strategy,
        user,
        team,
        priority,
        timeoutSeconds,
        model,
        needs,
        taskType: type,
        text,
        batchId,
        wholeBatch: grouping === "whole",
      });
    });
    const known = this.tasks.length;
    this.tasks.push(...tasks);
    try {
      this.world.scheduler.submit(tasks, grouping);
    } catch (error) {
      this.tasks.length = known;
      this.#checkRefusal(tasks, error);
    }
  }

  /** @param onlyStopped only a task that was to be stopped */
  #finish(which: number, outcome: Outcome = COMPLETED, onlyStopped = false): void {
    const running = this.tasks.filter(
      (task) => task.status === "running" && (!onlyStopped || this.world.canceled.includes(task)),
    );
    if (running.length > 0) this.world.scheduler.finished(running[which % running.length]!, outcome);
  }

  #cutOff({ which, reason }: Extract<Step, { do: "cutOff" }>): void {
    const running = this.tasks.filter(({ status }) => status === "running");
    const task = running[which % running.length];
    if (task === undefined) return;
    if (reason === "gpu_full") this.tell(task.gpuId!, { crowded: "server_full" });
    this.world.scheduler.finished(task, { status: "interrupted", reason, sentence: "No." });
  }

  #cancel(which: readonly number[]): void {
    if (this.tasks.length === 0) return;
    const tasks = [...new Set(which.map((one) => this.tasks[one % this.tasks.length]!))];
    const waiting = tasks.filter(({ status }) => status === "queued");
    this.world.scheduler.cancel(tasks);
    assert.ok(waiting.every(({ status }) => status === "canceled"));
  }

  #fail({ gpu: id, state, reason, stateFirst }: Extract<Step, { do: "fail" }>): void {
    if (stateFirst) this.tell(id, { state });
    this.#gone = id;
    this.world.interrupt(id, reason);
    this.#gone = null;
    if (!stateFirst) this.tell(id, { state });
  }

  #checkRefusal(tasks: readonly Task[], error: unknown): void {
    if (!(error instanceof AltLasError)) throw error;
    const { pinnedGpuId: pinned, model, wholeBatch } = tasks[0]!;
    const able = this.gpus.filter((one) => mayReturn(one) && (pinned ?? one.id) === one.id);
    const named = able.filter(({ modelName }) => model === null || modelName === null || modelName === model);
    const isKnown = this.gpus.some(({ modelName }) => modelName === model);
    const isLoading = this.gpus.some(({ modelName, state }) => modelName === null && state === "starting");
    const groups = wholeBatch ? [tasks] : tasks.map((task) => [task]);
    switch (error.code) {
      case "no_usable_gpu":
        return assert.deepEqual(named, []);
      case "not_ready":
        return assert.deepEqual([isKnown, isLoading], [false, true]);
      case "model_not_found":
        return assert.deepEqual([isKnown, isLoading], [false, false]);
      case "queue_full":
      case "invalid_input":
        return assert.equal(this.#maxQueueSize, 2);
      case "unsupported":
        return assert.ok(groups.some((group) => !able.some((one) => suits(one, group))));
      default:
        assert.equal(error.code, "prompt_too_long");
        assert.ok(tasks.some((task) => !able.some((one) => suits(one, [task]) && holds(one, [task]))));
    }
  }

  /** At the moment at which a task is started, when it is in the running set already. */
  #checkStart(gpuId: number, task: Task): void {
    const chosen = this.gpus[gpuId]!;
    const running = runningOn(this, chosen);
    const what = `${task.id} on GPU ${gpuId}`;
    assert.deepEqual([chosen.state, chosen.crowded, this.#gone === gpuId], ["ready", null, false], what);
    assert.ok(running.length <= chosen.slots, what);
    const own = this.tasks.filter(({ user, status }) => user === task.user && status === "running");
    assert.ok(own.length <= this.maxRunning.get(task.user)!, `${task.user} has ${own.length} running`);
    const ofTeam = this.tasks.filter(({ team, status }) => team === "red" && status === "running");
    if (task.team !== null) assert.ok(ofTeam.length <= this.maxRunning.get("red")!, `${ofTeam.length} of red run`);
    assert.ok(running.length === 1 || !running.some(isSuspect), `${what}, alone`);
    assert.ok(this.world.now < task.createdAt + (task.timeoutSeconds ?? Infinity) * 1000, `${what}, in time`);
    assert.equal(task.pinnedGpuId ?? gpuId, gpuId, what);
    assert.ok(suits(chosen, [task]), `${what}, which can do it`);
    if (!this.#wasBound(task)) this.#checkChoice(chosen, task);
  }

  /** Whether only one GPU came into question, which another task of its batch may have chosen for it. */
  #wasBound(task: Task): boolean {
    const { strategy } = task.placement!;
    const follows = this.tasks.some((other) => other !== task && other.placement === task.placement);
    return strategy === "pinned" || strategy === "batch" || (task.wholeBatch && follows);
  }

  /** That the GPU came into question for a task that was not bound to one. */
  #checkChoice(chosen: FlatFacts, task: Task): void {
    // The rest of its batch is bound by now; whoever else it was placed with, one GPU on which none of the batch ever failed was there.
    const batch = task.wholeBatch ? this.tasks.filter(({ batchId }) => batchId === task.batchId) : [task];
    const group = batch.map((one) => ({ ...one, boundTo: null, taskType: task.taskType }));
    const own = [group[batch.indexOf(task)]!];
    const better = this.gpus.filter(
      (other) =>
        serves(other) &&
        other.state !== "hot" &&
        other.crowded === null &&
        // Some of its batch may have ended by then, with what they asked.
        isAllowed(this, other, own) &&
        isAllowed(this, other, group) &&
        suits(other, group) &&
        !hasFailedUnder(other, group) &&
        this.gpus.every((one) => holds(one, group) <= holds(other, group)),
    );
    assert.ok(isAllowed(this, chosen, group), `${task.id} may go to GPU ${chosen.id}`);
    if (!task.wholeBatch) assert.ok(!isTooSmall(this, chosen, own), `${task.id} on GPU ${chosen.id}`);
    assert.ok(
      better.length === 0 || !hasFailedUnder(chosen, own),
      `${task.id} failed on GPU ${chosen.id}, and GPU ${better[0]?.id} serves`,
    );
  }
}

// --- properties --------------------------------------------------------------------------------------------------

function historyOf(one: fc.Arbitrary<Step>) {
  return fc.property(fc.array(one, { maxLength: 60, size: "max" }), fc.integer(), (events, seed) => {
    const history = new History(seed);
    for (const event of events) {
      history.perform(event);
      history.check();
    }
    history.end();
  });
}

/** Beside the random seed: so each run of the tests sees these histories, among them those that have shown faults. */
const PINNED = [
  // Its run 909 had an alarm that was set for a time already past.
  { seed: -539769527, path: "908", numRuns: 200 },
  { seed: 1, numRuns: 200 },
  { seed: 2, numRuns: 200 },
];
const RANDOM = { seed: Math.trunc((Math.random() - 0.5) * 2 ** 32), numRuns: 1000 };

for (const run of [...PINNED, RANDOM]) {
  const which = PINNED.includes(run) ? `pinned seed ${run.seed}` : "random seed";
  test(`property: in any history tasks start only where they may, none waits beside a slot it could have, and all end (${which})`, (t) => {
    t.diagnostic(`seed ${run.seed}`);
    fc.assert(historyOf(step), run);
  });
}

test("property: the same holds while settings change, and no task is lost by that", (t) => {
  const seed = Math.trunc((Math.random() - 0.5) * 2 ** 32);
  t.diagnostic(`seed ${seed}`);
  fc.assert(historyOf(changingStep), { seed, numRuns: 500 });
});

test("property: round robin differs by at most one between equal GPUs", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 100 }), (count, tasks) => {
      const world = new World(Array.from({ length: count }, (_, id) => facts(id, { slots: 100 })));
      world.submitMany(tasks, { strategy: "round_robin" });
      assert.ok(Math.max(...world.loads()) - Math.min(...world.loads()) <= 1);
    }),
  );
});

test("property: the same view and the same seed give the same choices", () => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom("least_loaded", "memory_optimized", "random"), (seed, strategy) => {
      const run = (): (number | null)[] => {
        const world = new World([facts(0), facts(1), facts(2)], SETTINGS, seed);
        return world.submitMany(6, { strategy: strategy as Task["strategy"] }).map(({ gpuId }) => gpuId);
      };
      assert.deepEqual(run(), run());
    }),
  );
});
