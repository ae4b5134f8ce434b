/* Removes tasks and records from the database. */
import { isFinal, TASK_STATUSES, type TaskStatus } from "../../task.ts";
import type { CountChange, Counts } from "../thread/counts.ts";
import { removeTexts } from "./gone-texts.ts";
import type { Statements, Values } from "./statements.ts";
import { dueBatchFile, removeBesides } from "./batch-files.ts";
import type { SweepLimits } from "../store.ts";
import type { EndLimits } from "../tasks.ts";
import { removeUsage } from "./usage.ts";
import { USERS_OF_ENDS } from "./users-of-ends.ts";
import { removeAudit } from "./audit.ts";

/** The most that one step of a sweep removes. */
const STEP = 500;
/** Milliseconds after which a step takes no further task: long requests take longer to remove. */
const STEP_TIME = 10;

const FINAL = TASK_STATUSES.filter((status) => isFinal(status));
/** A condition: the task has ended. */
export const IN_FINAL = `status IN (${FINAL.map((status) => `'${status}'`).join()})`;
const AGED_OF_USER = `
  SELECT seq FROM tasks INDEXED BY tasks_by_user_end WHERE user = :user AND finished_at < :endedBefore AND ${IN_FINAL}
  ORDER BY finished_at LIMIT ${STEP}`;
/** Those of users that have no limit of their own: what others keep for longer is not read. */
const AGED_OF_OTHERS = `${USERS_OF_ENDS}
  SELECT seq FROM users CROSS JOIN tasks INDEXED BY tasks_by_user_end ON user = name AND finished_at < :endedBefore
  WHERE name NOT IN (SELECT value FROM json_each(:own)) LIMIT ${STEP}`;
const DUE_OF_USER = `
  SELECT count(*) FROM tasks INDEXED BY tasks_by_user_end WHERE user = :user AND finished_at < :endedBefore`;
const DUE = `${USERS_OF_ENDS}
  SELECT count(*) FROM users CROSS JOIN tasks INDEXED BY tasks_by_user_end ON user = name AND finished_at < :endedBefore`;
const UNREAD = `
  SELECT seq FROM tasks INDEXED BY tasks_unread WHERE texts = 'until_read' AND finished_at < :unreadBefore
  ORDER BY finished_at LIMIT ${STEP}`;
const LOWEST = `
  ${FINAL.map((status) => `SELECT seq FROM tasks INDEXED BY tasks_by_status WHERE status = '${status}'`).join(" UNION ALL ")}
  ORDER BY seq LIMIT :count`;
const EXPIRED_KEYS = `
  DELETE FROM idempotency_keys WHERE number IN
    (SELECT number FROM idempotency_keys WHERE created_at < :keysBefore ORDER BY created_at LIMIT ${STEP})`;

/** The columns of a task that its removal needs. */
interface Removed {
  readonly id: string;
  readonly user: string;
  readonly team: string | null;
  readonly status: TaskStatus;
  readonly batch_id: string | null;
}

/**
 * Removes a task that has ended.
 * @returns whether there was one
 */
export function remove(sql: Statements, counts: Counts, id: string): boolean {
  const [seq] = sql.numbers(`SELECT seq FROM tasks WHERE id = :id AND ${IN_FINAL}`, { id });
  if (seq === undefined) return false;
  removeTasks(sql, counts, [seq]);
  return true;
}

/**
 * One step of a sweep. Rows that are due are read from the front of an index (by user and end, by status and `seq`, by age), and removed. So a step
 * costs what it removes, whatever else is stored. A task that has not ended is in none of those places.
 * @returns whether there may be more
 */
export function sweep(sql: Statements, counts: Counts, limits: SweepLimits): boolean {
  const due = dueTasks(sql, counts, limits);
  if (due.length > 0) {
    removeTasks(sql, counts, due);
    return true;
  }
  if (limits.unreadBefore !== undefined && removeUnread(sql, limits.unreadBefore)) return true;
  const batch = dueBatchFile(sql, limits.endedBefore);
  if (batch !== undefined) {
    sql.transaction(() => removeBatch(sql, batch));
    return true;
  }
  if (sql.run(EXPIRED_KEYS, { keysBefore: limits.keysBefore }) > 0) return true;
  if (removeUsage(sql, limits.usageBefore)) return true;
  return limits.auditBefore !== undefined && removeAudit(sql, limits.auditBefore);
}

/** A batch that has ended is removed with its last task, whichever of the two ends is written first. */
export function removeEmptyBatch(sql: Statements, id: string): void {
  const ended = `
    SELECT 1 FROM batches WHERE id = :id AND finished_at IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_by_batch WHERE batch_id = :id)`;
  if (sql.numbers(ended, { id }).length > 0) removeBatch(sql, id);
}

export function removeBatch(sql: Statements, id: string): void {
  type Range = { readonly first_seq: number; readonly size: number };
  const [range] = sql.records<Range>("SELECT first_seq, size FROM batches WHERE id = :id", { id });
  sql.run("DELETE FROM batches WHERE id = :id", { id });
  removeBesides(sql, id, range === undefined ? [0, -1] : [range.first_seq, range.first_seq + range.size - 1]);
  removeDeliveries(sql, id);
}

/** How many tasks are too old. */
export function countDue(sql: Statements, { endedBefore, ofUsers = [] }: EndLimits): number {
  const count = (counted: string, values: Values): number => sql.numbers(counted, values)[0] ?? 0;
  let due = count(DUE, { endedBefore });
  for (const own of ofUsers)
    due += count(DUE_OF_USER, { ...own }) - count(DUE_OF_USER, { user: own.user, endedBefore });
  return due;
}

function removeUnread(sql: Statements, unreadBefore: number): boolean {
  const seqs = sql.numbers(UNREAD, { unreadBefore });
  return seqs.length > 0 && sql.transaction(() => removeTexts(sql, seqs, STEP_TIME));
}

function agedTasks(sql: Statements, { endedBefore, ofUsers = [] }: EndLimits): number[] {
  for (const own of ofUsers) {
    const aged = sql.numbers(AGED_OF_USER, { ...own });
    if (aged.length > 0) return aged;
  }
  return sql.numbers(AGED_OF_OTHERS, { endedBefore, own: JSON.stringify(ofUsers.map(({ user }) => user)) });
}

function dueTasks(sql: Statements, counts: Counts, limits: SweepLimits): number[] {
  const { maxEnded } = limits;
  const aged = agedTasks(sql, limits);
  if (aged.length > 0 || maxEnded === null) return aged;
  const ended = FINAL.reduce((sum, status) => sum + counts.total({}, status), 0);
  return ended > maxEnded ? sql.numbers(LOWEST, { count: Math.min(ended - maxEnded, STEP) }) : [];
}

/** Removes the first of these tasks, and as many more of them as there is time for. @returns how many */
export function removeTasks(sql: Statements, counts: Counts, seqs: readonly number[]): number {
  const changes: CountChange[] = [];
  const batches = new Set<string>();
  const end = performance.now() + STEP_TIME;
  sql.transaction(() => {
    for (const seq of seqs) {
      const [task] = sql.records<Removed>("SELECT id, user, team, status, batch_id FROM tasks WHERE seq = :seq", {
        seq,
      });
      if (task === undefined) continue;
      sql.run("DELETE FROM tasks WHERE seq = :seq", { seq });
      sql.run("DELETE FROM requests WHERE seq = :seq", { seq });
      sql.run("DELETE FROM notes WHERE seq = :seq", { seq });
      sql.run("UPDATE removed SET last_seq = max(last_seq, :seq)", { seq });
      removeDeliveries(sql, task.id);
      changes.push([task, task.status, -1]);
      if (task.batch_id !== null) batches.add(task.batch_id);
      if (performance.now() > end) break;
    }
    for (const id of batches) removeEmptyBatch(sql, id);
  });
  counts.apply(changes);
  return changes.length;
}

function removeDeliveries(sql: Statements, subject: string): void {
  sql.run("DELETE FROM deliveries WHERE subject = :subject", { subject });
}
