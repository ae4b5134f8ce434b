import type { GpuPool } from "./pool.ts";

/** All GPUs that a server has: those of its own machine, or those of the machines of a cluster. */
export interface AnyPool extends Pick<GpuPool, keyof GpuPool> {
  /** The tasks of an earlier run of the server are taken over; absent: nothing can run for them. */
  restored?(): void;
}
