/**
 * Which GPUs may run a task: one day, and at this moment. It only looks; the scheduler decides.
 * Tasks that are asked about together are placed together: one task, or a batch that is not to be split and has no GPU yet.
 */
import { isServing, mayServeAgain } from "../gpu/status.ts";
import { type Task } from "../task.ts";
import { failedUnder, isSuspect } from "./attempts.ts";
import { type Mappings } from "./mappings.ts";
import { certainlyTooLong, type Gpu, obstacle } from "./placement.ts";

/** What it looks at. */
export interface EligibilityParts {
  readonly gpus: readonly Gpu[];
  readonly mappings: Mappings;
}

export class Eligibility {
  readonly #parts: EligibilityParts;

  constructor(parts: EligibilityParts) {
    this.#parts = parts;
  }

  /** The GPUs that might run the task one day, as the machine and the configuration are. */
  everPossible({ pinnedGpuId }: Task): readonly Gpu[] {
    return this.#parts.gpus.filter(
      ({ facts }) => mayServeAgain(facts.state) && (pinnedGpuId === null || facts.id === pinnedGpuId),
    );
  }

  /**
   * Why a GPU may not take these tasks now, or null when it may. The words are keys of `Placement.others`.
   *  1. They may go there at all.
   *  2. Nothing runs there that must be alone, and it is not kept for such a task.
   *  3. It takes tasks, and has a slot.
   *  4. It suits them.
   */
  whyNot(gpu: Gpu, tasks: readonly Task[]): string | null {
    const task = tasks[0]!;
    if (!this.isAllowed(gpu, task)) return task.gpuId === null ? "not mapped" : "not asked for"; // 1
    if (this.#isKept(gpu, task)) return "kept for a task alone"; // 2
    return obstacle(gpu) ?? this.misfit(gpu, tasks); // 3, 4
  }

  /** Why these tasks are not for a GPU, however free it is, while another can serve them; null: they are. */
  misfit(gpu: Gpu, tasks: readonly Task[]): string | null {
    if (this.#isTooSmall(gpu, tasks)) return "context too small";
    return this.#hasFailed(gpu, tasks) ? "failed there before" : null;
  }

  /** Whether tasks of a type may go to a GPU: one of those mapped to it, or any when there are none or none of them serves. */
  servesType({ facts: { id } }: Gpu, taskType: string): boolean {
    const ids = this.#parts.mappings.get(taskType);
    if (ids === undefined || ids.has(id)) return true;
    return !this.#parts.gpus.some(({ facts }) => ids.has(facts.id) && isServing(facts.state));
  }

  /** Whether a task runs there that must run alone. */
  isHeld({ running }: Gpu): boolean {
    if (running.size !== 1) return false;
    for (const task of running) if (isSuspect(task)) return true;
    return false;
  }

  /** Whether a task may go to a GPU at all. */
  isAllowed(gpu: Gpu, { gpuId, strategy, taskType }: Task): boolean {
    if (gpuId !== null) return gpu.facts.id === gpuId;
    return strategy !== "task_specific" || this.servesType(gpu, taskType);
  }

  /** Whether a GPU must be empty for this task and is not, or is empty or becoming so for another. */
  #isKept(gpu: Gpu, task: Task): boolean {
    if (gpu.keptFor !== null && gpu.keptFor !== task) return true;
    return isSuspect(task) ? gpu.running.size > 0 : this.isHeld(gpu);
  }

  /** Whether another GPU can hold the texts and this one cannot. When none can, any may say so: that is how such a task ends. */
  #isTooSmall(gpu: Gpu, tasks: readonly Task[]): boolean {
    if (holds(gpu, tasks)) return false;
    return this.#parts.gpus.some(
      (other) => mayServeAgain(other.facts.state) && this.isAllowed(other, tasks[0]!) && holds(other, tasks),
    );
  }

  /**
   * Whether the GPU failed under one of these tasks, and another serves that did not: they are for that one, even if it is busy with
   * tasks of ours. Not if others crowd it or it has to cool down: that may last for hours.
   * Tasks that are bound to their GPU have no other.
   */
  #hasFailed(gpu: Gpu, tasks: readonly Task[]): boolean {
    if (!failedUnder(tasks, gpu.facts.id)) return false;
    return this.#parts.gpus.some(
      (other) =>
        isServing(other.facts.state) &&
        other.facts.state !== "hot" &&
        other.facts.crowded === null &&
        this.isAllowed(other, tasks[0]!) &&
        !this.#isTooSmall(other, tasks) &&
        !failedUnder(tasks, other.facts.id),
    );
  }
}

function holds({ facts }: Gpu, tasks: readonly Task[]): boolean {
  return tasks.every(({ text }) => !certainlyTooLong(text, facts));
}
