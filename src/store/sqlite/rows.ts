/* The rows of tasks. */
import type { ErrorCode } from "../../errors.ts";
import { completionOf, type Need, PLAIN_NEEDS, sharedNeeds, type Request, type Sampling } from "../../request.ts";
import { type TokenLogprob } from "../../output.ts";
import type { ListedTask } from "../tasks.ts";
import {
  type Attempt,
  type FinishReason,
  newTask,
  type Placement,
  type Priority,
  shownGpuId,
  type StrategyName,
  type Task,
  type TaskResult,
  type TaskStatus,
  type Webhook,
} from "../../task.ts";
import { storedUse, useOf } from "./uses.ts";
import { namesOf, placesOf, type Row, type Value } from "./columns.ts";

type Values = Readonly<Record<string, Value>>;

/** A new task on its way to the storage thread. */
export interface NewRow {
  /** Of `INSERTED_LIVE`, or of a task that has ended, of `INSERTED`. */
  readonly row: Row;
  /** Its request without the sampling, which the task's row has, as JSON; a long one is bytes of UTF-8. */
  readonly request: string | Uint8Array;
}

/** Columns of `tasks` that never change once written. */
function identityOf(task: Task) {
  return {
    seq: task.seq,
    id: task.id,
    user: task.user,
    strategy: task.strategy,
    pinned_gpu_id: task.pinnedGpuId,
    batch_id: task.batchId,
    whole_batch: task.wholeBatch ? 1 : 0,
    created_at: task.createdAt,
    size: task.size,
    estimated_tokens: task.estimatedTokens,
    sampling: JSON.stringify(task.sampling),
    task_type: task.taskType,
    priority: task.priority,
    timeout_seconds: task.timeoutSeconds,
    retry_of: task.retryOf,
    webhook: jsonOf(task.webhook),
    created_clock: otherThan(task.createdAt, task.createdClock),
    model: task.model,
    key_name: task.keyName,
  } satisfies Values;
}

/** Columns that are written once, and read where a task is taken over. */
function factsOf({ prefix, needs }: Task) {
  return {
    prefix: prefix.length === 0 ? null : jsonOf(prefix),
    needs: needs === PLAIN_NEEDS ? null : jsonOf(needs),
  } satisfies Values;
}

/** Columns that change while a task waits and runs. */
function stateOf(task: Task) {
  const { placement, use } = task;
  return {
    status: task.status,
    gpu_id: shownGpuId(task),
    started_at: task.startedAt,
    attempts: JSON.stringify(task.attempts),
    placement: placement === null ? null : placementJson(placement),
    ran_model: task.ranModel,
    used: use === null ? null : storedUse(use),
    ends_with_client: task.endsWithClient ? 1 : null,
  } satisfies Values;
}

/** Columns that a task gets at its end; until then all of them are NULL. */
function endOf({ result, error, finishedAt, finishedClock }: Task) {
  return {
    finished_at: finishedClock ?? finishedAt,
    finished_shown: otherThan(finishedClock ?? finishedAt, finishedAt),
    result_text: result === null ? null : result.text,
    reasoning: result === null ? null : (result.reasoning ?? null),
    embeddings: result === null ? null : jsonOf(result.embeddings ?? null),
    beside: result === null ? null : besideOf(result),
    logprobs: result === null ? null : jsonOf(result.logprobs ?? null),
    execution_time: result === null ? null : result.executionTime,
    result_timestamp: result === null ? null : result.timestamp,
    finish_reason: result === null ? null : result.finishReason,
    prompt_tokens: result === null ? null : result.promptTokens,
    completion_tokens: result === null ? null : result.completionTokens,
    cached_tokens: result === null ? null : result.cachedTokens,
    error_code: error === null ? null : error.code,
    error_sentence: error === null ? null : error.sentence,
  } satisfies Values;
}

/** Any task: the names of the columns are those of its row. */
const ANY = newTask({
  id: "",
  seq: 0,
  user: "",
  strategy: "random",
  pinnedGpuId: null,
  batchId: null,
  wholeBatch: false,
  retryOf: null,
  webhook: null,
  createdAt: 0,
  request: completionOf(""),
  taskType: "",
  priority: "normal",
  timeoutSeconds: null,
  model: null,
});
const IDENTITY = namesOf(identityOf(ANY));
const STATE = namesOf(stateOf(ANY));
const END = namesOf(endOf(ANY));

/** The columns of a new task that has not ended. */
export const INSERTED_LIVE = [...IDENTITY, ...namesOf(factsOf(ANY)), ...STATE] as const;
/** The columns of a new task that has: those, and the columns of its end. */
export const INSERTED = [...INSERTED_LIVE, ...END] as const;
/** The columns of a stored task that change. */
export const UPDATED = [...STATE, ...END] as const;
/** The columns that a list reads of each task. */
export const LISTED = [...IDENTITY, ...UPDATED] as const;

/** The columns that are read beside `LISTED` of a task that is taken over. */
export const TAKEN_OVER = [...LISTED, "prefix", "needs"] as const;

/** The indexes of values in a row of `TAKEN_OVER`, and of `LISTED`, which has fewer. */
const READ = placesOf(TAKEN_OVER);
/** The indexes in the row of a new task. */
export const IN_NEW = placesOf(INSERTED);
/** The indexes in the row of a change: the stored status, the task's user, `UPDATED`, and the task's `seq`. */
export const IN_CHANGED = placesOf(["was", "user", ...UPDATED, "seq"]);

/** @throws {Error} it has no request in memory */
export function newRow(task: Task): NewRow {
  if (task.request === null) throw new Error(`the request of the new task ${task.id} is not there`);
  const { sampling: _sampling, ...rest } = task.request;
  const live = [...Object.values(identityOf(task)), ...Object.values(factsOf(task)), ...Object.values(stateOf(task))];
  const { finishedAt, result, error } = task;
  const isLive = (finishedAt ?? result ?? error) === null;
  const row = isLive ? live : [...live, ...Object.values(endOf(task))];
  return { row, request: JSON.stringify(rest) };
}

/** A stored request, as JSON. Those that migration 0008 has brought over, and those before 0.2.0, have their sampling in them. */
export interface StoredRequest {
  readonly request: string;
  readonly sampling: string;
}

export function requestOf({ request, sampling }: StoredRequest): Request {
  return { sampling: JSON.parse(sampling), ...JSON.parse(request) } as Request;
}

/** The row for a task that is stored. @param was with which status */
export function changedRow(task: Task, was: TaskStatus): Row {
  return [was, task.user, ...Object.values(stateOf(task)), ...Object.values(endOf(task)), task.seq];
}

/** The task of a row of `TAKEN_OVER`. */
export function taskOf(row: Row): Task {
  return {
    ...listedTaskOf(row),
    size: row[READ.size] as number,
    estimatedTokens: row[READ.estimated_tokens] as number,
    prefix: parsed<number[]>(row[READ.prefix]) ?? NO_PREFIX,
    needs: needsOf(row),
    request: null,
  };
}

function needsOf(row: Row): readonly Need[] {
  const needs = parsed<Need[]>(row[READ.needs]);
  return needs === null ? PLAIN_NEEDS : sharedNeeds(needs);
}

const NO_PREFIX: readonly number[] = [];

/** The task of a row of `LISTED`. */
export function listedTaskOf(row: Row): ListedTask {
  const createdAt = row[READ.created_at] as number;
  const createdClock = (row[READ.created_clock] as number | null) ?? createdAt;
  const finishedClock = row[READ.finished_at] as number | null;
  return {
    id: row[READ.id] as string,
    seq: row[READ.seq] as number,
    user: row[READ.user] as string,
    keyName: row[READ.key_name] as string | null,
    strategy: row[READ.strategy] as StrategyName,
    pinnedGpuId: row[READ.pinned_gpu_id] as number | null,
    batchId: row[READ.batch_id] as string | null,
    wholeBatch: row[READ.whole_batch] === 1,
    createdAt,
    createdClock,
    waitsSince: createdClock,
    sampling: samplingOf(row),
    taskType: row[READ.task_type] as string,
    priority: row[READ.priority] as Priority,
    timeoutSeconds: row[READ.timeout_seconds] as number | null,
    model: row[READ.model] as string | null,
    ranModel: row[READ.ran_model] as string | null,
    retryOf: row[READ.retry_of] as string | null,
    webhook: parsed<Webhook>(row[READ.webhook]),
    endsWithClient: row[READ.ends_with_client] === 1,
    status: row[READ.status] as TaskStatus,
    ...gpusOf(row),
    startedAt: row[READ.started_at] as number | null,
    finishedAt: (row[READ.finished_shown] as number | null) ?? finishedClock,
    finishedClock,
    attempts: JSON.parse(row[READ.attempts] as string) as Attempt[],
    placement: parsed<Placement>(row[READ.placement]),
    result: resultOf(row),
    error: errorOf(row),
    use: useOf(row[READ.used]),
  };
}

let lastSampling: { readonly json: string; readonly sampling: Sampling } | null = null;

/**
 * Successive tasks mostly have the same value, and then share it. A task whose text was lost under an earlier version was not brought over:
 * two of its columns still have the old numbers (0008-requests.sql). It must not make every list fail.
 */
function samplingOf(row: Row): Sampling {
  const json = row[READ.sampling] as string | null;
  if (json === null) {
    return { maxTokens: row[READ.size] as number, temperature: row[READ.estimated_tokens] as number };
  }
  if (lastSampling?.json !== json) lastSampling = { json, sampling: JSON.parse(json) as Sampling };
  return lastSampling.sampling;
}

/** One column has both: in a task without a start it is the GPU that the task is or was bound to. */
function gpusOf(row: Row): Pick<Task, "boundTo" | "gpuId"> {
  const shown = row[READ.gpu_id] as number | null;
  if (row[READ.started_at] === null) return { boundTo: shown, gpuId: null };
  const isWhole = row[READ.whole_batch] === 1;
  return { boundTo: isWhole ? shown : (row[READ.pinned_gpu_id] as number | null), gpuId: shown };
}

function resultOf(row: Row): TaskResult | null {
  const text = row[READ.result_text];
  if (typeof text !== "string") return null;
  const reasoning = row[READ.reasoning] as string | null;
  const embeddings = parsed<string[]>(row[READ.embeddings]);
  const logprobs = parsed<TokenLogprob[]>(row[READ.logprobs]);
  return {
    text,
    ...(reasoning !== null && { reasoning }),
    ...(embeddings && { embeddings }),
    ...(logprobs && { logprobs }),
    ...parsed<Beside>(row[READ.beside]),
    executionTime: row[READ.execution_time] as number,
    timestamp: row[READ.result_timestamp] as number,
    finishReason: row[READ.finish_reason] as FinishReason,
    promptTokens: row[READ.prompt_tokens] as number | null,
    completionTokens: row[READ.completion_tokens] as number,
    cachedTokens: row[READ.cached_tokens] as number | null,
  };
}

/** Small parts of a result, of which most have none. */
type Beside = Pick<TaskResult, "toolCalls" | "mismatch">;

function besideOf({ toolCalls, mismatch }: TaskResult): string | null {
  return toolCalls === undefined && mismatch === undefined ? null : JSON.stringify({ toolCalls, mismatch });
}

function errorOf(row: Row): Task["error"] {
  const code = row[READ.error_code];
  return code === null ? null : { code: code as ErrorCode, sentence: row[READ.error_sentence] as string };
}

/** A time that is stored only when it differs from another one, as it does after the wall clock was set. */
function otherThan(usual: number | null, time: number | null): number | null {
  return time === usual ? null : time;
}

/** A placement never changes, and is written with each change of its task. */
const placements = new WeakMap<Placement, string>();

function placementJson(placement: Placement): string {
  let json = placements.get(placement);
  if (json === undefined) placements.set(placement, (json = JSON.stringify(placement)));
  return json;
}

export function jsonOf(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}

/** Reads the JSON that `jsonOf` made of a value of that type. */
export function parsed<T>(json: Value | undefined): T | null {
  return typeof json === "string" ? (JSON.parse(json) as T) : null;
}

/** In its texts. */
export function charactersOfRow(row: Row): number {
  let characters = 0;
  for (const value of row) characters += typeof value === "string" ? value.length : 0;
  return characters;
}
