/* The statements that read tasks and batches. */
import { type Batch, isFinal, TASK_STATUSES, type TaskStatus } from "../../task.ts";
import type { Past } from "../gap.ts";
import type { BatchState, Reading, StoredBytes, TaskFilter } from "../tasks.ts";
import { withLines } from "../thread/batch-file-rows.ts";
import type { Row } from "../thread/columns.ts";
import { type Counted, Counts } from "../thread/counts.ts";
import { LISTED_TEXTS } from "../thread/gone-text-rows.ts";
import { HISTORY } from "../thread/history-rows.ts";
import { BATCH, batchOf, CLOCK, timesOf } from "../thread/records.ts";
import { LISTED, type StoredRequest, TAKEN_OVER } from "../thread/rows.ts";
import { arrayOf } from "./arrays.ts";
import { IN_FINAL, listOf } from "./columns.ts";
import { BYTES, type Found, matchingOfBatch, page } from "./listing.ts";
import type { Session } from "./session.ts";

/** Rows, and bytes of their long texts, that are read at once. */
const ROWS = 500;
const PIECE = 8 * 1024 * 1024;

const LIVE_STATUSES = TASK_STATUSES.filter((status) => !isFinal(status));
const WHOLE = `SELECT ${listOf(TAKEN_OVER)} FROM tasks`;
/** Each part goes on in the index of statuses where the one before ended, however many wait, and however many have ended. */
const LIVE = `
  SELECT * FROM (${LIVE_STATUSES.map(
    (status) =>
      `(${WHOLE} WHERE (status, seq) > ('${status}', :after::bigint) AND status <= '${status}' ORDER BY status, seq LIMIT ${ROWS})`,
  ).join(" UNION ALL ")}) AS live ORDER BY seq LIMIT ${ROWS}`;
/** Larger than all else of a task: thousands of numbers. */
const LARGE: ReadonlySet<string> = new Set(["embeddings", "logprobs"]);
const FOR_LISTS = LISTED.map((name) => (LARGE.has(name) ? "NULL" : (LISTED_TEXTS[name] ?? `"${name}"`))).join();
const FOR_ENDS = listOf(LISTED);
const REQUEST = `
  SELECT coalesce(t.request, r.request), sampling FROM tasks AS t LEFT JOIN requests AS r ON r.seq = t.seq
  WHERE t.seq = :seq AND coalesce(t.request, r.request) IS NOT NULL`;
const BATCHES = `SELECT ${listOf(BATCH)} FROM batches`;
/** The latest time by the server's clock; each is read from the end of an index. */
const NEWEST = `
  SELECT greatest((SELECT max(finished_at) FROM tasks WHERE finished_at IS NOT NULL),
    (SELECT coalesce(created_clock, created_at) FROM tasks ORDER BY seq DESC LIMIT 1))`;
const BATCH_COUNTS = `
  SELECT status, count(*), count(*) FILTER (WHERE status = 'queued' AND gpu_id IS NULL), count(texts)
  FROM tasks WHERE batch_id = :id GROUP BY status`;

/** Takes rows. @returns whether more are wanted */
export type Take = (rows: readonly Row[]) => boolean;

export async function countsOf(session: Session): Promise<Counts> {
  const counted = async (column: "user" | "team"): Promise<Counted[]> => {
    const sql = `SELECT "${column}", status, count(*) FROM tasks WHERE "${column}" IS NOT NULL GROUP BY 1, 2`;
    const rows = await session.rows(sql);
    return rows.map(([name, status, count]) => ({
      name: name as string,
      status: status as TaskStatus,
      count: count as number,
    }));
  };
  const counts = new Counts();
  counts.take({ users: await counted("user"), teams: await counted("team") });
  return counts;
}

/** The highest `seq` ever stored; 0: none. */
export async function lastSeq(session: Session): Promise<number> {
  const last = "SELECT greatest(last_seq, (SELECT max(seq) FROM tasks)) FROM removed";
  return (await session.numbers(last))[0] ?? 0;
}

/** @param idle milliseconds for which no server has run; null: none ever has */
export async function past(session: Session, idle: number | null): Promise<Past> {
  const [row] = await session.rows(`SELECT ${listOf(CLOCK)} FROM clock`);
  const [[newest] = []] = await session.rows(NEWEST);
  return {
    recorded: row === undefined ? null : timesOf(row),
    newest: newest as number | null,
    ...(idle !== null && { idle }),
  };
}

/** The tasks that have not ended, in submission order, without their requests. */
export async function live(session: Session, take: Take): Promise<void> {
  let after = -1;
  for (;;) {
    const rows = await session.rows(LIVE, { after });
    if (rows.length > 0) take(rows);
    if (rows.length < ROWS) return;
    after = rows.at(-1)![0] as number;
  }
}

/** The batches that have not ended, in submission order. */
export async function unfinishedBatches(session: Session): Promise<Batch[]> {
  const rows = await session.rows(`${BATCHES} WHERE finished_at IS NULL ORDER BY first_seq`);
  return rows.map((row) => batchOf(row));
}

export async function findRequest(session: Session, seq: number): Promise<StoredRequest | null> {
  const [row] = await session.rows(REQUEST, { seq });
  return row === undefined ? null : { request: row[0] as string, sampling: row[1] as string };
}

export function findNotes(session: Session, seqs: readonly number[]): Promise<Row[]> {
  return session.rows("SELECT seq, note FROM notes WHERE seq = ANY(:seqs::bigint[])", { seqs: arrayOf(seqs) });
}

export function findTask(session: Session, id: string): Promise<Row[]> {
  return session.rows(`${WHOLE} WHERE id = :id`, { id });
}

/**
 * The tasks of a page and how many match in all, for a filter that needs no scan.
 * @param counts null: the filter names a batch, or nobody wants to know how many
 */
export async function list(
  session: Session,
  counts: Counts | null,
  filter: TaskFilter,
  { counted }: Pick<Reading, "counted">,
): Promise<{ readonly found: readonly Found[]; readonly total: number }> {
  const { status, limit, offset } = filter;
  if (!counted) return { found: limit === 0 ? [] : await page(session, filter), total: 0 };
  const total = counts === null ? await matchingOfBatch(session, filter) : counts.total(filter, status);
  if (offset >= total || limit === 0) return { found: [], total };
  return { found: await page(session, filter), total };
}

/** Reads tasks for a list, in their order and in pieces. */
export function readListed(session: Session, found: readonly Found[], take: Take): Promise<void> {
  return read(session, FOR_LISTS, found, take);
}

export async function batch(session: Session, id: string): Promise<BatchState | null> {
  return (await batchWithTexts(session, id))?.state ?? null;
}

/** A batch, and whether no texts of its tasks go when they are read, or have gone. */
export async function batchWithTexts(
  session: Session,
  id: string,
): Promise<{ readonly state: BatchState; readonly keepsTexts: boolean } | null> {
  const [row] = await session.rows(`${BATCHES} WHERE id = :id`, { id });
  if (row === undefined) return null;
  const counts: Record<TaskStatus, number> = { queued: 0, running: 0, completed: 0, failed: 0, canceled: 0 };
  let unbound = 0;
  let keepsTexts = true;
  for (const [status, count, withoutGpu, going] of await session.rows(BATCH_COUNTS, { id })) {
    counts[status as TaskStatus] = count as number;
    unbound += withoutGpu as number;
    keepsTexts &&= going === 0;
  }
  return { state: withLines({ batch: batchOf(row), counts, unbound }), keepsTexts };
}

/** The ended tasks of a batch, in the order of their ends. */
export async function ends(
  session: Session,
  { batchId, offset, limit }: { readonly batchId: string; readonly offset: number; readonly limit: number },
  take: Take,
): Promise<void> {
  const found = `
    SELECT seq, ${BYTES} FROM tasks WHERE batch_id = :batchId AND ${IN_FINAL}
    ORDER BY finished_at, seq LIMIT :limit OFFSET :offset`;
  await read(session, FOR_ENDS, asFound(await session.rows(found, { batchId, offset, limit })), take);
}

/** The ended tasks with `seq`s from one to another, in the order of these. */
export async function endsIn(
  session: Session,
  { from, to, limit }: { readonly from: number; readonly to: number; readonly limit: number },
  take: Take,
): Promise<void> {
  const found = `
    SELECT seq, ${BYTES} FROM tasks WHERE seq BETWEEN :from AND :to AND ${IN_FINAL} ORDER BY seq LIMIT :limit`;
  await read(session, FOR_ENDS, asFound(await session.rows(found, { from, to, limit })), take);
}

/** The first tasks with a higher `seq`, in that order. */
export function findHistory(
  session: Session,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<Row[]> {
  return session.rows(`SELECT ${listOf(HISTORY)} FROM tasks WHERE seq > :after ORDER BY seq LIMIT :limit`, {
    after,
    limit,
  });
}

export async function storedBytes(session: Session): Promise<StoredBytes[]> {
  const rows = await session.rows('SELECT "user", bytes FROM stored_bytes');
  return rows.map(([user, bytes]) => ({ user: user as string, bytes: bytes as number }));
}

function asFound(rows: readonly Row[]): Found[] {
  return rows as unknown as Found[];
}

async function read(session: Session, columns: string, found: readonly Found[], take: Take): Promise<void> {
  for (const seqs of pieces(found)) {
    const sql = `
      SELECT ${columns} FROM unnest(:seqs::bigint[]) WITH ORDINALITY AS wanted (number, place)
      JOIN tasks ON seq = number ORDER BY place`;
    if (!take(await session.rows(sql, { seqs: arrayOf(seqs) }))) return;
  }
}

/** The same tasks, so many at a time that their texts fit into memory. */
function* pieces(found: readonly Found[]): Generator<number[]> {
  let seqs: number[] = [];
  let bytes = 0;
  for (const [seq, size] of found) {
    seqs.push(seq);
    bytes += size;
    if (seqs.length < ROWS && bytes < PIECE) continue;
    yield seqs;
    seqs = [];
    bytes = 0;
  }
  if (seqs.length > 0) yield seqs;
}
