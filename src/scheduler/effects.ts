/** The effects of the scheduler, and its settings. */
import type { InstanceRef } from "../gpu/facts.ts";
import type { Task } from "../task.ts";
import type { CallerRules } from "./callers.ts";
import type { Mappings } from "./eligibility.ts";
import type { Strategy } from "./placement.ts";

/** None of these may call back into the scheduler before they return, or throw: what is to be done after it would be left undone. */
export interface Effects {
  /** Give the task to the worker of that instance. */
  run(instance: InstanceRef, task: Task): void;
  /** Have that GPU's worker stop the task; `finished` follows when it has, or `interrupted` when the worker had to be ended. */
  cancel(gpuId: number, task: Task): void;
  /** Load the model of that instance; `setGpu` says what becomes of it. */
  load(instance: InstanceRef): void;
  /** Unload the model of that instance, where no task runs. @param why one sentence */
  unload(instance: InstanceRef, why: string): void;
  /** The task's state changed after its submission. */
  changed(task: Task): void;
  /** Call `tick` at this time of the server's clock, and not at the one named before; Infinity: never. */
  alarm(at: number): void;
}

export interface SchedulerSettings extends CallerRules {
  /** Tasks that may wait. */
  readonly maxQueueSize: number;
  /** Bytes of text, in UTF-8, that may wait. */
  readonly maxQueueBytes: number;
  /** Bytes of the heap that waiting tasks may take, without their texts. */
  readonly maxQueueHeap: number;
  readonly minBatchSizePerGpu: number;
  readonly mappings: Mappings;
  /** How often a task is tried when its attempts fail by what may be its own fault. */
  readonly maxAttempts: number;
  /** Seconds before the second try. */
  readonly retryBackoff: number;
  /** Seconds of waiting that lift a task by one priority. */
  readonly ageingSeconds: number;
  /** Seconds a task may wait; null: any time. */
  readonly queueTimeout: number | null;
  /** Whether GPUs that have the beginning of a prompt in their KV cache are preferred among those that are nearly least loaded. */
  readonly prefixAffinity: boolean;
  /** Whether more than one user is known; asked at each submission, since that changes. */
  readonly isShared: () => boolean;
  /** Chooses in the place of every strategy: the lab compares them with others. Absent: tasks have the strategies that they name. */
  readonly instead?: Strategy;
}

/** Settings that may change while it runs. */
export type LiveSchedulerSettings = Pick<
  SchedulerSettings,
  "maxQueueSize" | "maxQueueBytes" | "minBatchSizePerGpu" | "mappings" | "limitsOf" | "budgets" | "teams"
>;
