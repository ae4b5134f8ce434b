/*
 * The terms of this project, one word for one idea.
 *
 *   request     one immutable value: what a model is to compute (request.ts); its output is a sequence of deltas (output.ts)
 *   task        the envelope of one request: user, priority, deadline, wishes for a GPU; it ends in exactly one final status
 *   GPU         the thing behind a gpu_id: an accelerator, several that hold one model together, or a stand-in (a CPU device, a server)
 *   instance    one model on one GPU, with its worker, its state and its slots; a slot holds one running task
 *   worker      the code that runs one instance, reached over a channel: a process of its own, or in tests a part of this one
 *   engine      generates text inside a worker
 *   strategy    the rule that picks an instance; a placement is its decision for one task, with the reasons
 *   attempt     one time that a task was given to a GPU; the run is the same attempt as its worker sees it
 *   suspect     a task under which a worker died: it runs alone, on an instance that is reserved for it
 *   caller      a user as the scheduler sees it; callers share work, which is counted in tokens
 *   eligible    an instance that may take a given task now; available: one that may take some task that is no suspect
 *   crowded     a GPU whose external load (of programs that are not this server's) is above a threshold, or whose server is full
 */
import type { ErrorCode } from "./errors.ts";
import type { Content, Delta } from "./output.ts";
import type { Why, WhyNot } from "./reasons.ts";
import type { TaskUse } from "./task-use.ts";
import type { TaskTexts, Texts } from "./texts.ts";
import { factsOf, type Request, type RequestFacts, type Sampling } from "./request.ts";

export const STRATEGIES = ["round_robin", "least_loaded", "memory_optimized", "task_specific", "random"] as const;
export type StrategyName = (typeof STRATEGIES)[number];

export const TASK_STATUSES = ["queued", "running", "completed", "failed", "canceled"] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

/** From first to last; within one caller's tasks. */
export const PRIORITIES = ["high", "normal", "low"] as const;
export type Priority = (typeof PRIORITIES)[number];

/**
 * Why generation ended: the model ended it; it reached `max_length` or the end of the context; or it was stopped, and the text is cut
 * there.
 */
export const FINISH_REASONS = ["stop", "length", "canceled", "timeout"] as const;
export type FinishReason = (typeof FINISH_REASONS)[number];

/** The wishes of a client; one item of a batch has the same fields. */
export interface TaskInput extends TaskSettings {
  readonly request: Request;
  /** Set: without a `model` it means any, whichever model has its type. */
  readonly anyModel?: boolean;
  /** Facts that the API that it came by needs later, in that API's own words; stored beside the task. Absent: none. */
  readonly note?: string;
  /** How long its texts may be stored at most; absent: as the configuration says for its user. */
  readonly texts?: Texts | undefined;
}

/** The settings of a task beside its request. */
export interface TaskSettings {
  readonly taskType: string;
  readonly priority: Priority;
  /** Seconds from the submission after which it fails; null: it may take any time. */
  readonly timeoutSeconds: number | null;
  /** The name of the model that it asks for; null: any may run it. */
  readonly model: string | null;
}

/** The events that a webhook can be told. */
export const TASK_EVENTS = ["task.running", "task.completed", "task.failed", "task.canceled"] as const;
export const BATCH_EVENTS = [...TASK_EVENTS, "batch.completed"] as const;
export type WebhookEvent = (typeof BATCH_EVENTS)[number];

/** The receiver of events about a task or a batch, and the events that it wants. */
export interface Webhook {
  readonly url: string;
  readonly events: readonly WebhookEvent[];
}

export interface TaskResult extends Content {
  /** Seconds from the start on the GPU to the last token. */
  readonly executionTime: number;
  /** Unix time in milliseconds of the last token. */
  readonly timestamp: number;
  readonly finishReason: FinishReason;
  /** null: the server behind the GPU did not tell. */
  readonly promptTokens: number | null;
  readonly completionTokens: number;
  /** Tokens of the prompt that were in the KV cache already; null: not told. */
  readonly cachedTokens: number | null;
  /** One sentence: why the text is not of the form that was asked for; absent: it is, or none was. */
  readonly mismatch?: string;
}

/** Why a task failed, or a run did. */
export interface TaskError {
  readonly code: ErrorCode;
  /** A sentence that a person can act on. */
  readonly sentence: string;
}

/** How a run ended. */
export type Outcome = Ending | CutOff;

/** A run has ended, and its task with it. */
export type Ending =
  | { readonly status: "completed"; readonly result: TaskResult }
  | { readonly status: "failed"; readonly error: TaskError }
  /** It was stopped on request; `result` has the text so far, if it had a slot. */
  | { readonly status: "canceled"; readonly result?: TaskResult };

/** A run was cut off, but its task goes on: another GPU may do it, or the same one later. */
export interface CutOff {
  readonly status: "interrupted";
  readonly reason: Extract<Interruption, "out_of_memory" | "gpu_lost" | "gpu_full" | "machine_lost">;
  /** The engine's report about it. */
  readonly sentence: string;
  /** Of `gpu_full`: seconds after which the server may take tasks again; absent: not known. */
  readonly retryAfter?: number;
}

/** Hears of one run, from its worker. It is called between two tokens, so it must be fast and must not throw. */
export interface RunSink {
  /** New output of one step. @param before the position where it begins in the run's output */
  delta(delta: Delta, before: number): void;
  /** The run has ended and its slot is free; all its output has been told. Nothing follows. A run that is cut off does not end so. */
  ended(outcome: Outcome): void;
  /** Of a run elsewhere whose output nobody reads: it has its first; later somebody reads, and all of its output is here. */
  begun?(): void;
  caughtUp?(): void;
}

/**
 * The causes that cut off a running task. `worker_crash`: the worker died, and the task may be the cause; `gpu_lost`: the GPU failed or is
 * gone; `out_of_memory`: the GPU had no memory left for the task; `gpu_full`: the server behind the GPU took no more at that moment;
 * `worker_stopped`: the worker ended for a reason that has nothing to do with the task; `gpu_drained`: an operator wanted the GPU free;
 * `machine_lost`: the machine of a cluster on which it ran is gone, or was stopped;
 * `server_stop` and `server_restart`: the server was stopped, or died.
 */
export type Interruption =
  | "worker_crash"
  | "gpu_lost"
  | "out_of_memory"
  | "gpu_full"
  | "worker_stopped"
  | "gpu_drained"
  | "machine_lost"
  | "server_stop"
  | "server_restart";

/** One time the task was given to a GPU. Times are Unix milliseconds. */
export interface Attempt {
  readonly gpuId: number;
  readonly startedAt: number;
  endedAt: number | null;
  /** Why it ended: a final status, or the cause that cut it off. */
  reason: "completed" | "failed" | "canceled" | "timeout" | Interruption | null;
  /** Of a `worker_crash`: nothing else ran on the worker when it died. */
  alone?: boolean;
  /** Of a `gpu_lost`: the GPU computed nonsense, for this task or for another one there; absent: it did not. */
  nonsense?: true;
  /** Details in one sentence, such as a server's own words; absent: the reason is enough. */
  error?: string;
  /** Attempts before this one that are not kept, because the server behind their GPU was full; absent: none. */
  unlisted?: number;
}

/** The number of a task's last attempt, from 1; 0: there was none. */
export function attemptNumber({ attempts }: { readonly attempts: readonly Readonly<Attempt>[] }): number {
  let number = 0;
  for (const { unlisted = 0 } of attempts) number += 1 + unlisted;
  return number;
}

/** Why a task went to its GPU; stored with the task. */
export interface Placement {
  readonly strategy: StrategyName | "pinned" | "batch";
  readonly gpuId: number;
  /** A sentence: of a task that an earlier version stored. */
  readonly reason: Why | string;
  /** The winner first, then at most seven others, each with the figure the strategy compared (null: none). */
  readonly candidates: readonly { readonly gpuId: number; readonly score: number | null }[];
  /** GPUs that were not listed above. */
  readonly others: CountsByReason;
  /** Tokens that its answer was expected to have; absent: an earlier version placed it. */
  readonly expectedTokens?: number;
}

/** GPUs counted by why they were not chosen. Of a task that an earlier version stored, the keys are words instead of codes. */
export type CountsByReason = Readonly<Partial<Record<WhyNot, number>>>;

/**
 * A task with its whole life. Only `transition` changes its status. Times are Unix milliseconds. Shown times are the wall clock's, and
 * never go backwards within a task. Decisions use the server's clock (clock.ts).
 */
export interface Task extends TaskSettings, RequestFacts {
  readonly id: string;
  /** Submission order over the whole life of the data directory. */
  readonly seq: number;
  /** The user it belongs to. */
  readonly user: string;
  /** The name of the API key that it came with; null: it came with a password, without any, or under an earlier version. */
  readonly keyName: string | null;
  /** The team that its user was in when it was submitted; null: none, or an earlier version stored it. */
  readonly team: string | null;
  readonly strategy: StrategyName;
  /** Set: it runs on that GPU or nowhere. */
  readonly pinnedGpuId: number | null;
  readonly batchId: string | null;
  /** The batch was sent with `batch_split: false`: all of it runs on one GPU. */
  readonly wholeBatch: boolean;
  /** The task it was made from by a retry. */
  readonly retryOf: string | null;
  /** The webhook of this task; a batch has its own beside it. */
  readonly webhook: Webhook | null;
  /**
   * Its client alone can receive what it gives, over a connection that is open: it is canceled when that closes, and at the next start of
   * the server if the server stops before. Only `TaskBook` changes it, once the client was told of the task and may come back for it.
   */
  endsWithClient: boolean;
  readonly texts: TaskTexts;
  readonly createdAt: number;
  /** `createdAt` by the server's clock. */
  readonly createdClock: number;
  /** When its present or last wait began, by the server's clock. A refusal by a full server does not begin a new wait. */
  waitsSince: number;
  status: TaskStatus;
  /** The GPU that alone may run it, because it is pinned or its batch is not to be split; null: any may. */
  boundTo: number | null;
  /** The GPU that runs it, or ran it last; null: none has, or it waits again. */
  gpuId: number | null;
  /** The name of the model that runs it, or ran it last; null: none has, or an earlier version stored it. */
  ranModel: string | null;
  startedAt: number | null;
  finishedAt: number | null;
  /** `finishedAt` by the server's clock. */
  finishedClock: number | null;
  readonly attempts: Attempt[];
  placement: Placement | null;
  result: TaskResult | null;
  error: TaskError | null;
  /** Its costs so far; null: it has not run, or under an earlier version only. */
  use: TaskUse | null;
  /** In memory until it is stored, and while the budget allows; null: the store has it. Only `Requests` changes it in a live task. */
  request: Request | null;
  /** The sampling of its request, to be shown where the request is not in memory. */
  readonly sampling: Sampling;
}

/** The facts about a task before it has waited or run. */
export type TaskIdentity = Omit<
  Task,
  | "request"
  | "sampling"
  | keyof RequestFacts
  | "waitsSince"
  | "status"
  | "boundTo"
  | "gpuId"
  | "ranModel"
  | "startedAt"
  | "finishedAt"
  | "finishedClock"
  | "attempts"
  | "placement"
  | "result"
  | "error"
  | "use"
>;

/** Facts that need not be named. */
type Usual = "createdClock" | "endsWithClient" | "keyName" | "team" | "texts";

/**
 * A new task: it waits, for the GPU that it is pinned to or for any. Without a `createdClock` both clocks agreed when it was made.
 */
export function newTask(
  known: Omit<TaskIdentity, Usual> & Partial<Pick<TaskIdentity, Usual>> & Pick<TaskInput, "request">,
): Task {
  const { request, createdClock = known.createdAt, pinnedGpuId, endsWithClient = false } = known;
  const { keyName = null, team = null, texts = "keep" } = known;
  const { size, estimatedTokens, prefix, needs } = factsOf(request);
  // Field by field: an object spread from others takes several times as long to make, and is slower to read afterwards.
  return {
    id: known.id,
    seq: known.seq,
    user: known.user,
    keyName,
    team,
    strategy: known.strategy,
    pinnedGpuId,
    batchId: known.batchId,
    wholeBatch: known.wholeBatch,
    retryOf: known.retryOf,
    webhook: known.webhook,
    endsWithClient,
    texts,
    taskType: known.taskType,
    priority: known.priority,
    timeoutSeconds: known.timeoutSeconds,
    model: known.model,
    createdAt: known.createdAt,
    createdClock,
    size,
    estimatedTokens,
    prefix,
    needs,
    waitsSince: createdClock,
    status: "queued",
    boundTo: pinnedGpuId,
    gpuId: null,
    ranModel: null,
    startedAt: null,
    finishedAt: null,
    finishedClock: null,
    attempts: [],
    placement: null,
    result: null,
    error: null,
    use: null,
    request,
    sampling: request.sampling,
  };
}

/**
 * Bytes of a task's text that have to fit into a context together. An engine takes the inputs of an embedding one by one, and alone knows
 * which is too long.
 */
export function promptBytes({ needs, size }: Pick<Task, "needs" | "size">): number {
  return needs[0] === "embedding" ? 0 : size;
}

/** Tasks that were submitted together. Times are Unix milliseconds. */
export interface Batch {
  readonly id: string;
  readonly user: string;
  /** The team that its user was in when it came; null: none. */
  readonly team: string | null;
  /** Of its first task; the others follow without a gap. */
  readonly firstSeq: number;
  /** Tasks submitted. */
  readonly size: number;
  /** It was sent with `batch_split: false`. */
  readonly whole: boolean;
  /** The webhook for the batch itself, and for its tasks. */
  readonly webhook: Webhook | null;
  readonly createdAt: number;
  /** When the last of its tasks had ended; null: some have not. */
  finishedAt: number | null;
  /** Of a batch whose tasks come little by little, from the lines of a file; null: they all came at once. */
  lines: BatchLines | null;
}

/** The lines of a batch that are no tasks. The index of a line is that of its task in the batch. */
export interface BatchLines {
  /** Yet to become tasks, or to be refused; they follow those that have. */
  readonly toCome: number;
  /** Refused, or too late. */
  readonly failed: number;
  readonly canceled: number;
  /** Where the first line to come begins, in the words of whoever reads them. */
  readonly place: number;
  /** No line becomes a task any more, since this time; null: each may. */
  readonly closed: { readonly why: LinesClosed; readonly at: number } | null;
}

/** `failed`: they cannot be read any more. */
export type LinesClosed = "canceled" | "expired" | "failed";

const NEXT: Readonly<Record<TaskStatus, readonly TaskStatus[]>> = {
  queued: ["running", "canceled", "failed"],
  running: ["completed", "failed", "canceled", "queued"],
  completed: [],
  failed: [],
  canceled: [],
};

/** Whether a status never changes again. */
export function isFinal(status: TaskStatus): boolean {
  return NEXT[status].length === 0;
}

/**
 * Moves a task to another status; the only place where a status changes.
 * @throws {Error} when the transition is not one of the legal ones, which is a bug of the caller
 */
export function transition(task: Task, to: TaskStatus): void {
  if (!NEXT[task.status].includes(to)) throw new Error(`task ${task.id} cannot go from ${task.status} to ${to}`);
  task.status = to;
}

/** The GPU that is shown and stored with a task: where it runs or ran, else the one it waits or waited for; null: none yet. */
export function shownGpuId({ gpuId, boundTo }: Readonly<Pick<Task, "gpuId" | "boundTo">>): number | null {
  return gpuId ?? boundTo;
}

/** The latest time that a task shows. */
export function latestTime({
  createdAt,
  startedAt,
  finishedAt,
  attempts,
}: Readonly<Pick<Task, "createdAt" | "startedAt" | "finishedAt" | "attempts">>): number {
  const { startedAt: begun = 0, endedAt } = attempts.at(-1) ?? {};
  return Math.max(createdAt, startedAt ?? 0, finishedAt ?? 0, begun, endedAt ?? 0);
}
