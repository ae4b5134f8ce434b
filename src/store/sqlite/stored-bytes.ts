/*
 * Bytes of the texts of each user's tasks, in the table `stored_bytes`: new and ended tasks are summed here, one statement for each user
 * and transaction. Triggers do the same for what removes tasks or texts; for each new task they took longer than its row.
 */
import { isFinal, type TaskStatus } from "../../task.ts";
import type { Row, Value } from "../thread/columns.ts";
import { IN_CHANGED, IN_NEW } from "../thread/rows.ts";
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

type Places = Readonly<Record<"result_text" | "logprobs" | "embeddings", number>>;

/** The changes of one transaction. */
export class StoredBytesChange {
  readonly #sql: Statements;
  readonly #byUser = new Map<string, { tasks: number; bytes: number }>();

  constructor(sql: Statements) {
    this.#sql = sql;
  }

  /** @param row of a new task */
  inserted(row: Row): void {
    const texts = row[IN_NEW.texts];
    const ofRequest = texts === "never" || texts === "removed" ? 0 : (row[IN_NEW.size] as number);
    this.#add(row[IN_NEW.user] as string, 1, ofRequest + resultBytes(row, IN_NEW));
  }

  /** To be called before the change is written. @param row of a change; an end may be written again */
  changes(row: Row): void {
    const wasEnded = isFinal(row[IN_CHANGED.was] as TaskStatus);
    const before = wasEnded ? (this.#sql.numbers(OF_RESULT, { seq: row[IN_CHANGED.seq]! })[0] ?? 0) : 0;
    const difference = resultBytes(row, IN_CHANGED) - before;
    if (difference !== 0) this.#add(row[IN_CHANGED.user] as string, 0, difference);
  }

  /** Within the transaction. */
  write(): void {
    for (const [user, { tasks, bytes }] of this.#byUser) this.#sql.run(ADD, [user, tasks, bytes]);
  }

  #add(user: string, tasks: number, bytes: number): void {
    const sums = this.#byUser.get(user);
    if (sums === undefined) this.#byUser.set(user, { tasks, bytes });
    else {
      sums.tasks += tasks;
      sums.bytes += bytes;
    }
  }
}

function resultBytes(row: Row, { result_text, logprobs, embeddings }: Places): number {
  return bytesOf(row[result_text]) + bytesOf(row[logprobs]) + bytesOf(row[embeddings]);
}

/** A row of a live task has no such columns. */
function bytesOf(value: Value | undefined): number {
  return typeof value === "string" ? Buffer.byteLength(value) : 0;
}
