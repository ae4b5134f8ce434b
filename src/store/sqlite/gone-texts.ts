/* Removes the texts of tasks whose texts are kept until they are read. All else of such a task stays. */
import { isFinal, TASK_STATUSES } from "../../task.ts";
import type { Row } from "../thread/columns.ts";
import { IN_TRIED } from "../thread/records.ts";
import { shortNote, TEXT_COLUMNS, withoutResult, withoutWords, type Worded } from "../thread/gone-text-rows.ts";
import type { Statements } from "./statements.ts";

const IS_FINAL = `status IN (${TASK_STATUSES.filter((status) => isFinal(status))
  .map((status) => `'${status}'`)
  .join()})`;

const FOUND = `
  SELECT id, attempts, sampling, error_code, error_sentence FROM tasks
  WHERE seq = :seq AND texts = 'until_read' AND ${IS_FINAL}`;
const EMPTY = `
  UPDATE tasks SET texts = 'removed', request = NULL, prefix = NULL, attempts = :attempts, sampling = :sampling, error_sentence = :error,
    ${TEXT_COLUMNS.map((name) => `${name} = NULL`).join()}
  WHERE seq = :seq`;
const DELIVERED = `
  SELECT seq FROM deliveries JOIN tasks ON tasks.id = deliveries.subject
  WHERE deliveries.id = :id AND deliveries.event <> 'task.running' AND texts = 'until_read'`;

interface Found extends Worded {
  readonly id: string;
}

/**
 * Within a transaction of the caller's.
 * @param time milliseconds after which no further task is begun
 * @returns whether any were removed
 */
export function removeTexts(sql: Statements, seqs: readonly number[], time = Infinity): boolean {
  const end = performance.now() + time;
  let removed = false;
  for (const seq of seqs) {
    const [found] = sql.records<Found>(FOUND, { seq });
    if (found === undefined) continue;
    removeText(sql, seq, found);
    removed = true;
    if (performance.now() > end) break;
  }
  return removed;
}

/** The end of a task is with its receiver, who has read it so. @param row of a delivery that was tried @returns as `removeTexts` */
export function removeDelivered(sql: Statements, row: Row): boolean {
  if (row[IN_TRIED.status] !== "delivered") return false;
  return removeTexts(sql, sql.numbers(DELIVERED, { id: row[IN_TRIED.id]! }));
}

function removeText(sql: Statements, seq: number, { id, ...found }: Found): void {
  sql.run(EMPTY, { seq, ...withoutWords(found) });
  sql.run("DELETE FROM requests WHERE seq = :seq", { seq });
  shortenNote(sql, seq);
  for (const { number, body } of sql.records<{ number: number; body: string }>(
    "SELECT number, body FROM deliveries WHERE subject = :id",
    { id },
  ))
    sql.run("UPDATE deliveries SET body = :body WHERE number = :number", { number, body: withoutResult(body) });
}

function shortenNote(sql: Statements, seq: number): void {
  const [row] = sql.records<{ note: string }>("SELECT note FROM notes WHERE seq = :seq", { seq });
  if (row === undefined) return;
  const note = shortNote(row.note);
  if (note === null) sql.run("DELETE FROM notes WHERE seq = :seq", { seq });
  else sql.run("UPDATE notes SET note = :note WHERE seq = :seq", { seq, note });
}
