/* A database on a PostgreSQL server as one end of a copy. */
import { hostname } from "node:os";
import { AltLasError } from "../../errors.ts";
import {
  CHARACTERS,
  type Content,
  type CopyTarget,
  type LastNumbers,
  ROWS,
  stampOf,
  type Table,
  TABLES,
} from "../copying/end.ts";
import { lockDataDir } from "../data-dir-lock.ts";
import type { FileBytes } from "../file-bytes.ts";
import type { FileLock } from "../file-lock.ts";
import type { Row } from "../thread/columns.ts";
import { columnsOf } from "./arrays.ts";
import { listOf, unnested } from "./columns.ts";
import { openFailure, shownUrl } from "./failures.ts";
import { PostgresBytes } from "./file-bytes.ts";
import { type Held, hold } from "./hold.ts";
import { type Sessions, serveBytes } from "./pieces.ts";
import { Readers } from "./readers.ts";
import type { Session } from "./session.ts";
import { COUNT_STORED_BYTES } from "./stored-bytes.ts";
import { MAKE_MARK, markOf, REMOVE_MARK } from "./unfinished.ts";

export interface PostgresEndOptions {
  readonly url: string;
  readonly schema: string;
  readonly dataDir: string;
}

/** Whose numbers come from a sequence. */
const NUMBERED = ["deliveries", "batch_files"];
const COLUMNS = `
  SELECT attname, atttypid = 'text'::regtype FROM pg_attribute
  WHERE attrelid = :table::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`;
/** Tables that belong to this kind of database, and are copied in another way or follow from the rest. */
const BESIDE = ["stored_bytes", "file_pieces", "users", "api_keys", "removed_users", "key_uses"];
const LAST_NUMBERS = `
  SELECT greatest(last_seq, (SELECT max(seq) FROM tasks)), greatest(last_audit, (SELECT max(number) FROM audit)) FROM removed`;

/** The columns of a table, and those of them that are texts. */
interface Columns {
  readonly all: readonly string[];
  readonly texts: readonly string[];
}

export class PostgresEnd implements CopyTarget {
  readonly shown: string;
  readonly bytes: FileBytes;
  readonly instead = "name an empty schema in store.schema, or drop this one";
  readonly #held: Held;
  readonly #reader: Readers;
  readonly #lock: FileLock;
  readonly #columns = new Map<string, Columns>();

  private constructor(shown: string, held: Held, lock: FileLock) {
    this.shown = shown;
    this.#held = held;
    this.#lock = lock;
    this.#reader = new Readers(held.link, 1);
    const sessions: Sessions = {
      read: (work) => this.#reader.read(work),
      change: (work) => held.writer.transact(work),
    };
    this.bytes = new PostgresBytes((kind, request) => serveBytes(sessions, kind, request));
  }

  /**
   * @param isSource it has to have tasks, and all of a copy that made them
   * @throws {AltLasError} `conflict`: a server has it, or the data directory; `bad_config`, `store_unavailable`
   */
  static async open({ url, schema, dataDir }: PostgresEndOptions, isSource: boolean): Promise<PostgresEnd> {
    const shown = `the schema ${schema} of ${shownUrl(url)}`;
    const lock = lockDataDir(dataDir);
    let held: Held | undefined;
    try {
      const about = { host: hostname(), process: process.pid, dataDir };
      const look = (session: Session): Promise<void> => (isSource ? refuseNoSource(session, shown) : Promise.resolve());
      held = await hold({ url, schema, about }, () => {}, look);
      await held.writer.connect();
      return new PostgresEnd(shown, held, lock);
    } catch (error) {
      // Else it would go on holding the database, and this process would not end.
      await held?.link.close();
      lock.release();
      throw openFailure(error, shownUrl(url));
    }
  }

  async columns(table: Table): Promise<readonly string[]> {
    return (await this.#of(table)).all;
  }

  async count({ name }: Table): Promise<number> {
    const [[count] = []] = await this.#reader.read((session) => session.rows(`SELECT count(*) FROM ${name}`));
    return count as number;
  }

  /** Asks how long the rows are before it reads them. */
  async read(table: Table, columns: readonly string[], after: Row | null): Promise<readonly Row[]> {
    const { texts } = await this.#of(table);
    const { name, key } = table;
    const size = ["0", ...texts.map((text) => `coalesce(octet_length("${text}"), 0)`)].join(" + ");
    const keys = key.map((_, place) => `:k${place}`).join();
    const where = after === null ? "" : `WHERE (${listOf(key)}) > (${keys})`;
    const from = `FROM ${name} ${where} ORDER BY ${listOf(key)} LIMIT :limit`;
    const behind = Object.fromEntries((after ?? []).map((value, place) => [`k${place}`, value]));
    return this.#reader.read(async (session) => {
      const sizes = await session.numbers(`SELECT ${size} ${from}`, { ...behind, limit: ROWS });
      return session.rows(`SELECT ${listOf(columns)} ${from}`, { ...behind, limit: fitting(sizes) });
    });
  }

  async last({ name, key }: Table): Promise<Row | null> {
    const order = key.map((column) => `"${column}" DESC`).join();
    const sql = `SELECT ${listOf(key)} FROM ${name} ORDER BY ${order} LIMIT 1`;
    return (await this.#reader.read((session) => session.rows(sql)))[0] ?? null;
  }

  async lastNumbers(): Promise<LastNumbers> {
    const [row] = await this.#reader.read((session) => session.rows(LAST_NUMBERS));
    const [seq, audit] = row as readonly number[];
    return { seq: seq!, audit: audit! };
  }

  async content(): Promise<Content> {
    const mark = await this.#reader.read(markOf);
    if (mark !== null) return { kind: "part", stamp: mark };
    const stamp = await stampOf(this);
    for (const table of TABLES)
      if (table.name !== "clock" && (await this.last(table)) !== null) return { kind: "data", stamp: stamp ?? "" };
    return { kind: "nothing" };
  }

  async begin(stamp: string): Promise<void> {
    const names = [...TABLES.map(({ name }) => name), ...BESIDE].join();
    await this.#held.writer.transact(async (session) => {
      await session.run(
        `${REMOVE_MARK}; ${MAKE_MARK}; TRUNCATE ${names}; UPDATE removed SET last_seq = 0, last_audit = 0`,
      );
      await session.change("INSERT INTO copying (stamp) VALUES (:stamp)", { stamp });
    });
  }

  async write({ name }: Table, columns: readonly string[], rows: readonly Row[]): Promise<void> {
    const sql = `INSERT INTO ${name} (${listOf(columns)}) OVERRIDING SYSTEM VALUE SELECT * FROM ${unnested(columns, "copied")}`;
    const values = columnsOf(rows, columns.length);
    await this.#held.writer.transact((session) => session.change(sql, values));
  }

  async setLastNumbers(values: LastNumbers): Promise<void> {
    await this.#held.writer.transact(async (session) => {
      await session.run(COUNT_STORED_BYTES);
      await session.change("UPDATE removed SET last_seq = :seq, last_audit = :audit", { ...values });
      for (const table of NUMBERED)
        await session.rows(`
          SELECT setval(pg_get_serial_sequence('${table}', 'number'), max(number)) FROM ${table} HAVING count(*) > 0`);
    });
  }

  async finish(): Promise<void> {
    await this.#held.writer.transact((session) => session.run(REMOVE_MARK));
  }

  async close(): Promise<void> {
    await this.#held.link.close();
    this.#lock.release();
  }

  async #of({ name }: Table): Promise<Columns> {
    const known = this.#columns.get(name);
    if (known !== undefined) return known;
    const rows = await this.#reader.read((session) => session.rows(COLUMNS, { table: name }));
    const all = rows.map(([column]) => column as string);
    const texts = rows.filter(([, isText]) => isText as unknown as boolean).map(([column]) => column as string);
    const columns = { all, texts };
    this.#columns.set(name, columns);
    return columns;
  }
}

/** How many of the first rows are read at once; one at least. */
function fitting(sizes: readonly number[]): number {
  let characters = 0;
  const place = sizes.findIndex((size) => (characters += size) > CHARACTERS);
  return place === -1 ? ROWS : Math.max(place, 1);
}

/** @throws {AltLasError} `bad_config` */
async function refuseNoSource(session: Session, shown: string): Promise<void> {
  const [[isThere] = []] = await session.rows("SELECT to_regclass('tasks') IS NOT NULL");
  if ((isThere as unknown) !== true) throw new AltLasError("bad_config", `There are no tasks in ${shown}.`);
  if ((await markOf(session)) !== null)
    throw new AltLasError("bad_config", `A copy into ${shown} was broken off, and has to be finished first.`);
}
