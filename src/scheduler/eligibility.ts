/**
 * Which instances may run a task, now or ever. It changes nothing. The tasks of one question are placed together: one task, or a batch that
 * is not to be split and has no GPU yet.
 */
import { type InstanceState, isServing, mayServeAgain } from "../gpu/facts.ts";
import type { WhyNot } from "../reasons.ts";
import { type CountsByReason, promptBytes, type Task } from "../task.ts";
import { failedUnder, hasFailed, isSuspect } from "./attempts.ts";
import { type Demand, demandOf, lackOf, type Suitable } from "./demand.ts";
import type { Fleet } from "./fleet.ts";
import { type Instance, runsSuspect, obstacle, roomFor } from "./placement.ts";

/** task_type → the ids of the GPUs meant for it. */
export type Mappings = ReadonlyMap<string, ReadonlySet<number>>;

/** Where a task may go, as far as wishes and mappings say. */
export type Place = Pick<Task, "boundTo" | "strategy" | "taskType">;

/** GPUs for tasks that are to be placed now. */
export interface Candidates {
  /** Those that may take them, in `gpu_id` order. The list is valid until something is placed. */
  readonly eligible: readonly Instance[];
  readonly others: CountsByReason;
}

export class Eligibility {
  readonly #fleet: Fleet;
  /** In `gpu_id` order. */
  #mappings: ReadonlyMap<string, readonly number[]> = new Map();

  constructor(fleet: Fleet, mappings: Mappings) {
    this.#fleet = fleet;
    this.map(mappings);
  }

  /** Other GPUs are meant for task types from now on. */
  map(mappings: Mappings): void {
    this.#mappings = new Map(Array.from(mappings, ([type, ids]) => [type, [...ids].toSorted((a, b) => a - b)]));
  }

  /** Whether some instance might ever run the task, with this machine and this configuration. */
  isEverPossible(task: Task): boolean {
    const { pinnedGpuId } = task;
    const bytes = promptBytes(task);
    if (pinnedGpuId === null) return bytes <= (this.#fleet.suitableFor(task) ?? this.#fleet).mostRoom;
    return this.#fleet
      .on(pinnedGpuId)
      .some(({ facts }) => mayServeAgain(facts.state) && lackOf(facts, task) === null && bytes <= roomFor(facts));
  }

  /**
   * The instances that may take these tasks now, and why the others may not. The fleet knows both for an ordinary task; where it depends on
   * the task, each instance is asked.
   * @param without those that were chosen already
   */
  candidates(tasks: readonly Task[], without: ReadonlySet<number>): Candidates {
    const { all, available, unavailable } = this.#fleet;
    const task = tasks[0]!;
    const demand = demandOf(tasks);
    const allowed = this.#allowed(task, demand);
    if (allowed !== null) return this.#oneByOne(allowed.instances, tasks, demand, without, allowed.others);
    if (isSuspect(task)) return this.#oneByOne(all, tasks, demand, without, {});
    const others = countsOf(unavailable);
    const isForAll = without.size === 0 && this.#longest(tasks) === 0 && !tasks.some(hasFailed);
    return isForAll ? { eligible: available, others } : this.#oneByOne(available, tasks, demand, without, others);
  }

  /**
   * Why an instance may not take these tasks now; null: it may.
   *  1. The tasks may go there at all.
   *  2. It is not reserved: no suspect runs there, or waits for it to be empty.
   *  3. It takes tasks, and has a free slot.
   *  4. It suits them.
   */
  whyNot(instance: Instance, tasks: readonly Task[]): WhyNot | null {
    const task = tasks[0]!;
    const demand = demandOf(tasks);
    if (!this.isAllowed(instance, task, demand)) return notAllowed(task); // 1
    return this.#whyNotNow(instance, tasks, demand, this.#longest(tasks)); // 2 to 4
  }

  /** Why these tasks should not go to an instance, even an empty one, while another can serve them; null: they may. */
  misfit(instance: Instance, tasks: readonly Task[]): WhyNot | null {
    return this.#misfit(instance, tasks, demandOf(tasks), this.#longest(tasks));
  }

  /**
   * Whether so many bytes of text do not fit into this instance, but fit into another one that the task may go to. A text that fits nowhere
   * may go anywhere: the engine refuses it, and its task ends so.
   */
  isTooSmall({ facts }: Instance, place: Place, demand: Demand, bytes: number): boolean {
    if (bytes <= roomFor(facts)) return false;
    const allowed = this.#allowed(place, demand);
    if (allowed === null) return bytes <= this.#fleet.mostRoom;
    return allowed.instances.some(
      ({ facts: other }) => mayServeAgain(other.state) && lackOf(other, demand) === null && bytes <= roomFor(other),
    );
  }

  /** Whether a task may go to a GPU, as far as wishes and mappings say. */
  isAllowed({ gpuId }: Instance, { boundTo, strategy, taskType }: Place, demand: Demand): boolean {
    if (boundTo !== null) return gpuId === boundTo;
    return strategy !== "task_specific" || this.servesType(gpuId, taskType, demand);
  }

  /** Whether tasks of a type may go to a GPU: only to those mapped to it, but to any when none of these serves them. */
  servesType(gpuId: number, taskType: string, demand: Demand): boolean {
    return this.#serving(taskType, demand)?.includes(gpuId) ?? true;
  }

  /** The reason why an instance cannot meet a demand, as far as is known; null: there is none. */
  lackOf({ facts }: Instance, demand: Demand): WhyNot | null {
    return this.#fleet.suitableFor(demand) === null ? null : lackOf(facts, demand);
  }

  /** Instances among which all are that a task may go to; null: it may go to any. */
  #allowed({ boundTo, strategy, taskType }: Place, demand: Demand): Pick<Suitable, "instances" | "others"> | null {
    const ids = boundTo !== null ? [boundTo] : strategy === "task_specific" ? this.#serving(taskType, demand) : null;
    if (ids === null) return this.#fleet.suitableFor(demand);
    const instances = ids.flatMap((id) => this.#fleet.on(id));
    const rest = this.#fleet.all.length - instances.length;
    return { instances, others: rest === 0 ? {} : { [notAllowed({ boundTo })]: rest } };
  }

  /** The GPUs mapped to a type; null: there are none, or none of them serves what is asked. */
  #serving(taskType: string, demand: Demand): readonly number[] | null {
    const ids = this.#mappings.get(taskType);
    const serves = (one: Instance): boolean => mayServe(one.facts.state) && this.lackOf(one, demand) === null;
    return ids !== undefined && ids.some((id) => this.#fleet.on(id).some(serves)) ? ids : null;
  }

  /** Asks each of these instances, to which the tasks may go. @param counts of the other ones */
  #oneByOne(
    instances: readonly Instance[],
    tasks: readonly Task[],
    demand: Demand,
    without: ReadonlySet<number>,
    counts: CountsByReason,
  ): Candidates {
    const longest = this.#longest(tasks);
    const eligible: Instance[] = [];
    const others = { ...counts };
    for (const instance of instances) {
      const why =
        this.#whyNotNow(instance, tasks, demand, longest) ?? (without.has(instance.gpuId) ? "chosen_already" : null);
      if (why === null) eligible.push(instance);
      else others[why] = (others[why] ?? 0) + 1;
    }
    return { eligible, others };
  }

  #whyNotNow(instance: Instance, tasks: readonly Task[], demand: Demand, longest: number): WhyNot | null {
    if (isReserved(instance, tasks[0]!)) return "reserved"; // 2
    return obstacle(instance) ?? this.#misfit(instance, tasks, demand, longest); // 3, 4
  }

  #misfit(instance: Instance, tasks: readonly Task[], demand: Demand, longest: number): WhyNot | null {
    const lack = this.lackOf(instance, demand);
    if (lack !== null) return lack;
    if (this.isTooSmall(instance, tasks[0]!, demand, longest)) return "context_too_small";
    return this.#hasFailed(instance, tasks, demand, longest) ? "failed_before" : null;
  }

  /** Bytes of the longest of the texts; 0: they fit into every instance. */
  #longest(tasks: readonly Task[]): number {
    let longest = 0;
    for (const task of tasks) {
      const bytes = promptBytes(task);
      if (bytes > this.#fleet.leastRoom) longest = Math.max(longest, bytes);
    }
    return longest;
  }

  /**
   * Whether the GPU failed under one of these tasks, and another GPU serves that did not fail. Then they wait for that one, even if it is
   * busy with tasks of ours. They do not wait for one that is crowded or hot, which may last for hours. Tasks that are bound to their GPU
   * have no other.
   */
  #hasFailed({ gpuId }: Instance, tasks: readonly Task[], demand: Demand, longest: number): boolean {
    if (!failedUnder(tasks, gpuId)) return false;
    return this.#fleet.all.some(
      (other) =>
        isServing(other.facts.state) &&
        other.facts.state !== "hot" &&
        other.facts.crowded === null &&
        this.isAllowed(other, tasks[0]!, demand) &&
        this.lackOf(other, demand) === null &&
        !this.isTooSmall(other, tasks[0]!, demand, longest) &&
        !failedUnder(tasks, other.gpuId),
    );
  }
}

/** Each placement keeps them: of none there is one object. */
function countsOf(unavailable: ReadonlyMap<WhyNot, number>): CountsByReason {
  if (unavailable.size === 0) return NONE;
  // By hand: this is asked for every placement, and `Object.fromEntries` takes several times as long.
  const counts: Partial<Record<WhyNot, number>> = {};
  for (const [why, count] of unavailable) counts[why] = count;
  return counts;
}

const NONE: CountsByReason = Object.freeze({});

/** Whether an instance serves, or would if its model were wanted. */
function mayServe(state: InstanceState): boolean {
  return isServing(state) || state === "cold" || state === "unloading";
}

/** Whether an instance is reserved for another task, or has to be empty for this one and is not. */
function isReserved(instance: Instance, task: Task): boolean {
  if (instance.reservedFor !== null && instance.reservedFor !== task) return true;
  return isSuspect(task) ? instance.running.size > 0 : runsSuspect(instance);
}

function notAllowed({ boundTo }: Pick<Task, "boundTo">): WhyNot {
  return boundTo === null ? "not_mapped" : "not_requested";
}
