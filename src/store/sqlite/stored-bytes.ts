/*
 * Bytes of the texts of each user's tasks, in the table `stored_bytes`: new and ended tasks are summed here, one statement for each user
 * and transaction. Triggers do the same for what removes tasks or texts; for each new task they took longer than its row.
 */
import { ByteSums, isAgain } from "../thread/byte-sums.ts";
import type { Row } from "../thread/columns.ts";
import { IN_CHANGED } from "../thread/rows.ts";
import type { Statements } from "./statements.ts";

const ADD = `INSERT INTO stored_bytes (user, tasks, bytes) VALUES (?, ?, ?)
  ON CONFLICT (user) DO UPDATE SET tasks = tasks + excluded.tasks, bytes = bytes + excluded.bytes`;
const RESULT =
  "coalesce(octet_length(result_text), 0) + coalesce(octet_length(logprobs), 0) + coalesce(octet_length(embeddings), 0)";
const OF_RESULT = `SELECT ${RESULT} FROM tasks WHERE seq = :seq`;
const OF_ALL = `
  INSERT INTO stored_bytes (user, tasks, bytes)
  SELECT user, count(*), sum(iif(coalesce(texts, '') IN ('never', 'removed'), 0, size) + ${RESULT})
  FROM tasks GROUP BY user`;

/** Counts all of it anew, within a transaction of the caller's. It reads every task. */
export function countStoredBytes(sql: Statements): void {
  sql.run("DELETE FROM stored_bytes");
  sql.run(OF_ALL);
}

/** The changes of one transaction. */
export class StoredBytesChange {
  readonly #sql: Statements;
  readonly #sums = new ByteSums((text) => Buffer.byteLength(text));

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  /** @param row of a new task */
  inserted(row: Row): void {
    this.#sums.inserted(row);
  }

  /** To be called before the change is written. @param row of a change; an end may be written again */
  changes(row: Row): void {
    this.#sums.changed(row, isAgain(row) ? (this.#sql.numbers(OF_RESULT, { seq: row[IN_CHANGED.seq]! })[0] ?? 0) : 0);
  }

  /** Within the transaction. */
  write(): void {
    for (const [user, { tasks, bytes }] of this.#sums.byUser) this.#sql.run(ADD, [user, tasks, bytes]);
  }
}
