/** The interface of the task book for the rest of the server. */
import type { Elsewhere } from "../gpu/any-pool.ts";
import type { Delta } from "../output.ts";
import type { Request, RequestFacts } from "../request.ts";
import type { BudgetFacts } from "../scheduler/budget-kinds.ts";
import type { Owner } from "../scheduler/budgets.ts";
import type { CallerFacts } from "../scheduler/caller-facts.ts";
import type { TeamFacts } from "../scheduler/teams.ts";
import type { Rates } from "../scheduler/minute-limits.ts";
import type { DryRun } from "../scheduler/dry-run.ts";
import type { Wait } from "../scheduler/why-waiting.ts";
import type { BatchState, ListedPage, Reading, TaskFilter } from "../store/tasks.ts";
import type { Attempt, StrategyName, Task, TaskInput, Webhook } from "../task.ts";

/** The options of a submission. */
export interface SubmitOptions {
  /** The user the tasks will belong to. */
  readonly user: string;
  /** The name of the API key that they came with; null: none. */
  readonly keyName: string | null;
  /** The team that the user is in; null: none. */
  readonly team: string | null;
  readonly strategy: StrategyName;
  /** Set: the tasks run there or nowhere. */
  readonly pinnedGpuId: number | null;
  /** null: one task, not a batch. */
  readonly batch: { readonly split: boolean } | null;
  /** The webhook; its address was checked. */
  readonly webhook: Webhook | null;
  /** Equal keys and fingerprints of one user mean the same submission. */
  readonly idempotency: { readonly key: string; readonly fingerprint: string } | null;
  /** The HTTP request that brings them, for those who observe the core; absent: none does. */
  readonly origin?: object;
  /** See `Task.endsWithClient`; absent: they do not. Their submitter cancels them when the client leaves. */
  readonly endsWithClient?: boolean;
}

export const BATCH_STATUSES = ["running", "queued", "mixed", "all_distributed", "all_queued"] as const;
export type BatchStatus = (typeof BATCH_STATUSES)[number];

/** The counts at the moment when the tasks were admitted. */
export interface Submission {
  readonly batchId: string | null;
  readonly batchStatus: BatchStatus;
  readonly tasks: readonly {
    readonly id: string;
    /** As `shownGpuId`. */
    readonly gpuId: number | null;
    readonly status: "running" | "queued";
  }[];
  /** Set when an earlier request with this key made the tasks; the answer is that request's. */
  readonly replayed: boolean;
}

/** A task as one moment saw it. */
export type TaskSnapshot = Readonly<Omit<Task, "attempts">> & { readonly attempts: readonly Readonly<Attempt>[] };

/** The same, without its request. */
export type ListedSnapshot = Omit<TaskSnapshot, "request" | keyof RequestFacts>;

/** Hears what becomes of one task. It is called between two tokens, so it must be fast and must not throw. */
export interface Listener {
  /** Whether it hears of no output, as its reader gets that elsewhere; absent: it reads. */
  readonly readsElsewhere?: boolean;
  /** The start of an attempt is on disk, whether or not its output is here. */
  started?(): void;
  /** A GPU has it, and its start is on disk. A higher `attempt` than before makes the text so far void. */
  placed(attempt: number, gpuId: number): void;
  /** New output of the present attempt. @param before the position where it begins in the attempt's output */
  delta(delta: Delta, before: number): void;
  /** It has ended, and that is on disk. Nothing follows. */
  ended(task: TaskSnapshot): void;
  /** The server stops before the task has ended. Nothing follows. */
  closed(): void;
}

/** The attempt of a task that is on disk. */
export interface Place {
  readonly attempt: number;
  readonly gpuId: number;
  readonly model: string | null;
}

/** Questions that a listener can ask at any time. */
export interface Following {
  /** Unix milliseconds when the task was submitted. */
  readonly createdAt: number;
  /** null: no GPU has it. */
  where(): Place | null;
  /** Where other servers may read its output while it runs; null: only here. */
  elsewhere(): Elsewhere | null;
  /** The same with its output so far; null also where that is still on its way from another machine. `placed` tells when it is here. */
  now(): (Place & { readonly output: readonly Delta[] }) | null;
  /** Lets the listener hear nothing more. Calling it twice is harmless. */
  stop(): void;
}

/** A batch as it is now. */
export interface BatchSnapshot extends BatchState {
  readonly status: BatchStatus | "completed" | "canceled";
}

/** A filter for tasks to cancel; undefined: any. Tasks that have ended are skipped. Times are Unix milliseconds. */
export interface CancelFilter extends Omit<TaskFilter, "limit" | "offset" | "after"> {
  readonly ids: readonly string[] | undefined;
}

/** Part of a list, or all of it; without the prompts. */
export interface TaskPage extends Omit<ListedPage, "tasks"> {
  readonly tasks: readonly ListedSnapshot[];
}

export interface TaskApi {
  /**
   * Counts one submission against the limits of its user and its team. It must be called before anything else is done for it.
   * @throws {AltLasError} `rate_limited`
   */
  countRequest(user: string, team: string | null): void;
  /** As `countRequest`, but nothing is counted. @throws {AltLasError} `rate_limited` */
  refuseOverRequests(user: string, team: string | null): void;
  /** The budgets of a user, its team and a key; null: all. None where nobody has any. */
  budgets(of: Owner | null): readonly BudgetFacts[];
  /** Requests and tokens that a user may still submit in this minute, by its own limits and its team's. */
  ratesOf(user: string, team: string | null): Rates;
  /**
   * Admits all of the tasks or none; resolves when they are on disk.
   * @throws {AltLasError} `invalid_input` (no such GPU, strategy not configured, a prompt that can never fit), `rate_limited` (the
   *   user's own limits), `budget_exceeded`, `queue_full`, `draining`, `no_usable_gpu`, `store_unavailable`, `conflict` (the key was used for another
   *   submission); nothing exists then. A sentence about one item of a batch names `batch[i]`.
   */
  submit(inputs: readonly TaskInput[], options: SubmitOptions): Promise<Submission>;
  /**
   * The placement or wait that `submit` would give one task now, which is not made; times are the wall clock's.
   * @throws {AltLasError} what `submit` throws before it writes; its `idempotency` plays no part
   */
  dryRun(input: TaskInput, options: SubmitOptions): DryRun;
  /** The name of the model that a task would ask for; null: any. One that there is not stays as it was asked. */
  modelOf(input: Pick<TaskInput, "model" | "taskType" | "anyModel">): string | null;
  /** The callers as they stand. @param user the only one that is wanted; null: all that are known since the start */
  callers(user: string | null): { readonly callers: readonly CallerFacts[]; readonly teams: readonly TeamFacts[] };
  /** A task, whoever it belongs to. A final status is shown only once it is on disk. */
  get(id: string): Promise<TaskSnapshot | null>;
  /** Why a task waits, by the wall clock in `since`; null: it does not, or there is no such task. */
  waiting(id: string): Wait | null;
  /** The request of a task, from the store where it is not in memory; null: it was removed meanwhile. */
  requestOf(task: Pick<TaskSnapshot, "seq" | "request">): Promise<Request | null>;
  /** The notes that tasks came with (`TaskInput.note`), by their `seq`; at most 1,000 at once. Those without one are left out. */
  notes(seqs: readonly number[]): Promise<ReadonlyMap<number, string>>;
  /**
   * Their texts have been delivered whole to their user: where they are not simply kept, they go. Tasks that have not ended are passed over,
   * and so are those whose texts are kept.
   */
  read(tasks: readonly Pick<TaskSnapshot, "seq" | "texts">[]): void;
  /** As `get`, but held until the task has ended, `seconds` are over, the signal aborts or the server stops. */
  wait(id: string, seconds: number, signal: AbortSignal): Promise<TaskSnapshot | null>;
  /** Lets a task go on that would end with its client, who was told of it and may ask for it later. */
  keep(id: string): void;
  /** Newest first, without their prompts and the vectors of their results. */
  list(filter: TaskFilter, reading: Reading): Promise<TaskPage>;
  /**
   * Cancels a task; resolves with it when its end is on disk. A running task has left its GPU by then.
   * @throws {AltLasError} `conflict`, with the final status in `details.status`: it has ended, maybe only just; `not_found`
   */
  cancel(id: string): Promise<TaskSnapshot>;
  /** Cancels all tasks that match and have not ended; resolves with their number when their ends are on disk. */
  cancelMatching(filter: CancelFilter): Promise<number>;
  /**
   * Submits the same again for the same user, as a new task.
   * @throws {AltLasError} `conflict`: the task has not ended; `text_gone`: its text is not stored; `not_found`; what `submit` throws
   */
  retry(id: string, idempotency: SubmitOptions["idempotency"]): Promise<Submission>;
  /** Removes a task that has ended. @returns it as it was @throws {AltLasError} `conflict`: it has not ended; `not_found` */
  remove(id: string): Promise<TaskSnapshot>;
  /** Lets a listener hear what becomes of a task from now on; null: it has ended, or there is no such task. */
  follow(id: string, listener: Listener): Following | null;
  /** A batch, whoever it belongs to. */
  batch(id: string): Promise<BatchSnapshot | null>;
  /**
   * The ended tasks of a batch, in the order of their ends.
   * @param follow whether to go on until all have ended
   * @param signal ends it early
   */
  batchResults(id: string, follow: boolean, signal: AbortSignal): AsyncIterable<ListedSnapshot>;
}
