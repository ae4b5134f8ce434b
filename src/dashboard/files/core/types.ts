/** What the API answers, as far as the dashboard reads it, by the types of the server's own schemas. Browsers never get this file. */
export type { GpuDetails, GpusAnswer, GpuView as Gpu } from "../../../http/schemas/gpus.ts";
export type { TasksAnswer, TaskView as Task } from "../../../http/schemas/tasks.ts";

/** A task as it is after a change. Times are Unix milliseconds. */
export interface TaskChange {
  readonly id: string;
  readonly user: string;
  /** withdrawn: it could not be stored, and is as if it had never been. */
  readonly status: "queued" | "running" | "completed" | "failed" | "canceled" | "withdrawn";
  readonly gpuId: number | null;
  readonly model: string | null;
  readonly batchId: string | null;
  readonly createdAt: number;
  readonly startedAt: number | null;
  /** null: none yet, or it was told before. */
  readonly firstOutputAt: number | null;
  readonly finishedAt: number | null;
}
