/* The statements of batches that come from files, and their lines that are no tasks. Everything here blocks. */
import type { TaskStatus } from "../../task.ts";
import type { BatchFile, BatchFileFilter, LineFailure, OutputFilter, RefusedLine } from "../batch-files.ts";
import type { BatchState } from "../tasks.ts";
import { type Columns, namesOf, placesOf, type Row, rowMaker } from "./columns.ts";
import type { Statements } from "./statements.ts";

const BATCH_FILE_COLUMNS = {
  id: ({ id }) => id,
  user: ({ user }) => user,
  output_file: ({ outputFile }) => outputFile,
  error_file: ({ errorFile }) => errorFile,
  facts: ({ id: _id, user: _user, outputFile: _output, errorFile: _errors, endedAt: _end, ...facts }) =>
    JSON.stringify(facts),
  ended_at: ({ endedAt }) => endedAt,
} as const satisfies Columns<BatchFile>;

const LINE_COLUMNS = {
  seq: ({ seq }) => seq,
  custom_id: ({ customId }) => customId,
  failure: ({ failure }) => JSON.stringify(failure),
} as const satisfies Columns<RefusedLine>;

export const BATCH_FILE = namesOf(BATCH_FILE_COLUMNS);
export const REFUSED_LINE = namesOf(LINE_COLUMNS);
export const rowOfBatchFile = rowMaker<BatchFile>(BATCH_FILE_COLUMNS);
export const rowOfRefusedLine = rowMaker<RefusedLine>(LINE_COLUMNS);
const IN_BATCH_FILE = placesOf(BATCH_FILE);
const IN_LINE = placesOf(REFUSED_LINE);

const BATCH_FILES = `SELECT ${BATCH_FILE.join()} FROM batch_files`;

/** What changes of a stored one. */
export const BATCH_FILE_RENEWED = ["output_file", "error_file", "facts", "ended_at"]
  .map((name) => `${name} = excluded.${name}`)
  .join();

/** The batch of a row of `BATCH_FILE`. */
export function batchFileOf(row: Row): BatchFile {
  const facts = JSON.parse(row[IN_BATCH_FILE.facts] as string) as Omit<BatchFile, "id" | "user">;
  return {
    ...facts,
    id: row[IN_BATCH_FILE.id] as string,
    user: row[IN_BATCH_FILE.user] as string,
    outputFile: row[IN_BATCH_FILE.output_file] as string | null,
    errorFile: row[IN_BATCH_FILE.error_file] as string | null,
    endedAt: row[IN_BATCH_FILE.ended_at] as number | null,
  };
}

/** The line of a row of `REFUSED_LINE`. */
export function refusedLineOf(row: Row): RefusedLine {
  return {
    seq: row[IN_LINE.seq] as number,
    customId: row[IN_LINE.custom_id] as string | null,
    failure: JSON.parse(row[IN_LINE.failure] as string) as LineFailure,
  };
}

export function findBatchFile(sql: Statements, id: string): Row[] {
  return sql.rows(`${BATCH_FILES} WHERE id = :id`, { id });
}

export function batchFileOfOutput(sql: Statements, file: string): Row[] {
  return sql.rows(`${BATCH_FILES} WHERE output_file = :file UNION ALL ${BATCH_FILES} WHERE error_file = :file`, {
    file,
  });
}

export function listBatchFiles(sql: Statements, { user, after, limit }: BatchFileFilter): Row[] {
  const conditions = [
    ...(user === undefined ? [] : ["user = :user"]),
    ...(after === undefined ? [] : ["number < (SELECT number FROM batch_files WHERE id = :after)"]),
  ];
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
  return sql.rows(`${BATCH_FILES} ${where} ORDER BY number DESC LIMIT :limit`, {
    limit,
    ...(user !== undefined && { user }),
    ...(after !== undefined && { after }),
  });
}

/** Rows of `BATCH_FILE`, each with the id of one of its files behind it. */
export function listOutputs(sql: Statements, { user, order, after, limit }: OutputFilter): Row[] {
  const way = order === "asc" ? ">" : "<";
  const part = (column: "output_file" | "error_file"): string => {
    const conditions = [
      `${column} IS NOT NULL`,
      ...(user === undefined ? [] : ["user = :user"]),
      ...(after === undefined ? [] : [`${column} ${way} :after`]),
    ].join(" AND ");
    const found = `SELECT ${BATCH_FILE.join()}, ${column} AS file FROM batch_files WHERE ${conditions}`;
    return `SELECT * FROM (${found} ORDER BY ${column} ${order} LIMIT :limit)`;
  };
  const list = `${part("output_file")} UNION ALL ${part("error_file")} ORDER BY file ${order} LIMIT :limit`;
  return sql.rows(list, { limit, ...(user !== undefined && { user }), ...(after !== undefined && { after }) });
}

/** The id behind a row of `listOutputs`. */
export function outputIdOf(row: Row): string {
  return row[BATCH_FILE.length] as string;
}

export function unfinishedBatchFiles(sql: Statements): Row[] {
  return sql.rows(`${BATCH_FILES} WHERE ended_at IS NULL ORDER BY number`);
}

export function refusedLines(sql: Statements, from: number, to: number, limit: number): Row[] {
  const found = `SELECT ${REFUSED_LINE.join()} FROM refused_lines WHERE seq BETWEEN :from AND :to ORDER BY seq LIMIT :limit`;
  return sql.rows(found, { from, to, limit });
}

/** Removes what is beside a batch that is gone. @param lines the first and the last `seq` of its tasks */
export function removeBesides(sql: Statements, id: string, [from, to]: readonly [number, number]): void {
  sql.run("DELETE FROM refused_lines WHERE seq BETWEEN :from AND :to", { from, to });
  sql.run("DELETE FROM batch_files WHERE id = :id", { id });
}

/** Those that ended before, and have no task any more; at most one. */
export function dueBatchFile(sql: Statements, endedBefore: number): string | undefined {
  const due = `
    SELECT id FROM batch_files INDEXED BY batch_files_by_end WHERE ended_at < :endedBefore
      AND NOT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_by_batch WHERE batch_id = batch_files.id)
    ORDER BY ended_at LIMIT 1`;
  return sql.records<{ id: string }>(due, { endedBefore })[0]?.id;
}

/** A batch with its lines that are no tasks. @param state of its tasks alone */
export function withLines({ batch, counts, unbound }: BatchState): BatchState {
  const { lines } = batch;
  if (lines === null) return { batch, counts, unbound };
  const { toCome, closed } = lines;
  const all: Record<TaskStatus, number> = { ...counts };
  all.failed += lines.failed;
  all.canceled += lines.canceled;
  all[closed === null ? "queued" : closed.why === "canceled" ? "canceled" : "failed"] += toCome;
  return { batch, counts: all, unbound: unbound + (closed === null ? toCome : 0) };
}
