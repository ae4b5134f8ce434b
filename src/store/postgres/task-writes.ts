/* The changes that write tasks, and the usage of those that end, many rows with each. */
import type { Row } from "../thread/columns.ts";
import { CHANGED, IN_NEW, INSERTED, KEPT_IF_NULL, type NewRow, UPDATED } from "../thread/rows.ts";
import { USAGE, USAGE_KEY, USAGE_SUMS } from "../thread/usage-rows.ts";
import { arrayOf, columnsOf, type Literal } from "./arrays.ts";
import { listOf, unnested } from "./columns.ts";
import { type Change, exactly, type Values } from "./statements.ts";

/** Rows and characters of one statement, about. */
const ROWS = 500;
const CHARACTERS = 4 * 1024 * 1024;

/** By the length of the longest row. */
const INSERT_TASKS = [0, ...INSERTED.keys()].map((_, length) => insertOf(INSERTED.slice(0, length)));
const INSERT_REQUESTS = "INSERT INTO requests (seq, request) SELECT * FROM unnest(:seqs::bigint[], :requests::text[])";
const UPDATE_TASKS = exactly(`
  UPDATE tasks SET ${UPDATED.map((name) => `"${name}" = ${newValue(name)}`).join()}
  FROM ${unnested(CHANGED, "now")} WHERE tasks.seq = now.seq`);

/** Sums of rows of the same key: two names may become the same in UTF-8. */
export const SUMMED = USAGE_SUMS.map((name) => `sum("${name}")${isReal(name) ? "" : "::bigint"}`);
/** Either side may not be known. */
const ADDED = USAGE_SUMS.map(
  (name) =>
    `"${name}" = coalesce(usage_hours."${name}" + excluded."${name}", usage_hours."${name}", excluded."${name}")`,
);
const ADD_USAGE = `
  INSERT INTO usage_hours (${listOf(USAGE)})
  SELECT ${listOf(USAGE_KEY)}, ${SUMMED.join()} FROM ${unnested(USAGE, "ended")} GROUP BY ${listOf(USAGE_KEY)}
  ON CONFLICT (${listOf(USAGE_KEY)}) DO UPDATE SET ${ADDED.join()}`;

function insertOf(columns: readonly string[]): string {
  return `INSERT INTO tasks (${listOf(columns)}) SELECT * FROM ${unnested(columns, "added")}`;
}

function newValue(name: string): string {
  return name === KEPT_IF_NULL ? `coalesce(now."${name}", tasks."${name}")` : `now."${name}"`;
}

function isReal(name: string): boolean {
  return name.endsWith("seconds") || name.endsWith("joules");
}

export function* insertsOf(rows: readonly NewRow[]): Generator<Change> {
  for (const part of partsOf(rows)) {
    const width = Math.max(...part.map(({ row }) => row.length));
    const added = columnsOf(
      part.map(({ row }) => row),
      width,
    );
    yield { sql: INSERT_TASKS[width]!, values: namedOf(added) };
    const stored = part.filter(({ request }) => request !== null);
    const seqs = arrayOf(stored.map(({ row }) => row[IN_NEW.seq]!));
    const requests = arrayOf(stored.map(({ request }) => requestText(request!)));
    if (stored.length > 0) yield { sql: INSERT_REQUESTS, values: { seqs, requests } };
  }
}

export function* updatesOf(rows: readonly Row[]): Generator<Change> {
  for (let from = 0; from < rows.length; from += ROWS) {
    const part = rows.slice(from, from + ROWS);
    const values = { ...namedOf(columnsOf(part, CHANGED.length)), wanted: part.length };
    yield { sql: UPDATE_TASKS, values, missing: `some of ${part.length} tasks are not in the database` };
  }
}

/** @param rows of `endedUsage` */
export function usageOf(rows: readonly Row[]): Change[] {
  return rows.length === 0 ? [] : [{ sql: ADD_USAGE, values: namedOf(columnsOf(rows, USAGE.length)) }];
}

/** By the names that `unnested` gives them. */
export function namedOf(columns: readonly Literal[]): Values {
  return Object.fromEntries(columns.map((column, place) => [`c${place}`, column]));
}

function* partsOf(rows: readonly NewRow[]): Generator<readonly NewRow[]> {
  let from = 0;
  let characters = 0;
  for (const [index, { request }] of rows.entries()) {
    characters += request?.length ?? 0;
    if (index + 1 - from < ROWS && characters < CHARACTERS) continue;
    yield rows.slice(from, index + 1);
    from = index + 1;
    characters = 0;
  }
  if (from < rows.length) yield rows.slice(from);
}

function requestText(request: string | Uint8Array): string {
  return typeof request === "string" ? request : new TextDecoder("utf-8", { ignoreBOM: true }).decode(request);
}
