/* A database in a file as one end of a copy. */
import { existsSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { renameSync } from "../../common/rename.ts";
import { syncFolder } from "../../common/sync.ts";
import { shellWord } from "../../common/paste.ts";
import { AltLasError, messageOf } from "../../errors.ts";
import {
  CHARACTERS,
  type Content,
  type CopyEnd,
  type CopyTarget,
  type LastNumbers,
  ROWS,
  stampOf,
  type Table,
  TABLES,
} from "../copying/end.ts";
import type { FileBytes } from "../file-bytes.ts";
import type { Row } from "../thread/columns.ts";
import { charactersOfRow } from "../thread/rows.ts";
import { lacksLog } from "./log-mark.ts";
import { isDamage, openDatabase, withoutLog } from "./schema.ts";
import { countStoredBytes } from "./stored-bytes.ts";
import { Statements } from "./statements.ts";

/** Columns that only this kind of database has: numbers of rows that have a key of their own. */
const OWN: Readonly<Record<string, string>> = { files: "number", idempotency_keys: "number" };

/** @throws {AltLasError} `conflict`: a server has it; `bad_config`: it is not there, not ours, damaged or lacks its log */
export function openSource(path: string, bytes: FileBytes): CopyEnd {
  if (!existsSync(path)) throw new AltLasError("bad_config", `There is no task database at ${path}.`);
  if (lacksLog(path)) throw withoutLog(path);
  return new SqliteEnd(path, opened(path), bytes);
}

function opened(path: string): DatabaseSync {
  try {
    return openDatabase(path);
  } catch (error) {
    if (!isDamage(error)) throw error;
    throw new AltLasError("bad_config", `${path} is damaged (${messageOf(error)}); restore a backup`, { cause: error });
  }
}

class SqliteEnd implements CopyEnd {
  readonly shown: string;
  readonly bytes: FileBytes;
  protected readonly sql: Statements;

  constructor(shown: string, db: DatabaseSync, bytes: FileBytes) {
    this.shown = shown;
    this.bytes = bytes;
    this.sql = new Statements(db);
  }

  columns({ name }: Table): Promise<readonly string[]> {
    const columns = this.sql.records<{ name: string }>(`SELECT name FROM pragma_table_info('${name}')`);
    return Promise.resolve(columns.map((column) => column.name).filter((column) => OWN[name] !== column));
  }

  count({ name }: Table): Promise<number> {
    return Promise.resolve(this.sql.numbers(`SELECT count(*) FROM ${name}`)[0]!);
  }

  read({ name, key }: Table, columns: readonly string[], after: Row | null): Promise<readonly Row[]> {
    const where = after === null ? "" : `WHERE (${listOf(key)}) > (${key.map((_, place) => `:k${place}`).join()})`;
    const sql = `SELECT ${listOf(columns)} FROM ${name} ${where} ORDER BY ${listOf(key)} LIMIT ${ROWS}`;
    const behind = Object.fromEntries((after ?? []).map((value, place) => [`k${place}`, value]));
    const rows: Row[] = [];
    let characters = 0;
    for (const row of this.sql.each(sql, behind)) {
      rows.push(row);
      characters += charactersOfRow(row);
      if (characters > CHARACTERS) break;
    }
    return Promise.resolve(rows);
  }

  last({ name, key }: Table): Promise<Row | null> {
    const order = key.map((column) => `"${column}" DESC`).join();
    return Promise.resolve(this.sql.rows(`SELECT ${listOf(key)} FROM ${name} ORDER BY ${order} LIMIT 1`)[0] ?? null);
  }

  lastNumbers(): Promise<LastNumbers> {
    const [row] = this.sql.rows(`
      SELECT max(last_seq, coalesce((SELECT max(seq) FROM tasks), 0)),
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0) FROM removed`);
    const [seq, audit] = row as readonly number[];
    return Promise.resolve({ seq: seq!, audit: audit! });
  }

  close(): Promise<void> {
    this.sql.close();
    return Promise.resolve();
  }
}

function listOf(columns: readonly string[]): string {
  return columns.map((name) => `"${name}"`).join();
}

/** @throws {AltLasError} `conflict`: a server has it, or the log of another one is there; `bad_config` */
export function openTarget(path: string, bytes: FileBytes): CopyTarget {
  if (hasBytes(path)) return new SqliteTarget(path, path, bytes);
  if (!hasBytes(`${path}-wal`)) return new SqliteTarget(path, `${path}.copying`, bytes);
  const sentence = `${path}-wal is the log of a database that is gone. Put that back beside it, or move the log away.`;
  throw new AltLasError("conflict", sentence);
}

function hasBytes(file: string): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** The file gets its name when it is finished: until then no server finds it. */
class SqliteTarget extends SqliteEnd implements CopyTarget {
  readonly instead: string;
  readonly #path: string;
  readonly #file: string;
  #isOpen = true;

  constructor(path: string, file: string, bytes: FileBytes) {
    super(path, opened(file), bytes);
    const aside = `mv ${shellWord(path)} ${shellWord(`${path}.before`)}`;
    this.instead = `move it away first (${aside}), or name another one with --file`;
    this.#path = path;
    this.#file = file;
  }

  async content(): Promise<Content> {
    const isMarked = this.sql.rows(`SELECT 1 FROM sqlite_schema WHERE name = 'copying'`).length > 0;
    if (isMarked) return { kind: "part", stamp: this.sql.rows("SELECT stamp FROM copying")[0]?.[0] as string };
    const stamp = await stampOf(this);
    if (this.#file === this.#path) return { kind: "data", stamp: stamp ?? "" };
    // Finished, and without its name yet.
    return stamp === null ? { kind: "nothing" } : { kind: "part", stamp };
  }

  begin(stamp: string): Promise<void> {
    this.sql.transaction(() => {
      this.sql.run("CREATE TABLE IF NOT EXISTS copying (stamp TEXT NOT NULL)");
      for (const { name } of TABLES) this.sql.run(`DELETE FROM ${name}`);
      this.sql.run("DELETE FROM copying");
      this.sql.run("INSERT INTO copying VALUES (:stamp)", { stamp });
    });
    return this.setLastNumbers({ seq: 0, audit: 0 });
  }

  write({ name }: Table, columns: readonly string[], rows: readonly Row[]): Promise<void> {
    const sql = `INSERT INTO ${name} (${listOf(columns)}) VALUES (${columns.map(() => "?").join()})`;
    this.sql.transaction(() => {
      for (const row of rows) this.sql.run(sql, row);
    });
    return Promise.resolve();
  }

  setLastNumbers({ seq, audit }: LastNumbers): Promise<void> {
    this.sql.transaction(() => {
      countStoredBytes(this.sql);
      this.sql.run("UPDATE removed SET last_seq = :seq", { seq });
      this.sql.run("DELETE FROM sqlite_sequence WHERE name = 'audit'");
      this.sql.run("INSERT INTO sqlite_sequence (name, seq) VALUES ('audit', :audit)", { audit });
    });
    return Promise.resolve();
  }

  async finish(): Promise<void> {
    this.sql.run("DROP TABLE IF EXISTS copying");
    if (this.#file === this.#path) return;
    this.sql.moveLog();
    await this.close();
    renameSync(this.#file, this.#path);
    syncFolder(dirname(resolve(this.#path)));
  }

  override close(): Promise<void> {
    if (!this.#isOpen) return Promise.resolve();
    this.#isOpen = false;
    return super.close();
  }
}
