/* Writes new tasks and changes of tasks. Everything here blocks, within a transaction of the caller's. */
import type { Row } from "../thread/columns.ts";
import type { CountChange } from "../thread/counts.ts";
import {
  CHANGED,
  countOfNew,
  countsOfChange,
  IN_CHANGED,
  IN_NEW,
  INSERTED,
  KEPT_IF_NULL,
  type NewRow,
  UPDATED,
} from "../thread/rows.ts";
import type { Statements } from "./statements.ts";
import { StoredBytesChange } from "./stored-bytes.ts";

/** By the length of the row. */
const INSERT_TASK = lengthsOf(INSERTED).map((length) => insertOf(INSERTED.slice(0, length)));
const UPDATE_TASK = lengthsOf(CHANGED).map((length) => updateOf(length));
/** Bytes would else be stored as bytes. */
const INSERT_REQUEST = "INSERT INTO requests (seq, request) VALUES (?, CAST(? AS TEXT))";

/** @returns how the numbers of tasks change by it */
export function writeTasks(sql: Statements, inserts: readonly NewRow[], updates: readonly Row[]): CountChange[] {
  const changes: CountChange[] = [];
  const bytes = new StoredBytesChange(sql);
  for (const { row, request } of inserts) {
    bytes.inserted(row);
    sql.run(INSERT_TASK[row.length]!, row);
    if (request !== null) sql.run(INSERT_REQUEST, [row[IN_NEW.seq]!, request]);
    changes.push(countOfNew(row));
  }
  for (const row of updates) {
    bytes.changes(row);
    const changed = sql.run(UPDATE_TASK[row.length]!, row);
    if (changed === 0) throw new Error(`task number ${row[IN_CHANGED.seq]} is not in the database`);
    changes.push(...countsOfChange(row));
  }
  bytes.write();
  return changes;
}

/** From 0 to all of them. */
function lengthsOf(columns: readonly unknown[]): number[] {
  return Array.from({ length: columns.length + 1 }, (_, length) => length);
}

function insertOf(columns: readonly string[]): string {
  return `INSERT INTO tasks (${columns.join()}) VALUES (${columns.map(() => "?").join()})`;
}

/** @param length of the row: columns that it does not reach become NULL, but for the one that is kept */
function updateOf(length: number): string {
  const set = UPDATED.map((name) => {
    const place = IN_CHANGED[name];
    const value = place < length ? `?${place + 1}` : "NULL";
    return `${name} = ${name === KEPT_IF_NULL ? `coalesce(${value}, ${name})` : value}`;
  });
  return `UPDATE tasks SET ${set.join()} WHERE seq = ?${IN_CHANGED.seq + 1}`;
}
