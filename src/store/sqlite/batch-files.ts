/* The statements of batches that come from files, and their lines that are no tasks. Everything here blocks. */
import type { BatchFileFilter, OutputFilter } from "../batch-files.ts";
import { BATCH_FILE, REFUSED_LINE } from "../thread/batch-file-rows.ts";
import type { Row } from "../thread/columns.ts";
import type { Statements } from "./statements.ts";

const BATCH_FILES = `SELECT ${BATCH_FILE.join()} FROM batch_files`;

/** The columns of a stored batch file that change. */
export const BATCH_FILE_RENEWED = ["output_file", "error_file", "facts", "ended_at"]
  .map((name) => `${name} = excluded.${name}`)
  .join();

export function findBatchFile(sql: Statements, id: string): Row[] {
  return sql.rows(`${BATCH_FILES} WHERE id = :id`, { id });
}

export function batchFileOfOutput(sql: Statements, file: string): Row[] {
  return sql.rows(`${BATCH_FILES} WHERE output_file = :file UNION ALL ${BATCH_FILES} WHERE error_file = :file`, {
    file,
  });
}

export function listBatchFiles(sql: Statements, { user, team, after, limit }: BatchFileFilter): Row[] {
  const conditions = [
    ...(user === undefined ? [] : ["user = :user"]),
    ...(team === undefined ? [] : ["team = :team"]),
    ...(after === undefined ? [] : ["number < (SELECT number FROM batch_files WHERE id = :after)"]),
  ];
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
  return sql.rows(`${BATCH_FILES} ${where} ORDER BY number DESC LIMIT :limit`, {
    limit,
    ...(user !== undefined && { user }),
    ...(team !== undefined && { team }),
    ...(after !== undefined && { after }),
  });
}

/** Rows of `BATCH_FILE`, each with the id of one of its files behind it. */
export function listOutputs(sql: Statements, { user, team, order, after, limit }: OutputFilter): Row[] {
  const way = order === "asc" ? ">" : "<";
  const part = (column: "output_file" | "error_file"): string => {
    const conditions = [
      `${column} IS NOT NULL`,
      ...(user === undefined ? [] : ["user = :user"]),
      ...(team === undefined ? [] : ["team = :team"]),
      ...(after === undefined ? [] : [`${column} ${way} :after`]),
    ].join(" AND ");
    const found = `SELECT ${BATCH_FILE.join()}, ${column} AS file FROM batch_files WHERE ${conditions}`;
    return `SELECT * FROM (${found} ORDER BY ${column} ${order} LIMIT :limit)`;
  };
  const list = `${part("output_file")} UNION ALL ${part("error_file")} ORDER BY file ${order} LIMIT :limit`;
  return sql.rows(list, {
    limit,
    ...(user !== undefined && { user }),
    ...(team !== undefined && { team }),
    ...(after !== undefined && { after }),
  });
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
