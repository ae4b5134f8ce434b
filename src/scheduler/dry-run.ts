/** The placement or wait that a submission would get, found out without making it. */
import type { Placement, Task } from "../task.ts";
import type { Admission } from "./admission.ts";
import type { Planner } from "./planner.ts";
import { type Wait, whyWaiting, type WhyWaitingParts } from "./why-waiting.ts";

export interface DryRun {
  /** As `shownGpuId` would be. */
  readonly gpuId: number | null;
  /** null: it would wait. */
  readonly placement: Placement | null;
  /** null: it would start at once. */
  readonly wait: Wait | null;
}

export interface DryRunParts extends WhyWaitingParts {
  readonly admission: Admission;
  readonly planner: Planner;
}

/**
 * The steps of `Scheduler.submit` for one task that is new, with the same parts; but none of them reserves, counts or queues anything. Chance
 * is drawn anew for the task itself, so of equals it may get another one. Where models come and go, which of them make room depends on all
 * that waits: a task that waits may have that decided anew, which is not foreseen here.
 * @throws {AltLasError} the refusal that the submission would get
 */
export function dryRun(task: Task, parts: DryRunParts): DryRun {
  const { admission, planner, callers, fleet } = parts;
  admission.refuseImpossible([task]);
  callers.refuseOverTokens([task], fleet.largestContext);
  const placement = planner.preview(task);
  if (placement !== null) return { gpuId: placement.gpuId, placement, wait: null };
  const problem = admission.overflow([task]);
  if (problem !== null) throw problem;
  return { gpuId: task.boundTo, placement: null, wait: whyWaiting(task, parts) };
}
