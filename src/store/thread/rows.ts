/* The rows of tasks. */
import type { ErrorCode } from "../../errors.ts";
import { type Need, PLAIN_NEEDS, sharedNeeds, type Request, type Sampling } from "../../request.ts";
import type { TokenLogprob } from "../../output.ts";
import type { ListedTask } from "../tasks.ts";
import {
  attemptNumber,
  type FinishReason,
  type Priority,
  shownGpuId,
  type StrategyName,
  type Task,
  type TaskResult,
  type TaskStatus,
  type Webhook,
} from "../../task.ts";
import { errorWithoutText } from "../../gone-texts.ts";
import type { TaskTexts } from "../../texts.ts";
import type { CountChange, Owner } from "./counts.ts";
import { attemptsOf, storedAttempts } from "./attempts.ts";
import { placementOf, storedPlacement } from "./placements.ts";
import { storedUse, useOf } from "./uses.ts";
import { type Columns, namesOf, placesOf, type Row, rowMaker, type Value, withoutLastNulls } from "./columns.ts";

/** A new task on its way to the storage thread. */
export interface NewRow {
  /** Of the first ones of `INSERTED`. */
  readonly row: Row;
  /** Its request, if that is a long one; as text or as bytes of UTF-8. null: the row has it, or it is not to be stored. */
  readonly request: string | Uint8Array | null;
}

/** Characters of the longest request in the row of its task. A row is written anew at each change, which for a long request would be dear. */
const SHORT = 512;

/*
 * Columns that most tasks have come first in each list: a row ends with its last value that is not null, and the others need not cross to
 * the thread.
 */

/** Columns of `tasks` that never change once written. */
const IDENTITY = {
  seq: ({ seq }) => seq,
  id: ({ id }) => id,
  user: ({ user }) => user,
  strategy: ({ strategy }) => strategy,
  whole_batch: ({ wholeBatch }) => (wholeBatch ? 1 : 0),
  created_at: ({ createdAt }) => createdAt,
  size: ({ size }) => size,
  estimated_tokens: ({ estimatedTokens }) => estimatedTokens,
  sampling: ({ sampling, texts }) => JSON.stringify(texts === "never" ? withoutStop(sampling) : sampling),
  task_type: ({ taskType }) => taskType,
  priority: ({ priority }) => priority,
  key_name: ({ keyName }) => keyName,
} as const satisfies Columns<Task>;

/** Of these, too, but most tasks have none of them. */
const SELDOM = {
  model: ({ model }) => model,
  batch_id: ({ batchId }) => batchId,
  team: ({ team }) => team,
  pinned_gpu_id: ({ pinnedGpuId }) => pinnedGpuId,
  timeout_seconds: ({ timeoutSeconds }) => timeoutSeconds,
  retry_of: ({ retryOf }) => retryOf,
  webhook: ({ webhook }) => jsonOf(webhook),
  created_clock: ({ createdAt, createdClock }) => otherThan(createdAt, createdClock),
  texts: ({ texts }) => (texts === "keep" ? null : texts),
} as const satisfies Columns<Task>;

/** As JSON, without the sampling, which has a column of its own; null: it is long. */
const SHORT_REQUEST = {
  request: (_task, short) => short,
} as const satisfies Columns<Task, string | null>;

/** Columns that are written once, and read where a task is taken over. */
const FACTS = {
  prefix: ({ prefix, texts }) => (prefix.length === 0 || texts === "never" ? null : jsonOf(prefix)),
  needs: ({ needs }) => (needs === PLAIN_NEEDS ? null : jsonOf(needs)),
} as const satisfies Columns<Task>;

/** Columns that change while a task waits and runs. */
const STATE = {
  status: ({ status }) => status,
  attempts: (task) => storedAttempts(task),
  gpu_id: (task) => shownGpuId(task),
  started_at: ({ startedAt }) => startedAt,
  placement: ({ placement }) => storedPlacement(placement),
  ran_model: ({ ranModel }) => ranModel,
  used: ({ use }) => use && storedUse(use),
} as const satisfies Columns<Task>;

/** Of these, too. */
const SELDOM_STATE = {
  ends_with_client: ({ endsWithClient }) => (endsWithClient ? 1 : null),
} as const satisfies Columns<Task>;

/** Columns that a task gets at its end; until then all of them are NULL. */
const END = {
  finished_at: ({ finishedAt, finishedClock }) => finishedClock ?? finishedAt,
  result_text: (task) => storedResult(task)?.text ?? null,
  execution_time: ({ result }) => result && result.executionTime,
  result_timestamp: ({ result }) => result && result.timestamp,
  finish_reason: ({ result }) => result && result.finishReason,
  completion_tokens: ({ result }) => result && result.completionTokens,
  prompt_tokens: ({ result }) => result && result.promptTokens,
  cached_tokens: ({ result }) => result && result.cachedTokens,
} as const satisfies Columns<Task>;

/** Of these, too. */
const SELDOM_END = {
  reasoning: (task) => storedResult(task)?.reasoning ?? null,
  error_code: ({ error }) => error && error.code,
  error_sentence: ({ error, texts }) => error && (texts === "never" ? errorWithoutText(error) : error).sentence,
  beside: (task) => besideOf(storedResult(task)),
  embeddings: (task) => jsonOf(storedResult(task)?.embeddings ?? null),
  logprobs: (task) => jsonOf(storedResult(task)?.logprobs ?? null),
  finished_shown: ({ finishedAt, finishedClock }) => otherThan(finishedClock ?? finishedAt, finishedAt),
} as const satisfies Columns<Task>;

const NEW_COLUMNS = { ...IDENTITY, ...SHORT_REQUEST, ...STATE, ...FACTS, ...SELDOM, ...SELDOM_STATE } as const;
const ENDED_COLUMNS = { ...NEW_COLUMNS, ...END, ...SELDOM_END } as const;
const CHANGED_COLUMNS = {
  was: (_task, was) => was,
  user: ({ user }) => user,
  // Columns that are not written come before those that are: a row that ended with them would be longer than its statement.
  team: ({ team }) => team,
  seq: ({ seq }) => seq,
  ...STATE,
  // The largest part of the row, which only another attempt changes.
  placement: (task, was) => (was === "running" && attemptNumber(task) === 1 ? null : storedPlacement(task.placement)),
  ...END,
  ...SELDOM_STATE,
  ...SELDOM_END,
} as const satisfies Columns<Task, TaskStatus>;

/** The columns of a new task, of which its row has the first ones: the others are NULL. */
export const INSERTED = namesOf(ENDED_COLUMNS);
/** The column of a change that stays as it is where the change has NULL. */
export const KEPT_IF_NULL = "placement";
/** The columns of a change, of which its row has the first ones. */
export const CHANGED = namesOf(CHANGED_COLUMNS);
/** The columns of a stored task that change. Those that the row of a change does not reach become NULL. */
export const UPDATED = namesOf({ ...STATE, ...SELDOM_STATE, ...END, ...SELDOM_END });
/** The columns that a list reads of each task. */
export const LISTED = namesOf({ ...IDENTITY, ...SELDOM, ...STATE, ...SELDOM_STATE, ...END, ...SELDOM_END });

/** The columns that are read beside `LISTED` of a task that is taken over. */
export const TAKEN_OVER = [...LISTED, "prefix", "needs"] as const;

/** The indexes of values in a row of `TAKEN_OVER`, and of `LISTED`, which has fewer. */
const READ = placesOf(TAKEN_OVER);
/** The indexes in the row of a new task. */
export const IN_NEW = placesOf(INSERTED);
/** The indexes in the row of a change. */
export const IN_CHANGED = placesOf(CHANGED);

const rowOfLive = rowMaker<Task, string | null>(NEW_COLUMNS);
const rowOfEnded = rowMaker<Task, string | null>(ENDED_COLUMNS);
const changeOf = rowMaker<Task, TaskStatus>(CHANGED_COLUMNS);

/** The row for a task that is stored: a row of `UPDATED`, and what says which. @param was with which status */
export function changedRow(task: Task, was: TaskStatus): Row {
  return withoutLastNulls(changeOf(task, was));
}

/** How the numbers of tasks change by a new one. */
export function countOfNew(row: Row): CountChange {
  return [ownerIn(row, IN_NEW), row[IN_NEW.status] as TaskStatus, 1];
}

/** How they change by a change of one. */
export function countsOfChange(row: Row): [CountChange, CountChange] {
  const owner = ownerIn(row, IN_CHANGED);
  return [
    [owner, row[IN_CHANGED.was] as TaskStatus, -1],
    [owner, row[IN_CHANGED.status] as TaskStatus, 1],
  ];
}

function ownerIn(row: Row, { user, team }: Readonly<Record<keyof Owner, number>>): Owner {
  return { user: row[user] as string, team: (row[team] ?? null) as string | null };
}

/** @throws {Error} it has no request in memory */
export function newRow(task: Task): NewRow {
  if (task.request === null) throw new Error(`the request of the new task ${task.id} is not there`);
  const { finishedAt, result, error } = task;
  const isLive = (finishedAt ?? result ?? error) === null;
  const request = task.texts === "never" ? null : JSON.stringify({ ...task.request, sampling: undefined });
  const isShort = request !== null && request.length <= SHORT;
  const row = withoutLastNulls((isLive ? rowOfLive : rowOfEnded)(task, isShort ? request : null));
  return { row, request: isShort ? null : request };
}

/** A stored request, as JSON. Those that migration 0008 has brought over, and those before 0.2.0, have their sampling in them. */
export interface StoredRequest {
  readonly request: string;
  readonly sampling: string;
}

export function requestOf({ request, sampling }: StoredRequest): Request {
  return { sampling: JSON.parse(sampling), ...JSON.parse(request) } as Request;
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
  const life = lifeOf(row);
  return {
    id: row[READ.id] as string,
    seq: row[READ.seq] as number,
    user: row[READ.user] as string,
    keyName: row[READ.key_name] as string | null,
    team: row[READ.team] as string | null,
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
    texts: (row[READ.texts] as TaskTexts | null) ?? "keep",
    ...life,
    finishedClock,
    attempts: attemptsOf(row[READ.attempts] as string, life),
    placement: placementOf(row[READ.placement]),
    result: resultOf(row),
    error: errorOf(row),
    use: useOf(row[READ.used]),
  };
}

function lifeOf(row: Row): Pick<Task, "status" | "boundTo" | "gpuId" | "startedAt" | "finishedAt"> {
  return {
    status: row[READ.status] as TaskStatus,
    ...gpusOf(row),
    startedAt: row[READ.started_at] as number | null,
    finishedAt: (row[READ.finished_shown] ?? row[READ.finished_at]) as number | null,
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

/** The part of a result that is stored. Its numbers are, whatever becomes of its text. */
function storedResult({ result, texts }: Task): TaskResult | null {
  return texts === "never" ? null : result;
}

/** The texts that end an answer may be parts of it. */
export function withoutStop({ stop: _stop, ...sampling }: Sampling): Sampling {
  return sampling;
}

function besideOf(result: TaskResult | null): string | null {
  const { toolCalls, mismatch } = result ?? {};
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
