/** A scheduler in a world of plain calls: what it wants done is written down, and the test says what happens next. */
import assert from "node:assert/strict";
import { AltLasError } from "../../src/errors.ts";
import { type Need, completionOf } from "../../src/request.ts";
import { type Clock } from "../../src/common/clock.ts";
import {
  type CardFacts,
  type GpuFacts,
  type GpuState,
  type InstanceFacts,
  type InstanceRef,
} from "../../src/gpu/facts.ts";
import { type CallerLimits } from "../../src/scheduler/callers.ts";
import { type Instance } from "../../src/scheduler/placement.ts";
import { type Grouping } from "../../src/scheduler/planner.ts";
import { type DryRun } from "../../src/scheduler/dry-run.ts";
import { type Effects, type SchedulerSettings } from "../../src/scheduler/effects.ts";
import { Scheduler } from "../../src/scheduler/scheduler.ts";
import { newTask, type Outcome, shownGpuId, type Task } from "../../src/task.ts";
import { seeded } from "./seeded.ts";
import { changed, type TaskChanges } from "./requests.ts";

export const NO_LIMITS: CallerLimits = {
  weight: 1,
  maxQueued: null,
  maxQueuedKey: "callers.defaults.max_queued",
  maxRunning: null,
  requestsPerMinute: null,
  tokensPerMinute: null,
};

export const SETTINGS: SchedulerSettings = {
  maxQueueSize: 1000,
  maxQueueBytes: 1_000_000,
  maxQueueHeap: Infinity,
  minBatchSizePerGpu: 1,
  mappings: new Map(),
  maxAttempts: 3,
  retryBackoff: 0,
  ageingSeconds: 60,
  queueTimeout: null,
  prefixAffinity: true,
  limitsOf: () => NO_LIMITS,
  isShared: () => false,
};

export const COMPLETED: Outcome = {
  status: "completed",
  result: {
    text: "",
    executionTime: 0,
    timestamp: 0,
    finishReason: "length",
    promptTokens: 1,
    completionTokens: 1,
    cachedTokens: 0,
  },
};

const CAN: ReadonlySet<Need> = new Set(["completion"]);

/** A GPU with one instance, told as one. */
export type FlatFacts = CardFacts & Omit<InstanceFacts, "id" | "model">;

export function facts(id: number, changes: Partial<FlatFacts> = {}): FlatFacts {
  return {
    id,
    modelName: "model",
    can: CAN,
    state: "ready",
    reason: null,
    isFetching: false,
    crowded: null,
    slots: 2,
    context: 1000,
    kvBytesPerToken: 100,
    maxTokenBytes: 10,
    memoryFree: 1_000_000,
    othersUtilization: 0,
    mostTasks: null,
    memory: null,
    residency: { memory: null, fileBytes: 0, loadSeconds: null, pinned: true },
    successor: null,
    retired: false,
    ...changes,
  };
}

/** What is known of an instance and its GPU, as one. */
export function flatOf({ card, facts: own }: Pick<Instance, "card" | "facts">): FlatFacts {
  const { id: _id, model: _model, ...rest } = own;
  return { ...rest, ...card };
}

/** As the scheduler is told of it. */
export function gpuOf({ id, memoryFree, othersUtilization, mostTasks, memory, ...instance }: FlatFacts): GpuFacts {
  return { id, memoryFree, othersUtilization, mostTasks, memory, instances: [{ ...instance, id: 0, model: "a" }] };
}

/** Chance that can be taken back. */
class Draws {
  readonly #next: () => number;
  #again: number[] = [];
  #taken: number[] = [];

  constructor(seed: number) {
    this.#next = seeded(seed);
  }

  draw(): number {
    const drawn = this.#again.shift() ?? this.#next();
    this.#taken.push(drawn);
    return drawn;
  }

  /** Has the same chance drawn again after `look`. */
  during<T>(look: () => T): T {
    this.#taken = [];
    try {
      return look();
    } finally {
      this.#again = [...this.#taken, ...this.#again];
    }
  }
}

/** Each submission of one task has to come to what a dry run has said before it. */
class RehearsedScheduler extends Scheduler {
  readonly #draws: Draws;
  readonly #isQuiet: () => boolean;

  /** @param isQuiet whether no alarm is due: the submission would handle it first */
  constructor(settings: SchedulerSettings, effects: Effects, clock: Clock, draws: Draws, isQuiet: () => boolean) {
    super(settings, effects, clock, () => draws.draw());
    this.#draws = draws;
    this.#isQuiet = isQuiet;
  }

  override submit(tasks: readonly Task[], grouping: Grouping): void {
    const [task] = tasks;
    if (tasks.length > 1 || grouping === "whole" || !this.#isQuiet()) return super.submit(tasks, grouping);
    const before = this.#draws.during(() => outcomeOf(() => this.questions.dryRun(task!)));
    const leaving = this.#leaving();
    const after = outcomeOf(() => {
      super.submit(tasks, grouping);
      return { gpuId: shownGpuId(task!), placement: task!.placement, wait: this.questions.whyWaiting(task!) };
    });
    // With one task more that waits, another model may be the one that makes room.
    if (leaving === this.#leaving())
      assert.deepEqual(comparable(after.outcome), comparable(before.outcome), "a dry run said something else");
    if (after.error !== undefined) throw after.error;
  }

  /** The instances that get nothing new, so that others can have their memory. */
  #leaving(): string {
    return this.instances.flatMap(({ isLeaving, gpuId, id }) => (isLeaving ? `${gpuId}/${id}` : [])).join();
  }
}

/** A submission may begin the load that its task waits for, of which the dry run has no news yet. */
function comparable(outcome: unknown): unknown {
  const { wait } = outcome as Partial<DryRun>;
  if (wait?.reason !== "model_loading") return outcome;
  const { sentence: _sentence, detail: _detail, ...rest } = wait;
  return { ...(outcome as DryRun), wait: rest };
}

function outcomeOf(happens: () => DryRun): { readonly outcome: unknown; readonly error?: unknown } {
  try {
    return { outcome: happens() };
  } catch (error) {
    if (!(error instanceof AltLasError)) throw error;
    const { code, message, retryAfter } = error;
    return { outcome: { code, message, retryAfter }, error };
  }
}

export class World {
  readonly scheduler: Scheduler;
  readonly started: Task[] = [];
  readonly changed: Task[] = [];
  readonly canceled: Task[] = [];
  /** Instances whose models the scheduler wants loaded or unloaded. */
  readonly modelsLoaded: InstanceRef[] = [];
  readonly modelsUnloaded: InstanceRef[] = [];
  /** Called when the scheduler wants a model loaded or unloaded. */
  onLoad: (instance: InstanceRef) => void = (instance) => void this.modelsLoaded.push(instance);
  onUnload: (instance: InstanceRef, why: string) => void = (instance) => void this.modelsUnloaded.push(instance);
  /** When the scheduler wants to be called again. */
  alarmAt = Infinity;
  /** Called when a task is started. */
  onRun: (gpuId: number, task: Task) => void = () => {};
  now = 1000;
  /** The same, with the instance. */
  onStart: (instance: InstanceRef, task: Task) => void = () => {};
  /** Milliseconds that the wall clock shows more. */
  ahead = 0;
  #seq = 0;
  readonly #draws: Draws;

  constructor(gpus: readonly FlatFacts[], settings: Partial<SchedulerSettings> = {}, seed = 1) {
    const effects = {
      run: (instance: InstanceRef, task: Task) => {
        this.started.push(task);
        this.onRun(instance.gpuId, task);
        this.onStart(instance, task);
      },
      cancel: (_gpuId: number, task: Task) => void this.canceled.push(task),
      load: (instance: InstanceRef) => this.onLoad(instance),
      unload: (instance: InstanceRef, why: string) => this.onUnload(instance, why),
      changed: (task: Task) => void this.changed.push(task),
      alarm: (at: number) => void (this.alarmAt = at),
    };
    const draws = new Draws(seed);
    this.#draws = draws;
    const isQuiet = (): boolean => this.alarmAt > this.now;
    this.scheduler = new RehearsedScheduler({ ...SETTINGS, ...settings }, effects, this.#clock(), draws, isQuiet);
    for (const gpu of gpus) this.tell(gpu);
  }

  #clock(): Clock {
    const ahead = (): number => this.ahead;
    return {
      now: () => this.now,
      get ahead() {
        return ahead();
      },
    };
  }

  task(changes: TaskChanges = {}): Task {
    const seq = ++this.#seq;
    const identity = {
      id: `task-${seq}`,
      seq,
      user: "ada",
      request: completionOf("hello", { maxTokens: 10, temperature: 0 }),
      taskType: "text_generation",
      priority: "normal" as const,
      timeoutSeconds: null,
      model: null,
      retryOf: null,
      webhook: null,
      strategy: "least_loaded" as const,
      pinnedGpuId: changes.pinnedGpuId ?? null,
      batchId: null,
      wholeBatch: false,
      createdAt: changes.createdAt ?? this.now + this.ahead,
      createdClock: changes.createdAt ?? this.now,
    };
    return changed(newTask(identity), changes);
  }

  submit(changes: TaskChanges = {}): Task {
    const task = this.task(changes);
    this.scheduler.submit([task], "single");
    return task;
  }

  /** What a submission would come to, or the error that it would get; a submission after it draws what it would have drawn without it. */
  rehearse(changes: TaskChanges = {}): unknown {
    const task = this.task(changes);
    this.#seq--;
    try {
      return this.#draws.during(() => this.scheduler.questions.dryRun(task));
    } catch (error) {
      if (error instanceof AltLasError) return error;
      throw error;
    }
  }

  submitMany(count: number, changes: TaskChanges = {}): Task[] {
    return Array.from({ length: count }, () => this.submit(changes));
  }

  batch(count: number, grouping: Grouping, changes: TaskChanges = {}): Task[] {
    const batchId = `batch-${this.#seq}`;
    const tasks = Array.from({ length: count }, () =>
      this.task({ batchId, wholeBatch: grouping === "whole", ...changes }),
    );
    this.scheduler.submit(tasks, grouping);
    return tasks;
  }

  /** Lets time pass, with what becomes due meanwhile. */
  pass(seconds: number): void {
    const end = this.now + seconds * 1000;
    while (this.alarmAt <= end) {
      this.now = Math.max(this.now, this.alarmAt);
      this.alarmAt = Infinity;
      this.scheduler.tick();
    }
    this.now = end;
  }

  complete(task: Task): void {
    this.scheduler.finished(task, COMPLETED);
  }

  /** A GPU fails with everything that runs there, in the order in which a GPU tells it. */
  fail(gpuId: number, state: GpuState, reason: "worker_crash" | "gpu_lost" | "nonsense" = "gpu_lost"): void {
    this.tell({ ...this.factsOf(gpuId), state });
    this.interrupt(gpuId, reason);
  }

  /** A GPU's worker dies and is started again. */
  crash(gpuId: number): void {
    this.fail(gpuId, "starting", "worker_crash");
    this.recover(gpuId);
  }

  recover(gpuId: number): void {
    this.tell({ ...this.factsOf(gpuId), state: "ready" });
  }

  /** Tells of a GPU with one instance. */
  tell(gpu: FlatFacts): void {
    this.scheduler.setGpu(gpuOf(gpu));
  }

  /** The worker of a GPU's one instance is gone. */
  interrupt(
    gpuId: number,
    ...why: Parameters<Scheduler["interrupted"]> extends [unknown, ...infer Rest] ? Rest : never
  ): void {
    this.scheduler.interrupted({ gpuId, id: 0 }, ...why);
  }

  factsOf(gpuId: number): FlatFacts {
    return flatOf(this.scheduler.instances.find((one) => one.gpuId === gpuId)!);
  }

  /** Tasks running on each GPU, in `gpu_id` order. */
  loads(): number[] {
    return this.scheduler.instances.map(({ running }) => running.size);
  }
}
