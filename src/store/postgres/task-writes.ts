/* The changes that write tasks, and the usage of those that end, many rows with each. */
import type { Row } from "../thread/columns.ts";
import { CHANGED, IN_CHANGED, IN_NEW, INSERTED, KEPT_IF_NULL, type NewRow, UPDATED } from "../thread/rows.ts";
import { USAGE, USAGE_KEY, USAGE_SUMS } from "../thread/usage-rows.ts";
import { listOf } from "./columns.ts";
import { longRow } from "./long-rows.ts";
import { changeBy, type Forms, formsOf } from "./forms.ts";
import { type Change, exactly } from "./statements.ts";

/** Rows and characters of one statement, about. */
const ROWS = 500;
const CHARACTERS = 4 * 1024 * 1024;

/** The columns of a change that are written, behind the one that says which task it is. */
const WRITTEN = CHANGED.slice(IN_CHANGED.seq);
const REQUEST = ["seq", "request"];
/** By the length of the longest row. */
const INSERT_TASKS = [0, ...INSERTED.keys()].map((_, length) => insertOf("tasks", INSERTED.slice(0, length)));
const INSERT_REQUESTS = insertOf("requests", REQUEST);
const UPDATE_TASKS = [0, ...WRITTEN.keys()].map((_, length) => updateOf(WRITTEN.slice(0, length)));

/** Sums of rows of the same key: two names may become the same in UTF-8. */
export const SUMMED = USAGE_SUMS.map((name) => `sum("${name}")${isReal(name) ? "" : "::bigint"}`);
/** Either side may not be known. */
const ADDED = USAGE_SUMS.map(
  (name) =>
    `"${name}" = coalesce(usage_hours."${name}" + excluded."${name}", usage_hours."${name}", excluded."${name}")`,
);
const ADD_USAGE = formsOf(
  (rows) => `
  INSERT INTO usage_hours (${listOf(USAGE)})
  SELECT ${listOf(USAGE_KEY)}, ${SUMMED.join()} FROM ${rows(USAGE, "ended")} GROUP BY ${listOf(USAGE_KEY)}
  ON CONFLICT (${listOf(USAGE_KEY)}) DO UPDATE SET ${ADDED.join()}`,
);

function insertOf(table: string, columns: readonly string[]): Forms {
  return formsOf((rows) => `INSERT INTO ${table} (${listOf(columns)}) SELECT * FROM ${rows(columns, "added")}`);
}

/** Columns that no row reaches become NULL. */
function updateOf(columns: readonly string[]): Forms {
  const newValue = (name: string): string => {
    const value = columns.includes(name) ? `now."${name}"` : "NULL";
    return name === KEPT_IF_NULL ? `coalesce(${value}, tasks."${name}")` : value;
  };
  return formsOf((rows) =>
    exactly(`
      UPDATE tasks SET ${UPDATED.map((name) => `"${name}" = ${newValue(name)}`).join()}
      FROM ${rows(columns, "now")} WHERE tasks.seq = now.seq`),
  );
}

function widthOf(rows: readonly Row[]): number {
  return rows.reduce((most, { length }) => Math.max(most, length), 0);
}

function isReal(name: string): boolean {
  return name.endsWith("seconds") || name.endsWith("joules");
}

export function* insertsOf(rows: readonly NewRow[]): Generator<Change> {
  for (const part of partsOf(rows)) {
    const added = part.map(({ row }) => longRow(row, IN_NEW));
    const width = widthOf(added);
    yield changeBy(INSERT_TASKS[width]!, added, width);
    const requests = part.flatMap(({ row, request }) =>
      request === null ? [] : [[row[IN_NEW.seq]!, requestText(request)]],
    );
    if (requests.length > 0) yield changeBy(INSERT_REQUESTS, requests, REQUEST.length);
  }
}

export function* updatesOf(rows: readonly Row[]): Generator<Change> {
  for (let from = 0; from < rows.length; from += ROWS) {
    const part = rows.slice(from, from + ROWS).map((row) => longRow(row, IN_CHANGED).slice(IN_CHANGED.seq));
    const width = widthOf(part);
    const missing = `some of ${part.length} tasks are not in the database`;
    yield { ...changeBy(UPDATE_TASKS[width]!, part, width, [part.length]), missing };
  }
}

/** @param rows of `endedUsage` */
export function usageOf(rows: readonly Row[]): Change[] {
  return rows.length === 0 ? [] : [changeBy(ADD_USAGE, rows, USAGE.length)];
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
