/* The hourly rows of usage: how the ends of tasks are counted, and what rows that are read say. */
import { isFinal, type Task } from "../../task.ts";
import { queuedSeconds } from "../../task-use.ts";
import { addUsage, type UsageRow, type UsageSums } from "../usage.ts";
import type { StoredStatuses } from "./stored-statuses.ts";
import { type Columns, namesOf, placesOf, type Row, rowMaker, type Value } from "./columns.ts";

/** Milliseconds. */
export const HOUR = 3_600_000;
/** In the table's key, which may have no NULL. */
const NO_NAME = "";
const NO_GPU = -1;
const KEY = {
  hour: ({ hour }) => hour,
  user: ({ user }) => user,
  team: ({ team }) => team ?? NO_NAME,
  key_name: ({ key }) => key ?? NO_NAME,
  model: ({ model }) => model ?? NO_NAME,
  gpu_id: ({ gpu }) => gpu ?? NO_GPU,
} as const satisfies Columns<UsageRow>;

const SUMS = {
  completed: ({ completed }) => completed,
  failed: ({ failed }) => failed,
  canceled: ({ canceled }) => canceled,
  prompt_tokens: ({ promptTokens }) => promptTokens,
  completion_tokens: ({ completionTokens }) => completionTokens,
  cached_tokens: ({ cachedTokens }) => cachedTokens,
  gpu_seconds: ({ gpuSeconds }) => gpuSeconds,
  energy_joules: ({ energyJoules }) => energyJoules,
  queued_seconds: ({ queuedSeconds: queued }) => queued,
} as const satisfies Columns<UsageRow>;

export const USAGE = namesOf({ ...KEY, ...SUMS });
export const USAGE_SUMS = namesOf(SUMS);
export const USAGE_KEY = namesOf(KEY);
const IN_ROW = placesOf(USAGE);
const rowOf = rowMaker<UsageRow>({ ...KEY, ...SUMS });

/**
 * The usage of those among some tasks that end with this write: one row for all that have the same key.
 */
export function endedUsage(tasks: Iterable<Task>, stored: Pick<StoredStatuses, "get">): Row[] {
  // Few: one commit has tasks of some users, on some GPUs. A name for each task's key would cost more than looking through them.
  const rows: UsageRow[] = [];
  for (const task of tasks) {
    if (!isFinal(task.status)) continue;
    const was = stored.get(task);
    // Its end is stored, and counted.
    if (was !== undefined && isFinal(was)) continue;
    const usage = usageOf(task);
    const others = rows.find((row) => hasKeyOf(row, usage));
    if (others === undefined) rows.push(usage);
    else addUsage(others, usage);
  }
  return rows.map((row) => rowOf(row));
}

function hasKeyOf(row: UsageRow, other: UsageRow): boolean {
  return (
    row.gpu === other.gpu &&
    row.hour === other.hour &&
    row.user === other.user &&
    row.key === other.key &&
    row.model === other.model &&
    row.team === other.team
  );
}

function usageOf(task: Task): UsageRow {
  const { use, status, user, team, keyName, finishedAt, createdAt, attempts } = task;
  return {
    hour: Math.floor((finishedAt ?? createdAt) / HOUR),
    user,
    team,
    key: keyName,
    model: task.ranModel ?? task.model,
    gpu: attempts.at(-1)?.gpuId ?? null,
    completed: status === "completed" ? 1 : 0,
    failed: status === "failed" ? 1 : 0,
    canceled: status === "canceled" ? 1 : 0,
    promptTokens: use?.promptTokens ?? null,
    completionTokens: use?.completionTokens ?? 0,
    cachedTokens: use?.cachedTokens ?? null,
    gpuSeconds: use?.gpuSeconds ?? 0,
    energyJoules: use?.energyJoules ?? null,
    queuedSeconds: queuedSeconds(task, finishedAt ?? createdAt),
  };
}

/** The column of each key. */
export const COLUMN_OF = {
  hour: "hour",
  user: "user",
  team: "team",
  key: "key_name",
  model: "model",
  gpu: "gpu_id",
} as const;

/** The usage of a row that was read. */
export function usageOfRow(row: Row): UsageRow {
  const gpu = row[IN_ROW.gpu_id] as number | null;
  return {
    hour: row[IN_ROW.hour] as number | null,
    user: row[IN_ROW.user] as string | null,
    team: named(row[IN_ROW.team]),
    key: named(row[IN_ROW.key_name]),
    model: named(row[IN_ROW.model]),
    gpu: gpu === NO_GPU ? null : gpu,
    ...sumsOf(row),
  };
}

function named(value: Value | undefined): string | null {
  return value === NO_NAME ? null : (value as string | null);
}

function sumsOf(row: Row): UsageSums {
  return {
    completed: row[IN_ROW.completed] as number,
    failed: row[IN_ROW.failed] as number,
    canceled: row[IN_ROW.canceled] as number,
    promptTokens: row[IN_ROW.prompt_tokens] as number | null,
    completionTokens: row[IN_ROW.completion_tokens] as number,
    cachedTokens: row[IN_ROW.cached_tokens] as number | null,
    gpuSeconds: row[IN_ROW.gpu_seconds] as number,
    energyJoules: row[IN_ROW.energy_joules] as number | null,
    queuedSeconds: row[IN_ROW.queued_seconds] as number,
  };
}
