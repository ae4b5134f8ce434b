/* Finds the tasks that match a filter, by indexes where there are some, else by scanning one window of tasks after another. */
import { TASK_STATUSES } from "../../task.ts";
import type { Statements, Values } from "./statements.ts";
import type { TaskFilter } from "../tasks.ts";
import { isOfBoth, type UNINDEXED, type Window } from "../thread/scans.ts";

/** `seq`s in one window. A write may have to wait for its scan, which takes tens of milliseconds at worst. */
const WINDOW = 10_000;

/** Conditions that no index over all tasks covers. */
const CONDITIONS = {
  taskType: "task_type = :taskType",
  gpuId: "gpu_id = :gpuId",
  model: "coalesce(ran_model, model) = :model",
  since: "created_at >= :since",
  until: "created_at < :until",
} as const satisfies Record<(typeof UNINDEXED)[number], string>;

/** The `seq`s of one page, newest first; for a filter that needs no scan. */
export function page(sql: Statements, filter: TaskFilter): number[] {
  const after = filter.after === undefined ? [] : ["seq < :after"];
  const found = select(filter, [...unindexed(filter), ...after]);
  return sql.numbers(`${found} ORDER BY seq DESC LIMIT :limit OFFSET :offset`, valuesOf(filter));
}

/** How many tasks of a batch match. */
export function matchingOfBatch(sql: Statements, filter: TaskFilter): number {
  return sql.numbers(`SELECT count(*) FROM (${select(filter, unindexed(filter))})`, valuesOf(filter))[0] ?? 0;
}

/**
 * Scans the newest window of tasks below `below`.
 * @param filter with the `limit` and the `offset` that are left after the windows before
 * @returns the `seq`s of the page in that window, newest first
 */
export function scan(sql: Statements, filter: TaskFilter, below: number): Window & { readonly seqs: number[] } {
  const { limit, offset, after = Number.POSITIVE_INFINITY } = filter;
  const values = { ...valuesOf(filter), below };
  const [top] = sql.numbers(`${select(filter, ["seq < :below"])} ORDER BY seq DESC LIMIT 1`, values);
  if (top === undefined) return { seqs: [], matched: 0, passed: 0, next: null };
  const from = top - WINDOW + 1;
  const found = select(filter, ["seq BETWEEN :from AND :top", ...unindexed(filter)]);
  const bounds = { ...values, from, top };
  if (limit === 0) {
    const [matched = 0] = sql.numbers(`SELECT count(*) FROM (${found})`, bounds);
    return { seqs: [], matched, passed: 0, next: from };
  }
  const matching = sql.numbers(`${found} ORDER BY seq DESC`, bounds);
  const listed = matching.filter((seq) => seq < after);
  return {
    seqs: listed.slice(offset, offset + limit),
    matched: matching.length,
    passed: Math.min(listed.length, offset),
    next: from,
  };
}

/** The `seq`s of the tasks that match these conditions and the indexed ones of a filter. */
function select(filter: TaskFilter, conditions: readonly string[]): string {
  const rest = conditions.map((condition) => ` AND ${condition}`).join("");
  return sources(filter)
    .map((source) => `SELECT seq FROM ${source}${rest}`)
    .join(" UNION ALL ");
}

/** Parts that exclude each other. Without a batch each comes sorted by `seq`, so that SQLite merges them as it goes. */
function sources({ user, team, status, batchId }: TaskFilter): string[] {
  if (batchId !== undefined) {
    const ofUser = `${user === undefined ? "" : " AND user = :user"}${team === undefined ? "" : " AND team = :team"}`;
    const inStatus = status === undefined ? "" : " AND status = :status";
    return [`tasks INDEXED BY tasks_by_batch WHERE batch_id = :batchId${ofUser}${inStatus}`];
  }
  // The index is sorted by user and status: one user's tasks are its five statuses merged.
  const statuses = status === undefined ? TASK_STATUSES.map((one) => `'${one}'`) : [":status"];
  if (user !== undefined) {
    return statuses.map((one) => `tasks INDEXED BY tasks_by_user WHERE user = :user AND status = ${one}`);
  }
  if (team !== undefined) {
    return statuses.map((one) => `tasks INDEXED BY tasks_by_team WHERE team = :team AND status = ${one}`);
  }
  return [status === undefined ? "tasks WHERE true" : "tasks INDEXED BY tasks_by_status WHERE status = :status"];
}

function unindexed(filter: TaskFilter): string[] {
  const conditions = Object.entries(CONDITIONS)
    .filter(([name]) => filter[name as keyof typeof CONDITIONS] !== undefined)
    .map(([, condition]) => condition);
  return isOfBoth(filter) ? [...conditions, "team = :team"] : conditions;
}

function valuesOf(filter: TaskFilter): Values {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined));
}
