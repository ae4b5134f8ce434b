/** Gives free slots to waiting entries: to the next one in the order, or to the one that the instance is reserved for. */
import type { Task } from "../task.ts";
import { isSuspect } from "./attempts.ts";
import type { Callers } from "./callers.ts";
import { type Demand, demandOf } from "./demand.ts";
import type { Effects } from "./effects.ts";
import type { Eligibility } from "./eligibility.ts";
import type { Fleet } from "./fleet.ts";
import type { Life } from "./life.ts";
import { type Instance, runsSuspect, obstacle } from "./placement.ts";
import type { Planner } from "./planner.ts";
import { type Entry, firstOf, tasksOf, type Waiting, type Wanted } from "./waiting.ts";

export interface DispatcherParts {
  readonly fleet: Fleet;
  readonly waiting: Waiting;
  readonly eligibility: Eligibility;
  readonly callers: Callers;
  readonly planner: Planner;
  readonly life: Life;
  readonly effects: Effects;
  /** The server's clock. */
  readonly now: () => number;
  /** Whether anything may start now. */
  readonly mayStart: () => boolean;
}

export class Dispatcher {
  readonly #parts: DispatcherParts;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  /** Fills the free slots of every GPU. */
  fillAll(): void {
    if (this.#parts.waiting.tasks === 0) return;
    for (const instance of this.#parts.fleet.all) this.fill(instance);
  }

  /** Gives an instance the next entries, until it has no free slot or no entry is left for it. */
  fill(instance: Instance): void {
    while (takesSomething(instance) && this.#parts.waiting.tasks > 0 && this.#parts.mayStart()) {
      const entry =
        this.#reservedEntry(instance) ?? this.#parts.waiting.next(this.#wantedOn(instance), this.#parts.now());
      if (entry === undefined) return;
      if (instance.running.size > 0 && isSuspect(firstOf(entry))) {
        // The next entry is a suspect: it has to wait until the instance is empty.
        this.#parts.fleet.reserve(instance, firstOf(entry));
        return;
      }
      this.#place(entry);
    }
  }

  /** The entry that an instance is reserved for, as long as it waits and may go there. */
  #reservedEntry(instance: Instance): Entry | undefined {
    const task = instance.reservedFor;
    if (task === null) return undefined;
    const entry = task.status === "queued" ? this.#parts.waiting.entryOf(task) : undefined;
    const isFor =
      entry !== undefined &&
      !this.#parts.callers.isCapped(task) &&
      this.#parts.eligibility.isAllowed(instance, task, demandOf(tasksOf(entry))) &&
      this.#parts.eligibility.misfit(instance, tasksOf(entry)) === null;
    if (isFor) return entry;
    this.release(instance);
    return undefined;
  }

  /** Ends the reservation of an instance. */
  release(instance: Instance): void {
    if (instance.reservedFor !== null) this.#parts.fleet.reserve(instance, null);
  }

  /** Ends reservations for tasks that have ended meanwhile or have to go elsewhere. */
  releaseStale(): void {
    for (const instance of this.#parts.fleet.reserved)
      if (this.#reservedEntry(instance) === undefined) this.fill(instance);
  }

  #wantedOn(instance: Instance): Wanted {
    const { gpuId } = instance;
    const { eligibility } = this.#parts;
    const here = this.#slotOf(instance);
    const suits = (one: Instance, demand: Demand): boolean => eligibility.lackOf(one, demand) === null;
    const fits = (one: Instance, entry: Entry): boolean =>
      eligibility.misfit(one, tasksOf(entry)) === null && !this.#hasItsGpu(entry, one);
    return {
      gpuId,
      // A suspect has to be alone on its instance, which may have to become empty for it.
      fits: (entry) => here.some((one) => (one === instance || !isSuspect(firstOf(entry))) && fits(one, entry)),
      suits: (demand) => here.some((one) => suits(one, demand)),
      servesType: (type, demand) => eligibility.servesType(gpuId, type, demand),
      isTooSmall: (bytes, type, demand) => {
        const place = type === null ? ANYWHERE : ofType(type);
        return here.every((one) => !suits(one, demand) || eligibility.isTooSmall(one, place, demand, bytes));
      },
    };
  }

  /** Those among which the next entry gets a slot: all that share those of their GPU, or the first one would have all of them. */
  #slotOf(instance: Instance): readonly Instance[] {
    if (instance.card.mostTasks === null) return [instance];
    return this.#parts.fleet.on(instance.gpuId).filter((one) => one === instance || one.whyNot === null);
  }

  /** Whether another instance is reserved for an entry, and this one is not empty yet. */
  #hasItsGpu(entry: Entry, instance: Instance): boolean {
    const task = firstOf(entry);
    return instance.running.size > 0 && isSuspect(task) && this.#reservedForIt(task) !== undefined;
  }

  /** The instance that is reserved for a task. */
  #reservedForIt(task: Task): Instance | undefined {
    for (const instance of this.#parts.fleet.reserved) if (instance.reservedFor === task) return instance;
    return undefined;
  }

  /** Starts an entry for which an instance is eligible. The tasks of a batch beyond the free slots wait for its GPU. */
  #place(entry: Entry): void {
    const reserved = this.#reservedForIt(firstOf(entry));
    this.#parts.waiting.remove(entry);
    const grouping = "tasks" in entry ? "whole" : "single";
    const { placed, entries } = this.#parts.planner.plan(tasksOf(entry), grouping);
    if (reserved !== undefined) this.release(reserved);
    for (const { task, instance, placement } of placed) {
      this.#parts.callers.served(task);
      this.#parts.life.start(task, instance, placement);
      this.#parts.effects.changed(task);
    }
    for (const rest of entries) {
      this.#parts.waiting.add(rest);
      for (const task of tasksOf(rest)) this.#parts.effects.changed(task);
    }
    // The reserved instance is free for others again.
    if (reserved !== undefined) this.fill(reserved);
  }
}

/** Tasks for any GPU, and those of a mapped type. */
const ANYWHERE = { boundTo: null, strategy: "random", taskType: "" } as const;
const ofType = (taskType: string) => ({ boundTo: null, strategy: "task_specific", taskType }) as const;

/** Whether an instance takes some waiting task, if only the one that it is reserved for. */
function takesSomething(instance: Instance): boolean {
  return instance.reservedFor === null
    ? instance.whyNot === null
    : obstacle(instance) === null && !runsSuspect(instance);
}
