/* The statements of batches that come from files, and their lines that are no tasks. */
import type { BatchFileFilter, OutputFilter } from "../batch-files.ts";
import { BATCH_FILE, REFUSED_LINE } from "../thread/batch-file-rows.ts";
import type { Row } from "../thread/columns.ts";
import { listOf } from "./columns.ts";
import type { Session } from "./session.ts";

const BATCH_FILES = `SELECT ${listOf(BATCH_FILE)} FROM batch_files`;

export function findBatchFile(session: Session, id: string): Promise<Row[]> {
  return session.rows(`${BATCH_FILES} WHERE id = :id`, { id });
}

export function batchFileOfOutput(session: Session, file: string): Promise<Row[]> {
  const found = `${BATCH_FILES} WHERE output_file = :file UNION ALL ${BATCH_FILES} WHERE error_file = :file`;
  return session.rows(found, { file });
}

export function listBatchFiles(session: Session, { user, team, after, limit }: BatchFileFilter): Promise<Row[]> {
  const conditions = [
    ...(user === undefined ? [] : ['"user" = :user']),
    ...(team === undefined ? [] : ["team = :team"]),
    ...(after === undefined ? [] : ["number < (SELECT number FROM batch_files WHERE id = :after)"]),
  ];
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
  return session.rows(`${BATCH_FILES} ${where} ORDER BY number DESC LIMIT :limit`, { user, team, after, limit });
}

/** Rows of `BATCH_FILE`, each with the id of one of its files behind it. */
export function listOutputs(session: Session, { user, team, order, after, limit }: OutputFilter): Promise<Row[]> {
  const way = order === "asc" ? ">" : "<";
  const part = (column: "output_file" | "error_file"): string => {
    const conditions = [
      `${column} IS NOT NULL`,
      ...(user === undefined ? [] : ['"user" = :user']),
      ...(team === undefined ? [] : ["team = :team"]),
      ...(after === undefined ? [] : [`${column} ${way} :after`]),
    ].join(" AND ");
    const found = `SELECT ${listOf(BATCH_FILE)}, ${column} AS file FROM batch_files WHERE ${conditions}`;
    return `(${found} ORDER BY ${column} ${order} LIMIT :limit)`;
  };
  const list = `${part("output_file")} UNION ALL ${part("error_file")} ORDER BY file ${order} LIMIT :limit`;
  return session.rows(list, { user, team, after, limit });
}

export function unfinishedBatchFiles(session: Session): Promise<Row[]> {
  return session.rows(`${BATCH_FILES} WHERE ended_at IS NULL ORDER BY number`);
}

export function refusedLines(session: Session, from: number, to: number, limit: number): Promise<Row[]> {
  const found = `SELECT ${listOf(REFUSED_LINE)} FROM refused_lines WHERE seq BETWEEN :from AND :to ORDER BY seq LIMIT :limit`;
  return session.rows(found, { from, to, limit });
}
