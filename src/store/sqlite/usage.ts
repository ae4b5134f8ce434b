/* The hourly rows of usage: how the ends of tasks are counted, and how they are read. */
import { isFinal, type Task, type TaskStatus } from "../../task.ts";
import { queuedSeconds } from "../../task-use.ts";
import {
  addUsage,
  USAGE_COLUMNS,
  type UsageColumn,
  type UsageFilter,
  type UsageRow,
  type UsageSums,
} from "../usage.ts";
import { type Columns, namesOf, placesOf, type Row, rowMaker, type Value } from "./columns.ts";
import type { Statements } from "./statements.ts";

/** Milliseconds. */
const HOUR = 3_600_000;
/** In the table's key, which may have no NULL. */
const NO_NAME = "";
const NO_GPU = -1;
/** Rows that one step of a sweep removes at most. */
const STEP = 500;

const KEY = {
  hour: ({ hour }) => hour,
  user: ({ user }) => user,
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

const NAMES = namesOf({ ...KEY, ...SUMS });
const SUM_NAMES = namesOf(SUMS);
const KEY_NAMES = namesOf(KEY);
const IN_ROW = placesOf(NAMES);
const rowOf = rowMaker<UsageRow>({ ...KEY, ...SUMS });

/** A sum of which either side may not be known. */
const ADDED = SUM_NAMES.map((name) => `${name} = coalesce(${name} + excluded.${name}, ${name}, excluded.${name})`);
const ADD = `INSERT INTO usage_hours (${NAMES.join()}) VALUES (${NAMES.map(() => "?").join()})
  ON CONFLICT (${KEY_NAMES.join()}) DO UPDATE SET ${ADDED.join()}`;
const REMOVE = `DELETE FROM usage_hours WHERE (${KEY_NAMES.join()}) IN (
  SELECT ${KEY_NAMES.join()} FROM usage_hours WHERE hour < :before ORDER BY hour LIMIT ${STEP})`;
/** The hour of the row after so many, if there is one; and that of the first row. */
const END_OF_PART = `
  SELECT hour FROM usage_hours WHERE hour >= :from AND hour < :to ORDER BY hour LIMIT 1 OFFSET :rows`;
const FIRST = "SELECT hour FROM usage_hours WHERE hour >= :from AND hour < :to ORDER BY hour LIMIT 1";

/**
 * The usage of those among some tasks that end with this write: one row for all that have the same key.
 * @param stored the status in the row of each task that has one
 */
export function endedUsage(tasks: Iterable<Task>, stored: Pick<ReadonlyMap<Task, TaskStatus>, "get">): Row[] {
  const rows = new Map<string, UsageRow>();
  for (const task of tasks) {
    if (!isFinal(task.status)) continue;
    const was = stored.get(task);
    // Its end is stored, and counted.
    if (was !== undefined && isFinal(was)) continue;
    const usage = usageOf(task);
    const { hour, user, key, model, gpu } = usage;
    const name = JSON.stringify([hour, user, key, model, gpu]);
    const others = rows.get(name);
    if (others === undefined) rows.set(name, usage);
    else addUsage(others, usage);
  }
  return Array.from(rows.values(), (row) => rowOf(row));
}

function usageOf(task: Task): UsageRow {
  const { use, status, user, keyName, finishedAt, createdAt, attempts } = task;
  return {
    hour: Math.floor((finishedAt ?? createdAt) / HOUR),
    user,
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

/** Within a transaction. @param rows of `endedUsage` */
export function addRows(sql: Statements, rows: readonly Row[]): void {
  for (const row of rows) sql.run(ADD, row);
}

/** One step of a sweep. @param before Unix milliseconds; hours that have ended by then @returns whether there may be more */
export function removeUsage(sql: Statements, before: number): boolean {
  return sql.run(REMOVE, { before: Math.floor(before / HOUR) }) > 0;
}

/** The sums of some hours, and where the next ones begin; null: there are none. */
export interface UsagePart {
  readonly rows: readonly Row[];
  readonly next: number | null;
}

/** @param atOnce rows that are read, about: an hour is read whole */
export function usagePart(sql: Statements, { from, to, user, by }: UsageFilter, atOnce: number): UsagePart {
  const [end = null] = sql.numbers(END_OF_PART, { from, to, rows: atOnce });
  const [first] = sql.numbers(FIRST, { from, to });
  const next = end !== null && end === first ? end + 1 : end;
  const read = selectOf(by, user !== undefined);
  return { rows: sql.rows(read, { from, to: next ?? to, user: user ?? null }), next };
}

const COLUMN_OF = { hour: "hour", user: "user", key: "key_name", model: "model", gpu: "gpu_id" } as const;

function selectOf(by: readonly UsageColumn[], isOfUser: boolean): string {
  const keys = USAGE_COLUMNS.map((column) => (by.includes(column) ? COLUMN_OF[column] : "NULL"));
  const sums = SUM_NAMES.map((name) => `sum(${name})`);
  return `SELECT ${[...keys, ...sums].join()} FROM usage_hours
    WHERE hour >= :from AND hour < :to ${isOfUser ? "AND user = :user" : ""} GROUP BY ${keys.map((_, index) => index + 1).join()}`;
}

/** The usage of a row that was read. */
export function usageOfRow(row: Row): UsageRow {
  const gpu = row[IN_ROW.gpu_id] as number | null;
  return {
    hour: row[IN_ROW.hour] as number | null,
    user: row[IN_ROW.user] as string | null,
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
