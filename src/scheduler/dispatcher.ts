/** Gives free slots to what waits: whose turn it is there, or what the GPU is kept for. */
import { type Task } from "../task.ts";
import { isSuspect } from "./attempts.ts";
import { type Callers } from "./callers.ts";
import { type Effects } from "./effects.ts";
import { type Eligibility } from "./eligibility.ts";
import { type Fleet } from "./fleet.ts";
import { type Life } from "./life.ts";
import { type Gpu, isHeld, obstacle } from "./placement.ts";
import { type Planner } from "./planner.ts";
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
    for (const gpu of this.#parts.fleet.all) this.fill(gpu);
  }

  /** Gives a GPU the entries whose turn it is there, until it has no slot or there are none. */
  fill(gpu: Gpu): void {
    while (takesSomething(gpu) && this.#parts.waiting.tasks > 0 && this.#parts.mayStart()) {
      const entry = this.#keptEntry(gpu) ?? this.#parts.waiting.next(this.#wantedOn(gpu), this.#parts.now());
      if (entry === undefined) return;
      if (gpu.running.size > 0 && isSuspect(firstOf(entry))) {
        // It is this one's turn, but not before the GPU is empty.
        this.#parts.fleet.keep(gpu.facts.id, firstOf(entry));
        return;
      }
      this.#place(entry);
    }
  }

  /** What a GPU is kept for, as long as that waits and may go there. */
  #keptEntry(gpu: Gpu): Entry | undefined {
    const task = gpu.keptFor;
    if (task === null) return undefined;
    const entry = task.status === "queued" ? this.#parts.waiting.entryOf(task) : undefined;
    const isFor =
      entry !== undefined &&
      !this.#parts.callers.of(task).isCapped &&
      this.#parts.eligibility.isAllowed(gpu, task) &&
      this.#parts.eligibility.misfit(gpu, tasksOf(entry)) === null;
    if (isFor) return entry;
    this.release(gpu.facts.id);
    return undefined;
  }

  release(gpuId: number): void {
    if (this.#parts.fleet.find(gpuId)?.keptFor != null) this.#parts.fleet.keep(gpuId, null);
  }

  /** Lets GPUs go on that have become empty, or are about to, for what has ended meanwhile or has to go elsewhere. */
  releaseStale(): void {
    for (const gpu of this.#parts.fleet.kept) if (this.#keptEntry(gpu) === undefined) this.fill(gpu);
  }

  #wantedOn(gpu: Gpu): Wanted {
    return {
      gpuId: gpu.facts.id,
      fits: (entry) => this.#parts.eligibility.misfit(gpu, tasksOf(entry)) === null && !this.#hasItsGpu(entry, gpu),
      servesType: (type) => this.#parts.eligibility.servesType(gpu.facts.id, type),
      isTooSmall: (bytes, type) =>
        this.#parts.eligibility.isTooSmall(gpu, type === null ? ANYWHERE : ofType(type), bytes),
    };
  }

  /** Whether another GPU is becoming empty for an entry, and this one is not empty yet. */
  #hasItsGpu(entry: Entry, gpu: Gpu): boolean {
    const task = firstOf(entry);
    return gpu.running.size > 0 && isSuspect(task) && this.#keptForIt(task) !== undefined;
  }

  /** The GPU that is kept for a task. */
  #keptForIt(task: Task): Gpu | undefined {
    for (const gpu of this.#parts.fleet.kept) if (gpu.keptFor === task) return gpu;
    return undefined;
  }

  /** Starts an entry for which some GPU is eligible; what a batch has beyond its GPU's slots waits for that GPU. */
  #place(entry: Entry): void {
    const kept = this.#keptForIt(firstOf(entry));
    this.#parts.waiting.remove(entry);
    const grouping = "tasks" in entry ? "whole" : "single";
    const { placed, entries } = this.#parts.planner.plan(tasksOf(entry), grouping);
    if (kept !== undefined) this.release(kept.facts.id);
    for (const [task, placement] of placed) {
      this.#parts.callers.served(task);
      this.#parts.life.start(task, placement);
      this.#parts.effects.changed(task);
    }
    for (const rest of entries) {
      this.#parts.waiting.add(rest);
      for (const task of tasksOf(rest)) this.#parts.effects.changed(task);
    }
    // It was becoming empty for nothing.
    if (kept !== undefined) this.fill(kept);
  }
}

/** Tasks for any GPU, and those of a mapped type. */
const ANYWHERE = { boundTo: null, strategy: "random", taskType: "" } as const;
const ofType = (taskType: string) => ({ boundTo: null, strategy: "task_specific", taskType }) as const;

/** Whether a GPU takes what waits, if only what it is kept for. */
function takesSomething(gpu: Gpu): boolean {
  return gpu.keptFor === null ? gpu.shut === null : obstacle(gpu) === null && !isHeld(gpu);
}
