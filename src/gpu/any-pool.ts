import type { Output } from "../output.ts";
import type { CutOff, RunSink, Task } from "../task.ts";
import type { InstanceRef } from "./facts.ts";
import type { GpuPool } from "./pool.ts";

/** A run that an earlier server has begun. */
export interface Adopted {
  readonly instance: InstanceRef;
  readonly output: Output;
}

/** A run whose output other servers may read where it is. */
export interface Elsewhere {
  /** The name of the machine. */
  readonly machine: string;
  /** The run, for the machine's agent. */
  readonly key: string;
}

/** All GPUs that a server has: those of its own machine, or those of the machines of a cluster. */
export interface AnyPool extends Pick<GpuPool, keyof GpuPool> {
  /**
   * Takes over a run that goes on; null: nobody has it. Absent: none outlives its server.
   * @param sink hears of it from `restored` on
   */
  adopt?(task: Task, sink: RunSink): Adopted | null;
  /** Whether somebody reads the output of a running task; absent: all of it is here in any case. */
  watch?(task: Task, isRead: boolean): void;
  /** Where other servers may read the output of a running task; null: only here. Absent: all of it is here. */
  elsewhere?(task: Task): Elsewhere | null;
  /** The tasks of an earlier server are taken over; absent: nothing can run for them. */
  restored?(): void;
}

/** How a run ends whose start throws: that is a fault of this program, and the task may be tried elsewhere. */
export const NOT_STARTED: CutOff = {
  status: "interrupted",
  reason: "gpu_lost",
  sentence: "The task could not be started there; the log of its machine says why.",
};
