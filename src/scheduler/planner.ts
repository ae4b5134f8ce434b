/** Finds GPUs for tasks that are to be placed now, and reserves their slots. What follows from that is the scheduler's affair. */
import { type CountsByReason, type Placement, type Task } from "../task.ts";
import { type Callers } from "./callers.ts";
import { type Eligibility } from "./eligibility.ts";
import { type Fleet } from "./fleet.ts";
import { type Gpu, record } from "./placement.ts";
import { type Prefixes } from "./prefixes.ts";
import { type Entry } from "./queue.ts";
import { strategies } from "./strategies/index.ts";

/** How tasks are to be placed: each by itself, spread over chosen GPUs, or all on one. */
export type Grouping = "single" | "split" | "whole";

export interface Plan {
  /** Tasks whose slots are reserved. */
  readonly placed: readonly (readonly [Task, Placement])[];
  /** What found none. */
  readonly entries: readonly Entry[];
  /** Gives the slots back. */
  readonly undo: () => void;
}

/** What it looks at. */
export interface PlannerParts {
  readonly fleet: Fleet;
  readonly eligibility: Eligibility;
  readonly callers: Callers;
  /** null: no GPU is preferred for what its KV cache has. */
  readonly prefixes: Prefixes | null;
  readonly minBatchSizePerGpu: number;
  /** Whether nothing may start now. */
  readonly isHeld: () => boolean;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export class Planner {
  readonly #parts: PlannerParts;
  #lastRoundRobin: number | null = null;

  constructor(parts: PlannerParts) {
    this.#parts = parts;
  }

  /** Reserves slots for tasks; what found none comes back as entries for the queue. */
  plan(tasks: readonly Task[], grouping: Grouping): Plan {
    const turn = this.#lastRoundRobin;
    const { placed, entries } = grouping === "whole" ? this.#planWhole(tasks) : this.#planEach(tasks, grouping);
    const undo = (): void => {
      for (const [task, { gpuId }] of placed) this.vacate(gpuId, task, 0, false);
      this.#lastRoundRobin = turn;
    };
    return { placed, entries, undo };
  }

  /** Gives a slot back. @param work tokens that the task took; null: nobody knows @param used whether it has run there to its end */
  vacate(gpuId: number, task: Task, work: number | null, used: boolean): void {
    const { fleet, callers, prefixes } = this.#parts;
    fleet.vacate(gpuId, task);
    callers.stops(task, work);
    prefixes?.ends(gpuId, task, used);
  }

  #planEach(tasks: readonly Task[], grouping: "single" | "split"): Omit<Plan, "undo"> {
    const dealt = grouping === "split" && this.#parts.minBatchSizePerGpu > 1 ? this.#chooseDistinct(tasks) : null;
    const placed: [Task, Placement][] = [];
    const entries: Entry[] = [];
    for (const [index, task] of tasks.entries()) {
      const placement = this.#reserveOn(dealt?.[index % dealt.length], task) ?? this.#choose([task]);
      if (placement === null) entries.push(task);
      else placed.push([task, placement]);
    }
    return { placed, entries };
  }

  /** One GPU for all, chosen once; those beyond its free slots wait for it. No GPU: the batch waits as one. */
  #planWhole(tasks: readonly Task[]): Omit<Plan, "undo"> {
    const first = this.#choose(tasks);
    if (first === null) return { placed: [], entries: [{ seq: tasks[0]!.seq, tasks }] };
    const placed: [Task, Placement][] = [[tasks[0]!, first]];
    const entries: Entry[] = [];
    for (const task of tasks.slice(1)) {
      task.boundTo = first.gpuId;
      const placement = this.#reserveOn(first, task);
      if (placement !== null) placed.push([task, placement]);
      else entries.push(task);
    }
    return { placed, entries };
  }

  /**
   * The GPUs that a split batch of n is dealt to: max(1, ⌊n/m⌋) distinct ones that the strategy picks, fewer if fewer are eligible.
   * Each choice is made as if for the first task.
   */
  #chooseDistinct(tasks: readonly Task[]): Placement[] {
    const wanted = Math.max(1, Math.floor(tasks.length / this.#parts.minBatchSizePerGpu));
    const chosen: Placement[] = [];
    const taken = new Set<number>();
    while (chosen.length < wanted) {
      const placement = this.#decide([tasks[0]!], taken);
      if (placement === null) break;
      taken.add(placement.gpuId);
      chosen.push(placement);
    }
    return chosen;
  }

  /** Chooses a GPU for tasks that are placed together, and reserves the first one's slot; null: none is eligible. */
  #choose(tasks: readonly Task[]): Placement | null {
    const placement = this.#decide(tasks, NONE);
    if (placement !== null) this.#occupy(placement.gpuId, tasks[0]!);
    return placement;
  }

  /** Chooses without reserving. */
  #decide(tasks: readonly Task[], without: ReadonlySet<number>): Placement | null {
    const task = tasks[0]!;
    if (this.#parts.isHeld() || this.#parts.callers.of(task).isCapped) return null;
    const { eligible, others } = this.#parts.eligibility.candidates(tasks, without);
    if (eligible.length === 0) return null;
    if (task.boundTo !== null) return this.#withoutStrategy(task, eligible[0]!, others);
    const strategy = strategies[task.strategy];
    const { prefixes, random } = this.#parts;
    const cached = eligible.length > 1 && prefixes !== null ? prefixes.of(task.prefix) : [];
    const choice = strategy.choose(eligible, { lastRoundRobin: this.#lastRoundRobin, draw: random(), cached });
    if (task.strategy === "round_robin") this.#lastRoundRobin = choice.gpu.facts.id;
    return record(task.strategy, strategy, choice, eligible, others);
  }

  #withoutStrategy(task: Task, gpu: Gpu, others: CountsByReason): Placement {
    const name = task.pinnedGpuId === null ? "batch" : "pinned";
    const code = name === "batch" ? "whole_batch" : "requested";
    return record(name, strategies.random, { gpu, why: { code } }, [gpu], others);
  }

  /** Reserves a slot on the GPU of a decision already made; null: that GPU has no room. */
  #reserveOn(decision: Placement | undefined, task: Task): Placement | null {
    if (decision === undefined) return null;
    const { fleet, callers, eligibility, isHeld } = this.#parts;
    const gpu = fleet.get(decision.gpuId);
    if (isHeld() || callers.of(task).isCapped || eligibility.whyNot(gpu, [task]) !== null) return null;
    this.#occupy(decision.gpuId, task);
    return decision;
  }

  #occupy(gpuId: number, task: Task): void {
    const { fleet, callers, prefixes } = this.#parts;
    const { facts, running } = fleet.get(gpuId);
    fleet.occupy(gpuId, task);
    callers.starts(task, facts.context);
    prefixes?.starts(gpuId, task, facts.slots - running.size);
  }
}

const NONE: ReadonlySet<number> = new Set();
