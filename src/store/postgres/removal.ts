/* Removes tasks and records. */
import type { TaskStatus } from "../../task.ts";
import type { Row } from "../thread/columns.ts";
import type { CountChange, Counts } from "../thread/counts.ts";
import { HOUR, USAGE_KEY } from "../thread/usage-rows.ts";
import type { SweepLimits } from "../store.ts";
import type { EndLimits } from "../tasks.ts";
import { arrayOf } from "./arrays.ts";
import { FINAL, IN_FINAL, IS_ENDED, listOf } from "./columns.ts";
import { removeTexts } from "./gone-texts.ts";
import type { Session } from "./session.ts";
import type { Values } from "./statements.ts";
import type { WithCounts } from "./task-counts.ts";

/** The most that one step of a sweep removes. */
const STEP = 500;
/** The most tasks whose texts it removes: each takes some statements. */
const UNREAD_STEP = 50;
/** Bytes of texts after which a step takes no further task. */
const STEP_BYTES = 32 * 1024 * 1024;

const SIZE = `coalesce(octet_length(result_text), 0) + coalesce(octet_length(embeddings), 0) + size`;
const AGED = `
  SELECT seq, ${SIZE} FROM tasks WHERE finished_at < :endedBefore AND ${IS_ENDED} ORDER BY finished_at LIMIT ${STEP}`;
const AGED_OF_USER = `
  SELECT seq, ${SIZE} FROM tasks WHERE "user" = :user AND finished_at < :endedBefore AND ${IS_ENDED}
  ORDER BY finished_at LIMIT ${STEP}`;
/** Those of users that have no limit of their own: jumps from user to user in the index, so that what others keep for longer is not read. */
const AGED_OF_OTHERS = `
  WITH RECURSIVE users(name) AS (
    SELECT min("user") FROM tasks WHERE finished_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min("user") FROM tasks WHERE finished_at IS NOT NULL AND "user" > name) FROM users WHERE name IS NOT NULL)
  SELECT seq, bytes FROM users CROSS JOIN LATERAL (
    SELECT seq, ${SIZE} AS bytes FROM tasks WHERE "user" = name AND finished_at < :endedBefore AND ${IS_ENDED}
    ORDER BY finished_at LIMIT ${STEP}) AS aged
  WHERE name <> ALL(:own::text[]) LIMIT ${STEP}`;
const DUE_OF_USER = `SELECT count(*) FROM tasks WHERE "user" = :user AND finished_at < :endedBefore`;
const DUE = "SELECT count(*) FROM tasks WHERE finished_at < :endedBefore";
const UNREAD = `
  SELECT seq, ${SIZE} FROM tasks WHERE texts = 'until_read' AND finished_at < :unreadBefore
  ORDER BY finished_at LIMIT ${UNREAD_STEP}`;
/** By ranges of one value: else the planner might look for them in the order of `seq` alone, among all tasks. */
const LOWEST = `
  SELECT seq, bytes FROM (
    ${FINAL.map((status) => `(SELECT seq, ${SIZE} AS bytes FROM tasks WHERE status BETWEEN '${status}' AND '${status}' ORDER BY status, seq LIMIT :count)`).join(" UNION ALL ")}
  ) AS ended ORDER BY seq LIMIT :count`;
const EXPIRED_KEYS = `
  DELETE FROM idempotency_keys WHERE ("user", key) IN
    (SELECT "user", key FROM idempotency_keys WHERE created_at < :keysBefore ORDER BY created_at LIMIT ${STEP})`;
const OLD_USAGE = `
  DELETE FROM usage_hours WHERE (${listOf(USAGE_KEY)}) IN
    (SELECT ${listOf(USAGE_KEY)} FROM usage_hours WHERE hour < :usageBefore ORDER BY hour LIMIT ${STEP})`;
const OLD_AUDIT = `
  DELETE FROM audit WHERE number IN (SELECT number FROM audit ORDER BY number LIMIT ${STEP}) AND kept_from < :auditBefore`;
/** Those that ended before, and have no task any more. */
const DUE_BATCH_FILE = `
  SELECT id FROM batch_files WHERE ended_at < :endedBefore
    AND (SELECT seq FROM tasks WHERE batch_id = batch_files.id LIMIT 1) IS NULL
  ORDER BY ended_at LIMIT 1`;
// A subquery of its own: as a join, it might be made by reading all tasks.
const EMPTY_BATCHES = `
  SELECT id FROM batches WHERE id = ANY(:ids::text[]) AND finished_at IS NOT NULL
    AND (SELECT seq FROM tasks WHERE batch_id = batches.id LIMIT 1) IS NULL`;

/** Removes a task that has ended. @returns the changes of the counts; null: there is no such task, or it has not ended */
export async function removeTask(session: Session, id: string): Promise<CountChange[] | null> {
  const seqs = await session.numbers(`SELECT seq FROM tasks WHERE id = :id AND ${IN_FINAL}`, { id });
  return seqs.length === 0 ? null : removeTasks(session, seqs);
}

/**
 * One step of a sweep. Rows that are due are read from the front of an index (by end, by status and `seq`, by age), and removed. So a step
 * costs what it removes, whatever else is stored. A task that has not ended is in none of those places.
 * @param counts null: `maxEnded` is @returns whether there may be more
 */
export async function sweep(
  session: Session,
  counts: Counts | null,
  limits: SweepLimits,
): Promise<WithCounts<boolean>> {
  const due = await dueTasks(session, counts, limits);
  if (due.length > 0) return { value: true, changes: await removeTasks(session, due) };
  const { endedBefore, keysBefore, usageBefore, auditBefore, unreadBefore } = limits;
  if (unreadBefore !== undefined && (await removeUnread(session, unreadBefore))) return { value: true, changes: [] };
  const [[batch] = []] = await session.rows(DUE_BATCH_FILE, { endedBefore });
  if (batch !== undefined) await removeBatches(session, [batch as string]);
  const more =
    batch !== undefined ||
    (await session.change(EXPIRED_KEYS, { keysBefore })) > 0 ||
    (await session.change(OLD_USAGE, { usageBefore: Math.floor(usageBefore / HOUR) })) > 0 ||
    (auditBefore !== undefined && (await session.change(OLD_AUDIT, { auditBefore })) > 0);
  return { value: more, changes: [] };
}

/** A batch that has ended is removed with its last task, whichever of the two ends is written first. */
export async function removeEmptyBatches(session: Session, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  const empty = await session.rows(EMPTY_BATCHES, { ids: arrayOf(ids) });
  await removeBatches(
    session,
    empty.map(([id]) => id as string),
  );
}

export async function removeBatches(session: Session, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  const values = { ids: arrayOf(ids) };
  const removed = "DELETE FROM batches WHERE id = ANY(:ids::text[]) RETURNING first_seq, first_seq + size - 1";
  for (const [from, to] of await session.rows(removed, values))
    await session.change("DELETE FROM refused_lines WHERE seq BETWEEN :from AND :to", { from: from!, to: to! });
  await session.change("DELETE FROM batch_files WHERE id = ANY(:ids::text[])", values);
  await session.change("DELETE FROM deliveries WHERE subject = ANY(:ids::text[])", values);
}

/** How many tasks are too old. */
export async function countDue(session: Session, { endedBefore, ofUsers = [] }: EndLimits): Promise<number> {
  const count = async (counted: string, values: Values): Promise<number> =>
    (await session.numbers(counted, values))[0] ?? 0;
  let due = await count(DUE, { endedBefore });
  for (const own of ofUsers)
    due += (await count(DUE_OF_USER, { ...own })) - (await count(DUE_OF_USER, { user: own.user, endedBefore }));
  return due;
}

async function removeUnread(session: Session, unreadBefore: number): Promise<boolean> {
  return removeTexts(session, upTo(await session.rows(UNREAD, { unreadBefore })));
}

async function agedTasks(session: Session, { endedBefore, ofUsers = [] }: EndLimits): Promise<Row[]> {
  for (const own of ofUsers) {
    const aged = await session.rows(AGED_OF_USER, { ...own });
    if (aged.length > 0) return aged;
  }
  const isLonger = ofUsers.some((own) => own.endedBefore < endedBefore);
  if (!isLonger) return session.rows(AGED, { endedBefore });
  return session.rows(AGED_OF_OTHERS, { endedBefore, own: arrayOf(ofUsers.map(({ user }) => user)) });
}

async function dueTasks(session: Session, counts: Counts | null, limits: SweepLimits): Promise<number[]> {
  const { maxEnded } = limits;
  const aged = await agedTasks(session, limits);
  if (aged.length > 0 || maxEnded === null || counts === null) return upTo(aged);
  const ended = FINAL.reduce((sum, status) => sum + counts.total({}, status), 0);
  if (ended <= maxEnded) return [];
  return upTo(await session.rows(LOWEST, { count: Math.min(ended - maxEnded, STEP) }));
}

/** The first of these, and as many more as are removed in a short time: long texts take longer. */
function upTo(rows: readonly Row[]): number[] {
  const seqs: number[] = [];
  let bytes = 0;
  for (const [seq, size] of rows) {
    if (bytes > STEP_BYTES) break;
    seqs.push(seq as number);
    bytes += size as number;
  }
  return seqs;
}

export async function removeTasks(session: Session, seqs: readonly number[]): Promise<CountChange[]> {
  const values = { seqs: arrayOf(seqs) };
  const removed = await session.rows(
    'DELETE FROM tasks WHERE seq = ANY(:seqs::bigint[]) RETURNING id, "user", status, batch_id, team',
    values,
  );
  await session.change("DELETE FROM requests WHERE seq = ANY(:seqs::bigint[])", values);
  await session.change("DELETE FROM notes WHERE seq = ANY(:seqs::bigint[])", values);
  const last = Math.max(...seqs);
  await session.change("UPDATE removed SET last_seq = :last WHERE last_seq < :last", { last });
  const ids = arrayOf(removed.map(([id]) => id!));
  await session.change("DELETE FROM deliveries WHERE subject = ANY(:ids::text[])", { ids });
  const batches = new Set(removed.flatMap(([, , , batch]) => (batch === null ? [] : [batch as string])));
  await removeEmptyBatches(session, [...batches]);
  return removed.map(([, user, status, , team]) => [
    { user: user as string, team: team as string | null },
    status as TaskStatus,
    -1,
  ]);
}
