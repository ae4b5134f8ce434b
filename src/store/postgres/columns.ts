/* The types of columns that are no texts: what `unnest` makes of the arrays. */
import { isFinal, TASK_STATUSES } from "../../task.ts";

const BIGINT = [
  ..."seq pinned_gpu_id size gpu_id prompt_tokens completion_tokens cached_tokens first_seq number bytes".split(" "),
  ..."hour completed failed canceled tasks".split(" "),
];
const DOUBLE = [
  ..."created_at estimated_tokens timeout_seconds created_clock started_at finished_at finished_shown".split(" "),
  ..."execution_time result_timestamp next_at now wall held_now held_wall previous_until gpu_seconds".split(" "),
  ..."energy_joules queued_seconds kept_from lifetime ended_at at failing_since paused_at".split(" "),
];
const SMALLINT = ["whole_batch", "ends_with_client", "whole", "shown"];

const TYPES: ReadonlyMap<string, string> = new Map([
  ...BIGINT.map((name) => [name, "bigint"] as const),
  ...DOUBLE.map((name) => [name, "double precision"] as const),
  ...SMALLINT.map((name) => [name, "smallint"] as const),
]);

export const FINAL = TASK_STATUSES.filter((status) => isFinal(status));
const ENDS = `(${FINAL.map((status) => `'${status}'`).join()})`;
export const IN_FINAL = `status IN ${ENDS}`;
/**
 * The same, where another index leads to the rows: of a table that it has not counted yet, the planner would rather read all tasks by their
 * status, and sort them.
 */
export const IS_ENDED = `status || '' IN ${ENDS}`;

/** Like `"seq", "user"`: some names are words of SQL. */
export function listOf(columns: readonly string[], prefix = ""): string {
  return columns.map((name) => `${prefix}"${name}"`).join();
}

/** Rows in a statement, whose columns are its next values. @param alias of these rows, with the names of the columns */
export type Source = (columns: readonly string[], alias: string) => string;

/** Rows of these columns that are handed over as one array for each, named `:c0`, `:c1` and so on. */
export const unnested: Source = (columns, alias) => {
  const arrays = columns.map((name, place) => `:c${place}::${TYPES.get(name) ?? "text"}[]`);
  return `unnest(${arrays.join()}) AS ${alias} (${listOf(columns)})`;
};

/** The same for one row, which is handed over as it is. */
export const single: Source = (columns, alias) => {
  const values = columns.map((name, place) => `:c${place}::${TYPES.get(name) ?? "text"}`);
  return `(VALUES (${values.join()})) AS ${alias} (${listOf(columns)})`;
};

/** As `unnested`, with the place of each row among them, from 1, as `place`. */
export function numbered(columns: readonly string[], alias: string): string {
  const arrays = columns.map((name, place) => `:c${place}::${TYPES.get(name) ?? "text"}[]`);
  return `unnest(${arrays.join()}) WITH ORDINALITY AS ${alias} (${listOf([...columns, "place"])})`;
}
