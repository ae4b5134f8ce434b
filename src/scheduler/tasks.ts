/** The task book: what HTTP asks for, answered from the scheduler (live tasks) and the store (ended ones). */
import { type Attempt, type StrategyName, type Task, type TaskInput } from "../task.ts";
import { type TaskFilter } from "../store/store.ts";

/** How a submission wants its tasks placed. */
export interface SubmitOptions {
  /** The user the tasks will belong to. */
  readonly user: string;
  readonly strategy: StrategyName;
  /** Set: the tasks run there or nowhere. */
  readonly pinnedGpuId: number | null;
  /** null: one task, not a batch. */
  readonly batch: { readonly split: boolean } | null;
}

export const BATCH_STATUSES = ["running", "queued", "mixed", "all_distributed", "all_queued"] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];

/** What was true when the tasks were admitted. */
export interface Submission {
  readonly batchId: string | null;
  readonly batchStatus: BatchStatus;
  readonly tasks: readonly { readonly id: string; readonly gpuId: number | null; readonly status: "running" | "queued" }[];
}

/** A task as one moment saw it. */
export type TaskSnapshot = Readonly<Omit<Task, "attempts">> & { readonly attempts: readonly Readonly<Attempt>[] };

export interface TaskApi {
  /**
   * Admits all of the tasks or none; resolves when they are on disk.
   * @throws {AltLasError} `invalid_input` (no such GPU, strategy not configured, a prompt that can never fit), `queue_full`, `draining`,
   *   `no_usable_gpu`, `store_unavailable`; nothing exists then. A sentence about one item of a batch names `batch[i]`.
   */
  submit(inputs: readonly TaskInput[], options: SubmitOptions): Promise<Submission>;
  /** A task, whoever it belongs to. A final status is shown only once it is on disk. */
  get(id: string): Promise<TaskSnapshot | null>;
  /** As `get`, but held until the task has ended, `seconds` are over, the signal aborts or the server stops. */
  wait(id: string, seconds: number, signal: AbortSignal): Promise<TaskSnapshot | null>;
  list(filter: TaskFilter): Promise<{ readonly tasks: readonly TaskSnapshot[]; readonly total: number }>;
}
