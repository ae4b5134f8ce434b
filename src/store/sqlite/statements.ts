import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Row, Value } from "../thread/columns.ts";

/** Values by the names that statements give them; a statement takes those it names. */
export type Values = Readonly<Record<string, Value>>;

/** Values in the order in which a statement has them. */
type BoundRow = readonly (Value | Uint8Array)[];

/** The statements of one open database, each prepared once. Everything here blocks. */
export class Statements {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();
  /** Those whose rows are objects. */
  readonly #named = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** As they cross to the other thread. */
  rows(sql: string, values: Values = {}): Row[] {
    return arrays(this.#prepare(sql).all(values));
  }

  /** By the names of their columns. */
  records<T extends Readonly<Record<keyof T, Value>>>(sql: string, values: Values = {}): T[] {
    return this.#prepare(sql, this.#named).all(values) as unknown[] as T[];
  }

  /** As `rows`, one at a time; the statement must not be used again before the last of them. */
  each(sql: string, values: Values = {}): Iterable<Row> {
    return this.#prepare(sql).iterate(values) as Iterable<unknown> as Iterable<Row>;
  }

  /** The first column. */
  numbers(sql: string, values: Values = {}): number[] {
    return this.rows(sql, values).map((row) => row[0] as number);
  }

  /** @returns how many rows were changed */
  run(sql: string, values: BoundRow | Values = {}): number {
    const statement = this.#prepare(sql);
    const { changes } = isRow(values) ? statement.run(...values) : statement.run(values);
    return Number(changes);
  }

  /**
   * Runs `action` in one transaction: all of its writes, or none. @returns what it does
   * @throws what `action` and SQLite throw; then nothing is written
   */
  transaction<T>(action: () => T): T {
    this.#prepare("BEGIN IMMEDIATE").run();
    try {
      const value = action();
      this.#prepare("COMMIT").run();
      return value;
    } catch (error) {
      // A full disk and some other errors have already rolled back.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }

  /** Moves the log into the database file, and empties it. @throws when it cannot be moved whole */
  moveLog(): void {
    const [busy] = this.numbers("PRAGMA wal_checkpoint(TRUNCATE)");
    if (busy !== 0) throw new Error("the log could not be moved into the database");
  }

  /** Moves the log into the database file, removes it and releases the lock. */
  close(): void {
    this.#db.close();
  }

  #prepare(sql: string, among = this.#prepared): StatementSync {
    let statement = among.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      statement.setReturnArrays(among === this.#prepared);
      statement.setAllowUnknownNamedParameters(true);
      among.set(sql, statement);
    }
    return statement;
  }
}

function isRow(values: BoundRow | Values): values is BoundRow {
  return Array.isArray(values);
}

/** The types of node:sqlite do not know `setReturnArrays`. */
function arrays(rows: unknown): Row[] {
  return rows as Row[];
}
