/** Finds GPUs for tasks that are to be placed now, and reserves their slots. It neither starts nor queues them. */
import type { CountsByReason, Placement, Task, TaskResult } from "../task.ts";
import { type Caller, type Callers, workOf } from "./callers.ts";
import type { SchedulerSettings } from "./effects.ts";
import type { Eligibility } from "./eligibility.ts";
import type { Fleet } from "./fleet.ts";
import { expectedWork } from "./answer-lengths.ts";
import { workOf as workOfTokens } from "./pace.ts";
import { type Choice, type Instance, record } from "./placement.ts";
import type { Prefixes } from "./prefixes.ts";
import type { Entry } from "./queue.ts";
import { strategies } from "./strategies/index.ts";

/** How tasks are to be placed: each by itself, spread over chosen GPUs, or all on one. */
export type Grouping = "single" | "split" | "whole";

/** A task whose slot is reserved on an instance. */
export interface Placed extends Decision {
  readonly task: Task;
}

interface Decision {
  readonly instance: Instance;
  readonly placement: Placement;
}

export interface Plan {
  /** Tasks whose slots are reserved. */
  readonly placed: readonly Placed[];
  /** Tasks that got no slot. */
  readonly entries: readonly Entry[];
  /** Gives the slots back. */
  readonly undo: () => void;
}

/** The parts that it reads. */
export interface PlannerParts {
  readonly fleet: Fleet;
  readonly eligibility: Eligibility;
  readonly callers: Callers;
  /** null: the content of KV caches plays no part. */
  readonly prefixes: Prefixes<Instance> | null;
  readonly settings: Pick<SchedulerSettings, "minBatchSizePerGpu" | "instead">;
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

  /** Reserves slots for tasks. Tasks without a slot come back as entries for the queue. */
  plan(tasks: readonly Task[], grouping: Grouping): Plan {
    const turn = this.#lastRoundRobin;
    const { placed, entries } = grouping === "whole" ? this.#planWhole(tasks) : this.#planEach(tasks, grouping);
    const undo = (): void => {
      for (const { task, instance } of placed) this.vacate(instance, task, 0, false);
      this.#lastRoundRobin = turn;
    };
    return { placed, entries, undo };
  }

  /** The placement that `plan` would decide now for one task; null: it would wait. Nothing is reserved, and no turn is taken. */
  preview(task: Task): Placement | null {
    const turn = this.#lastRoundRobin;
    const decision = this.#decide([task], NONE);
    this.#lastRoundRobin = turn;
    return decision?.placement ?? null;
  }

  /** A task that an earlier server has placed goes on to run there. */
  adopt(instance: Instance, task: Task): void {
    this.#occupy({ instance, placement: task.placement! }, task);
  }

  /** Gives the slot back of a task that has run there to its end. @param result null: not known */
  ended(instance: Instance, task: Task, result: TaskResult | null): void {
    if (result !== null && this.#parts.fleet.isTurn) this.#learn(instance, task, result);
    this.vacate(instance, task, result === null ? null : workOf(result), result !== null);
  }

  #learn(instance: Instance, task: Task, result: TaskResult): void {
    if (result.finishReason !== "stop" && result.finishReason !== "length") return;
    const { promptTokens, cachedTokens, completionTokens, executionTime } = result;
    const computed = (promptTokens ?? 0) - (cachedTokens ?? 0);
    this.#parts.callers.of(task).answers.learn(task, completionTokens);
    this.#parts.fleet.learn(instance, executionTime, workOfTokens(computed, completionTokens));
  }

  /** Gives a slot back. @param work tokens that the task took; null: not known @param used whether it has run there to its end */
  vacate(instance: Instance, task: Task, work: number | null, used: boolean): void {
    const { fleet, callers, prefixes } = this.#parts;
    fleet.vacate(instance, task);
    callers.stops(task, work);
    prefixes?.ends(instance, task, used);
  }

  #planEach(tasks: readonly Task[], grouping: "single" | "split"): Omit<Plan, "undo"> {
    const dealt =
      grouping === "split" && this.#parts.settings.minBatchSizePerGpu > 1 ? this.#chooseDistinct(tasks) : null;
    const placed: Placed[] = [];
    const entries: Entry[] = [];
    for (const [index, task] of tasks.entries()) {
      const one = this.#reserveOn(dealt?.[index % dealt.length], task) ?? this.#choose([task]);
      if (one === null) entries.push(task);
      else placed.push(one);
    }
    return { placed, entries };
  }

  /** Chooses one GPU for all; the tasks beyond its free slots wait for it. If no GPU is eligible, the batch waits as one. */
  #planWhole(tasks: readonly Task[]): Omit<Plan, "undo"> {
    const first = this.#choose(tasks);
    if (first === null) return { placed: [], entries: [{ seq: tasks[0]!.seq, tasks }] };
    const { gpuId } = first.instance;
    const isOnlyOne = this.#parts.fleet.on(gpuId).length === 1;
    const placed: Placed[] = [first];
    const entries: Entry[] = [];
    for (const task of tasks.slice(1)) {
      task.boundTo = gpuId;
      const one = this.#reserveOn(first, task) ?? (isOnlyOne ? null : this.#choose([task]));
      if (one !== null) placed.push(one);
      else entries.push(task);
    }
    return { placed, entries };
  }

  /**
   * The GPUs over which a split batch of n is spread: max(1, ⌊n/m⌋) distinct ones that the strategy picks, fewer if fewer are eligible.
   * Each is chosen as if for the first task.
   */
  #chooseDistinct(tasks: readonly Task[]): Decision[] {
    const wanted = Math.max(1, Math.floor(tasks.length / this.#parts.settings.minBatchSizePerGpu));
    const chosen: Decision[] = [];
    const taken = new Set<number>();
    while (chosen.length < wanted) {
      const decision = this.#decide([tasks[0]!], taken);
      if (decision === null) break;
      taken.add(decision.instance.gpuId);
      chosen.push(decision);
    }
    return chosen;
  }

  /** Chooses an instance for tasks that are placed together, and reserves the first one's slot; null: none is eligible. */
  #choose(tasks: readonly Task[]): Placed | null {
    const decision = this.#decide(tasks, NONE);
    return decision === null ? null : this.#occupy(decision, tasks[0]!);
  }

  /** Chooses without reserving. @param without GPUs that were chosen already */
  #decide(tasks: readonly Task[], without: ReadonlySet<number>): Decision | null {
    const task = tasks[0]!;
    const caller = this.#parts.callers.of(task);
    if (this.#parts.isHeld() || this.#parts.callers.isCapped(task)) return null;
    const { eligible, others } = this.#parts.eligibility.candidates(tasks, without);
    if (eligible.length === 0) return null;
    if (task.boundTo !== null) return this.#withoutStrategy(task, eligible[0]!, others);
    const { prefixes, random, settings } = this.#parts;
    const strategy = settings.instead ?? strategies[task.strategy];
    const cached = eligible.length > 1 && prefixes !== null ? prefixes.of(task.prefix) : [];
    const { isUneven } = this.#parts.fleet;
    const choice = strategy.choose(eligible, {
      task,
      isUneven,
      work: isUneven && cached.length > 0 ? expectedWork(task, caller.answers.expected(task, null)) : 0,
      lastRoundRobin: this.#lastRoundRobin,
      draw: random(),
      cached,
    });
    if (task.strategy === "round_robin") this.#lastRoundRobin = choice.instance.gpuId;
    return {
      instance: choice.instance,
      placement: record(task.strategy, strategy, choice, eligible, others, expectedTokensOf(caller, task, choice)),
    };
  }

  #withoutStrategy(task: Task, instance: Instance, others: CountsByReason): Decision {
    const name = task.pinnedGpuId === null ? "batch" : "pinned";
    const code = name === "batch" ? "whole_batch" : "requested";
    const choice = { instance, why: { code } } as const;
    const expected = expectedTokensOf(this.#parts.callers.of(task), task, choice);
    return { instance, placement: record(name, strategies.random, choice, [instance], others, expected) };
  }

  /** Reserves a slot on the instance of an earlier decision; null: it has none. */
  #reserveOn(decision: Decision | undefined, task: Task): Placed | null {
    if (decision === undefined) return null;
    const { callers, eligibility, isHeld } = this.#parts;
    const isFull = eligibility.whyNot(decision.instance, [task]) !== null;
    return isFull || isHeld() || callers.isCapped(task) ? null : this.#occupy(decision, task);
  }

  #occupy({ instance, placement }: Decision, task: Task): Placed {
    const { fleet, callers, prefixes } = this.#parts;
    const { facts, running } = instance;
    fleet.occupy(instance, task, expectedWork(task, placement.expectedTokens ?? 0));
    callers.starts(task, facts.context);
    prefixes?.starts(instance, task, facts.slots - running.size);
    return { task, instance, placement };
  }
}

const NONE: ReadonlySet<number> = new Set();

function expectedTokensOf({ answers }: Caller, task: Task, { instance }: Choice): number {
  return Math.round(answers.expected(task, instance.facts.context));
}
