/* The tables, as the storage thread uses them. Everything here blocks. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { TASK_STATUSES, type TaskStatus } from "../task.ts";
import { Counts } from "./counts.ts";
import { CHANGING, IDENTITY, type Row } from "./rows.ts";
import type { TaskFilter } from "./store.ts";

const COLUMNS = [...IDENTITY, ...CHANGING];
const WHOLE = `SELECT ${COLUMNS.map((name) => `t.${name}`).join()}, p.text FROM tasks t JOIN prompts p ON p.seq = t.seq`;
const LISTED = `SELECT ${COLUMNS.join()} FROM tasks t`;
const PAGE = "ORDER BY seq DESC LIMIT :limit OFFSET :offset";
/** The index is sorted by user and status: one user's tasks are its five statuses merged, newest first. */
const OF_USER = TASK_STATUSES.map((status) => `SELECT seq FROM tasks WHERE user = :user AND status = '${status}'`);

type CountChange = readonly [user: string, status: TaskStatus, difference: number];

/** The tasks in one open database. */
export class TaskDatabase {
  readonly #db: DatabaseSync;
  readonly #counts = new Counts();
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
    const counted = this.#prepare("SELECT user, status, count(*) FROM tasks INDEXED BY tasks_by_user GROUP BY 1, 2");
    for (const [user, status, count] of arrays(counted.all())) {
      this.#counts.add(user as string, status as TaskStatus, count as number);
    }
  }

  /** The highest `seq` stored; 0: none. */
  lastSeq(): number {
    return this.#numbers("SELECT coalesce(max(seq), 0) FROM tasks")[0] ?? 0;
  }

  /** The tasks that have not ended, in submission order. */
  live(): Iterable<Row> {
    return this.#rowsOf(
      WHOLE,
      this.#numbers("SELECT seq FROM tasks WHERE status IN ('queued', 'running') ORDER BY seq"),
    );
  }

  /**
   * Writes all of these rows or none.
   * @throws what SQLite throws; then nothing is written
   */
  write(inserts: readonly Row[], updates: readonly Row[]): void {
    const changes: CountChange[] = [];
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      this.#insert(inserts, changes);
      this.#update(updates, changes);
      this.#db.exec("COMMIT");
    } catch (error) {
      // A full disk and some other errors have already rolled back.
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
    for (const [user, status, difference] of changes) this.#counts.add(user, status, difference);
  }

  get(id: string): Row | undefined {
    const [row] = arrays(this.#prepare(`${WHOLE} WHERE t.id = ?`).all(id));
    return row;
  }

  /** One page of the tasks that match, newest first, and how many match in all. */
  list(filter: TaskFilter): { rows: Iterable<Row>; total: number } {
    const { user, status, limit, offset } = filter;
    const total = this.#counts.total(user, status);
    if (offset >= total || limit === 0) return { rows: [], total };
    const page = { limit, offset, ...(user !== undefined && { user }), ...(status !== undefined && { status }) };
    return { rows: this.#rowsOf(LISTED, this.#numbers(pageQuery(filter), page)), total };
  }

  /** Moves the log into the database file, removes it and releases the lock. */
  close(): void {
    this.#db.close();
  }

  #insert(rows: readonly Row[], changes: CountChange[]): void {
    const marks = COLUMNS.map(() => "?").join();
    const task = this.#prepare(`INSERT INTO tasks (${COLUMNS.join()}) VALUES (${marks})`);
    const prompt = this.#prepare("INSERT INTO prompts (seq, text) VALUES (?, ?)");
    for (const row of rows) {
      task.run(...row.slice(0, COLUMNS.length));
      prompt.run(row[0] as number, row.at(-1) as string);
      changes.push([row[2] as string, row[IDENTITY.length] as TaskStatus, 1]);
    }
  }

  #update(rows: readonly Row[], changes: CountChange[]): void {
    const before = this.#prepare("SELECT user, status FROM tasks WHERE seq = ?");
    const task = this.#prepare(`UPDATE tasks SET ${CHANGING.map((name) => `${name} = ?`).join()} WHERE seq = ?`);
    for (const row of rows) {
      const [stored] = arrays(before.all(row.at(-1) as number));
      if (stored === undefined) throw new Error(`task number ${row.at(-1)} is not in the database`);
      task.run(...row);
      const user = stored[0] as string;
      changes.push([user, stored[1] as TaskStatus, -1], [user, row[0] as TaskStatus, 1]);
    }
  }

  *#rowsOf(select: string, seqs: readonly number[]): Iterable<Row> {
    const one = this.#prepare(`${select} WHERE t.seq = ?`);
    for (const seq of seqs) yield* arrays(one.all(seq));
  }

  #numbers(sql: string, values: Record<string, string | number> = {}): number[] {
    return arrays(this.#prepare(sql).all(values)).map((row) => row[0] as number);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      statement.setReturnArrays(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

function pageQuery({ user, status }: TaskFilter): string {
  if (user !== undefined && status !== undefined) {
    return `SELECT seq FROM tasks WHERE user = :user AND status = :status ${PAGE}`;
  }
  if (user !== undefined) return `${OF_USER.join(" UNION ALL ")} ${PAGE}`;
  if (status !== undefined) return `SELECT seq FROM tasks WHERE status = :status ${PAGE}`;
  return `SELECT seq FROM tasks ${PAGE}`;
}

/** The types of node:sqlite do not know `setReturnArrays`. */
function arrays(rows: unknown): Row[] {
  return rows as Row[];
}
