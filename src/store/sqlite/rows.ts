/* How a task looks as a row. Rows are plain arrays: they cross to the storage thread at half the cost of objects. */
import type { ErrorCode } from "../../errors.ts";
import type { ListedTask } from "../store.ts";
import type {
  Attempt,
  FinishReason,
  Placement,
  Priority,
  StrategyName,
  Task,
  TaskResult,
  TaskStatus,
  Webhook,
} from "../../task.ts";

export type Value = string | number | null;
export type Row = readonly Value[];
/** A row of `newRow` on its way to the storage thread: its prompt may be bytes of UTF-8. */
export type SentRow = readonly (Value | Uint8Array)[];

/** Columns of `tasks` that never change once written, in the order of a row. */
export const IDENTITY = [
  "seq",
  "id",
  "user",
  "strategy",
  "pinned_gpu_id",
  "batch_id",
  "whole_batch",
  "created_at",
  "max_length",
  "temperature",
  "task_type",
  "priority",
  "timeout_seconds",
  "retry_of",
  "webhook",
  "created_clock",
] as const;

/** Columns of `tasks` that change as the task lives, in the order of a row; the first is the status. */
export const CHANGING = [
  "status",
  "gpu_id",
  "started_at",
  "finished_at",
  "attempts",
  "placement",
  "result_text",
  "execution_time",
  "result_timestamp",
  "finish_reason",
  "prompt_tokens",
  "completion_tokens",
  "cached_tokens",
  "error_code",
  "error_sentence",
  "finished_shown",
] as const;

const FINISHED_SHOWN = IDENTITY.length + CHANGING.indexOf("finished_shown");

/** What `taskOf` needs beside `IDENTITY` and `CHANGING`. Telling a text's length reads none of it, however long it is. */
export const OF_REQUEST = ["t.prefix", "octet_length(p.text)"] as const;

/** A new task: its identity, what changes, how its prompt begins, and last its prompt. @throws {Error} its request is gone */
export function newRow(task: Task): Row {
  if (task.request === null) throw new Error(`the request of the new task ${task.id} is not there`);
  return [
    task.seq,
    task.id,
    task.user,
    task.strategy,
    task.pinnedGpuId,
    task.batchId,
    task.wholeBatch ? 1 : 0,
    task.createdAt,
    task.maxLength,
    task.temperature,
    task.taskType,
    task.priority,
    task.timeoutSeconds,
    task.retryOf,
    jsonOf(task.webhook),
    otherThan(task.createdAt, task.createdClock),
    ...changing(task),
    task.prefix.length === 0 ? null : jsonOf(task.prefix),
    task.request.text,
  ];
}

/** A task that is already stored: what changes, and last its `seq`. */
export function changedRow(task: Task): Row {
  return [...changing(task), task.seq];
}

function changing(task: Task): Row {
  const { result, error, placement } = task;
  return [
    task.status,
    task.gpuId,
    task.startedAt,
    task.finishedClock ?? task.finishedAt,
    JSON.stringify(task.attempts),
    jsonOf(placement),
    result === null ? null : result.text,
    result === null ? null : result.executionTime,
    result === null ? null : result.timestamp,
    result === null ? null : result.finishReason,
    result === null ? null : result.promptTokens,
    result === null ? null : result.completionTokens,
    result === null ? null : result.cachedTokens,
    error === null ? null : error.code,
    error === null ? null : error.sentence,
    otherThan(task.finishedClock ?? task.finishedAt, task.finishedAt),
  ];
}

/** The task of a row that goes on with `OF_REQUEST`, and maybe with its prompt. */
export function taskOf(row: Row): Task {
  const [prefix, bytes, text] = row.slice(IDENTITY.length + CHANGING.length);
  return {
    ...listedTaskOf(row),
    bytes: bytes as number,
    prefix: parsed<number[]>(prefix) ?? NO_PREFIX,
    request: typeof text === "string" ? { text } : null,
  };
}

const NO_PREFIX: readonly number[] = [];

/** As `taskOf`, for a row that tells nothing of the request. */
export function listedTaskOf(row: Row): ListedTask {
  const [seq, id, user, strategy, pinnedGpuId, batchId, wholeBatch, createdAt, maxLength, temperature, taskType] = row;
  const [priority, timeoutSeconds, retryOf, webhook, createdClock] = row.slice(IDENTITY.indexOf("priority"));
  const [status, gpuId, startedAt, finishedClock, attempts, placement] = row.slice(IDENTITY.length);
  return {
    id: id as string,
    seq: seq as number,
    user: user as string,
    strategy: strategy as StrategyName,
    pinnedGpuId: pinnedGpuId as number | null,
    batchId: batchId as string | null,
    wholeBatch: wholeBatch === 1,
    createdAt: createdAt as number,
    createdClock: (createdClock ?? createdAt) as number,
    waitsSince: (createdClock ?? createdAt) as number,
    maxLength: maxLength as number,
    temperature: temperature as number,
    taskType: taskType as string,
    priority: priority as Priority,
    timeoutSeconds: timeoutSeconds as number | null,
    retryOf: retryOf as string | null,
    webhook: parsed<Webhook>(webhook),
    status: status as TaskStatus,
    gpuId: gpuId as number | null,
    startedAt: startedAt as number | null,
    finishedAt: (row[FINISHED_SHOWN] ?? finishedClock) as number | null,
    finishedClock: finishedClock as number | null,
    attempts: JSON.parse(attempts as string) as Attempt[],
    placement: parsed<Placement>(placement),
    ...outcomeOf(row.slice(IDENTITY.length + CHANGING.indexOf("result_text"))),
  };
}

function outcomeOf(columns: Row): Pick<Task, "result" | "error"> {
  const [text, executionTime, timestamp, finishReason, promptTokens, completionTokens, ...rest] = columns;
  const [cachedTokens, code, sentence] = rest;
  const result: TaskResult | null =
    text === null
      ? null
      : {
          text: text as string,
          executionTime: executionTime as number,
          timestamp: timestamp as number,
          finishReason: finishReason as FinishReason,
          promptTokens: promptTokens as number | null,
          completionTokens: completionTokens as number,
          cachedTokens: cachedTokens as number | null,
        };
  const error = code === null ? null : { code: code as ErrorCode, sentence: sentence as string };
  return { result, error };
}

/** A time that is stored only when it differs from another one, as it does after the wall clock was set. */
function otherThan(usual: number | null, time: number | null): number | null {
  return time === usual ? null : time;
}

export function jsonOf(value: object | null): string | null {
  return value === null ? null : JSON.stringify(value);
}

/** What `jsonOf` made of a value of that type. */
export function parsed<T>(json: Value | undefined): T | null {
  return typeof json === "string" ? (JSON.parse(json) as T) : null;
}

/** In its texts. */
export function charactersOfRow(row: Row): number {
  let characters = 0;
  for (const value of row) characters += typeof value === "string" ? value.length : 0;
  return characters;
}
