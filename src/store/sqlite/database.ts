/* The tables, for the storage thread. Everything here blocks. */
import type { DatabaseSync } from "node:sqlite";
import { type Batch, isFinal, TASK_STATUSES, type TaskStatus } from "../../task.ts";
import { type Counted, Counts, type Owner } from "../thread/counts.ts";
import type { Past } from "../gap.ts";
import { matchingOfBatch, page, scan } from "./listing.ts";
import type { Window } from "../thread/scans.ts";
import { BATCH, batchOf, CLOCK, IDEMPOTENCY, idempotencyOf, type RecordRow, timesOf } from "../thread/records.ts";
import { countDue, remove, removeEmptyBatch, sweep } from "./removal.ts";
import { LISTED_TEXTS } from "../thread/gone-text-rows.ts";
import { removeDelivered, removeTexts } from "./gone-texts.ts";
import type { Row } from "../thread/columns.ts";
import { HISTORY } from "../thread/history-rows.ts";
import { LISTED, type StoredRequest, TAKEN_OVER } from "../thread/rows.ts";
import { withLines } from "../thread/batch-file-rows.ts";
import { Statements } from "./statements.ts";
import { writeTasks } from "./task-writes.ts";
import { WRITES } from "./writes.ts";
import type { AuditFilter } from "../audit.ts";
import type { BatchFileFilter, OutputFilter } from "../batch-files.ts";
import type { ForgetOptions, ForgetStep } from "../forget.ts";
import { forgetStep } from "./forget.ts";
import type { FileFilter, FileIdentity, FileLimits, FileTotal } from "../files.ts";
import type { IdempotencyRecord } from "../idempotency.ts";
import type { WebhookEndpoint, WebhookSecret } from "../outbox.ts";
import type { SweepLimits } from "../store.ts";
import type { BatchState, EndLimits, StoredBytes, TaskFilter } from "../tasks.ts";
import type { UsageFilter } from "../usage.ts";
import type { Exchange } from "../thread/messages.ts";
import { type AuditPart, auditPart } from "./audit.ts";
import {
  batchFileOfOutput,
  findBatchFile,
  listBatchFiles,
  listOutputs,
  refusedLines,
  unfinishedBatchFiles,
} from "./batch-files.ts";
import { countPending, deliveriesOf, endpoints, findSecret, pendingDeliveries } from "./outbox.ts";
import { dueFiles, fileIds, fileTotals, findFile, listFiles, removeFile, sameFile } from "./files.ts";
import { USERS_OF_ENDS } from "./users-of-ends.ts";
import { addRows, type UsagePart, usagePart } from "./usage.ts";

const WHOLE_COLUMNS = TAKEN_OVER.map((name) => `t.${name}`).join();
const WHOLE = `SELECT ${WHOLE_COLUMNS} FROM tasks t`;
/** The numbers are sorted before the rows are read: sorting whole rows would need as much memory as all of them. */
const LIVE = `
  WITH live AS MATERIALIZED (SELECT seq FROM tasks WHERE status IN ('queued', 'running') ORDER BY seq)
  SELECT ${WHOLE_COLUMNS} FROM live CROSS JOIN tasks t ON t.seq = live.seq`;
const FOR_ENDS = `SELECT ${LISTED.join()} FROM tasks t`;
/** Larger than all else of a task: thousands of numbers. */
const LARGE: ReadonlySet<string> = new Set(["embeddings", "logprobs"]);
const FOR_LISTS = `SELECT ${LISTED.map((name) => (LARGE.has(name) ? "NULL" : (LISTED_TEXTS[name] ?? name))).join()} FROM tasks t`;
const REQUEST = `
  SELECT coalesce(t.request, r.request) AS request, sampling FROM tasks t LEFT JOIN requests r ON r.seq = t.seq
  WHERE t.seq = :seq AND coalesce(t.request, r.request) IS NOT NULL`;
const BATCHES = `SELECT ${BATCH.join()} FROM batches`;
const ENDED = TASK_STATUSES.filter((status) => isFinal(status)).map((status) => `'${status}'`);

/**
 * The latest time by the server's clock; each is read from the end of an index. Start times are of no use: they are stored by the wall
 * clock only, which may have been set by a week since the submission.
 */
const NEWEST = `${USERS_OF_ENDS}
  SELECT max(time) AS time FROM (
    SELECT (SELECT max(finished_at) FROM tasks INDEXED BY tasks_by_user_end WHERE user = name AND finished_at IS NOT NULL) AS time FROM users
    UNION ALL SELECT coalesce(created_clock, created_at) FROM (SELECT * FROM tasks ORDER BY seq DESC LIMIT 1))`;

/** The tasks and the records in one open database. */
export class TaskDatabase {
  readonly #sql: Statements;
  readonly #counts = new Counts();

  constructor(db: DatabaseSync) {
    this.#sql = new Statements(db);
    this.#counts.take({ users: this.#counted("user"), teams: this.#counted("team") });
  }

  #counted(column: keyof Owner): Counted[] {
    return this.#sql.records<Counted>(`
      SELECT ${column} AS name, status, count(*) AS count FROM tasks INDEXED BY tasks_by_${column}
      WHERE ${column} IS NOT NULL GROUP BY 1, 2`);
  }

  /** The highest `seq` ever stored; 0: none. */
  lastSeq(): number {
    const [last = 0] = this.#sql.numbers(
      "SELECT max(last_seq, (SELECT coalesce(max(seq), 0) FROM tasks)) FROM removed",
    );
    return last;
  }

  past(): Past {
    const [row] = this.#sql.rows(`SELECT ${CLOCK.join()} FROM clock`);
    const [newest] = this.#sql.records<{ time: number | null }>(NEWEST);
    return { recorded: row === undefined ? null : timesOf(row), newest: newest?.time ?? null };
  }

  /** The tasks that have not ended, in submission order, without their requests. */
  live(): Iterable<Row> {
    return this.#sql.each(LIVE);
  }

  /** The batches that have not ended, in submission order. */
  unfinishedBatches(): Batch[] {
    return this.#sql.rows(`${BATCHES} WHERE finished_at IS NULL ORDER BY first_seq`).map((row) => batchOf(row));
  }

  /**
   * Writes all of these rows or none.
   * @returns whether texts were removed by that
   * @throws what SQLite throws; then nothing is written
   */
  write({ inserts, updates, usage, records }: Exchange["write"]["request"]): boolean {
    let removed = false;
    const changes = this.#sql.transaction(() => {
      const changed = writeTasks(this.#sql, inserts, updates);
      addRows(this.#sql, usage);
      for (const record of records) if (this.#record(record)) removed = true;
      return changed;
    });
    this.#counts.apply(changes);
    return removed;
  }

  request(seq: number): StoredRequest | null {
    const [row] = this.#sql.records<StoredRequest>(REQUEST, { seq });
    return row ?? null;
  }

  notes(seqs: readonly number[]): Row[] {
    const found = "SELECT seq, note FROM notes WHERE seq IN (SELECT value FROM json_each(:seqs))";
    return this.#sql.rows(found, { seqs: JSON.stringify(seqs) });
  }

  get(id: string): Row | undefined {
    return this.#sql.rows(`${WHOLE} WHERE t.id = :id`, { id })[0];
  }

  /** One page of the tasks that match, newest first, and how many match in all; for a filter that needs no scan. */
  list(filter: TaskFilter): { rows: Iterable<Row>; count: number; total: number } {
    const { status, batchId, limit, offset } = filter;
    const total = batchId === undefined ? this.#counts.total(filter, status) : matchingOfBatch(this.#sql, filter);
    if (offset >= total || limit === 0) return { rows: [], count: 0, total };
    const seqs = page(this.#sql, filter);
    return { rows: this.#rowsOf(FOR_LISTS, seqs), count: seqs.length, total };
  }

  /** As `list`, for the newest window of tasks below `below`, and a filter that needs a scan. */
  scan(filter: TaskFilter, below: number): { rows: Iterable<Row>; count: number; window: Window } {
    const { seqs, ...window } = scan(this.#sql, filter, below);
    return { rows: this.#rowsOf(FOR_LISTS, seqs), count: seqs.length, window };
  }

  batch(id: string): BatchState | null {
    const [row] = this.#sql.rows(`${BATCHES} WHERE id = :id`, { id });
    if (row === undefined) return null;
    const counts: Record<TaskStatus, number> = { queued: 0, running: 0, completed: 0, failed: 0, canceled: 0 };
    const counted =
      "SELECT status, count(*) AS count FROM tasks INDEXED BY tasks_by_batch WHERE batch_id = :id GROUP BY 1";
    for (const { status, count } of this.#sql.records<Pick<Counted, "status" | "count">>(counted, { id }))
      counts[status] = count;
    const unbound = `
      SELECT count(*) FROM tasks INDEXED BY tasks_by_batch
      WHERE batch_id = :id AND status = 'queued' AND gpu_id IS NULL`;
    const batch = batchOf(row);
    return withLines({ batch, counts, unbound: this.#sql.numbers(unbound, { id })[0] ?? 0 });
  }

  /** The ended tasks of a batch, in the order of their ends. */
  ends(batchId: string, offset: number, limit: number): Iterable<Row> {
    const seqs = `
      SELECT seq FROM tasks INDEXED BY tasks_by_batch WHERE batch_id = :batchId AND status IN (${ENDED.join()})
      ORDER BY finished_at, seq LIMIT :limit OFFSET :offset`;
    return this.#rowsOf(FOR_ENDS, this.#sql.numbers(seqs, { batchId, offset, limit }));
  }

  /** The ended tasks with `seq`s from one to another, in the order of these. */
  endsIn(from: number, to: number, limit: number): Iterable<Row> {
    const seqs = `
      SELECT seq FROM tasks WHERE seq BETWEEN :from AND :to AND status IN (${ENDED.join()}) ORDER BY seq LIMIT :limit`;
    return this.#rowsOf(FOR_ENDS, this.#sql.numbers(seqs, { from, to, limit }));
  }

  /** The first tasks with a higher `seq`, in that order. */
  history(after: number, limit: number): Row[] {
    return this.#sql.rows(`SELECT ${HISTORY.join()} FROM tasks WHERE seq > :after ORDER BY seq LIMIT :limit`, {
      after,
      limit,
    });
  }

  idempotency(user: string, key: string): IdempotencyRecord | null {
    const found = `SELECT ${IDEMPOTENCY.join()} FROM idempotency_keys WHERE user = :user AND key = :key`;
    const [row] = this.#sql.rows(found, { user, key });
    return row === undefined ? null : idempotencyOf(row);
  }

  /** See `usagePart`. */
  usage(filter: UsageFilter, atOnce: number): UsagePart {
    return usagePart(this.#sql, filter, atOnce);
  }

  /** See `auditPart`. */
  audit(filter: AuditFilter, atOnce: number): AuditPart {
    return auditPart(this.#sql, filter, atOnce);
  }

  /** Removes a task that has ended; false: there is none. */
  remove(id: string): boolean {
    return remove(this.#sql, this.#counts, id);
  }

  /** See `TaskStore.removeTexts`. */
  removeTexts(seqs: readonly number[]): boolean {
    return this.#sql.transaction(() => removeTexts(this.#sql, seqs));
  }

  storedBytes(): StoredBytes[] {
    return this.#sql.records<StoredBytes>("SELECT user, bytes FROM stored_bytes");
  }

  countEnded(limits: EndLimits): number {
    return countDue(this.#sql, limits);
  }

  /** One step of forgetting a user. */
  forget(options: ForgetOptions): ForgetStep {
    return forgetStep(this.#sql, this.#counts, options);
  }

  /** One step of a sweep. @returns whether there may be more */
  sweep(limits: SweepLimits): boolean {
    return sweep(this.#sql, this.#counts, limits);
  }

  pendingDeliveries(limit: number): Iterable<Row> {
    return pendingDeliveries(this.#sql, limit);
  }

  countPending(most: number, user?: string): number {
    return countPending(this.#sql, most, user);
  }

  deliveriesOf(subject: string): Iterable<Row> {
    return deliveriesOf(this.#sql, subject);
  }

  secret(user: string): WebhookSecret | null {
    return findSecret(this.#sql, user);
  }

  endpoints(): WebhookEndpoint[] {
    return endpoints(this.#sql);
  }

  batchFile(id: string): Row[] {
    return findBatchFile(this.#sql, id);
  }

  batchFileOfOutput(file: string): Row[] {
    return batchFileOfOutput(this.#sql, file);
  }

  batchFiles(filter: BatchFileFilter): Row[] {
    return listBatchFiles(this.#sql, filter);
  }

  outputs(filter: OutputFilter): Row[] {
    return listOutputs(this.#sql, filter);
  }

  unfinishedBatchFiles(): Row[] {
    return unfinishedBatchFiles(this.#sql);
  }

  refusedLines(from: number, to: number, limit: number): Row[] {
    return refusedLines(this.#sql, from, to, limit);
  }

  file(id: string): Row[] {
    return findFile(this.#sql, id);
  }

  sameFile(identity: FileIdentity): Row[] {
    return sameFile(this.#sql, identity);
  }

  files(filter: FileFilter): Row[] {
    return listFiles(this.#sql, filter);
  }

  dueFiles(limits: FileLimits, limit: number): Row[] {
    return dueFiles(this.#sql, limits, limit);
  }

  removeFile(id: string): ReturnType<typeof removeFile> {
    return removeFile(this.#sql, id);
  }

  fileTotals(): FileTotal[] {
    return fileTotals(this.#sql);
  }

  fileIds(after: string, limit: number): Row[] {
    return fileIds(this.#sql, after, limit);
  }

  /** Moves the log into the database file. @throws when it cannot be moved whole */
  moveLog(): void {
    this.#sql.moveLog();
  }

  /** Moves the log into the database file, removes it and releases the lock. */
  close(): void {
    this.#sql.close();
  }

  /** @returns whether texts were removed by it */
  #record({ kind, row }: RecordRow): boolean {
    const changed = this.#sql.run(WRITES[kind], row);
    if (kind === "file_hold" && changed === 0) throw new Error(`the file ${row[0]} is not in the database`);
    if (kind === "batch") this.#onBatch(row);
    return kind === "delivery" && removeDelivered(this.#sql, row);
  }

  #onBatch(row: Row): void {
    const { id, firstSeq, size, lines } = batchOf(row);
    // No other task may get the number of a line that is yet to come.
    if (lines !== null)
      this.#sql.run("UPDATE removed SET last_seq = max(last_seq, :last)", { last: firstSeq + size - 1 });
    // Its last task may have been removed before its end was written. One whose lines were all refused never had any.
    if (lines === null || lines.failed + lines.canceled < size) removeEmptyBatch(this.#sql, id);
  }

  *#rowsOf(select: string, seqs: readonly number[]): Iterable<Row> {
    for (const seq of seqs) yield* this.#sql.rows(`${select} WHERE t.seq = :seq`, { seq });
  }
}
