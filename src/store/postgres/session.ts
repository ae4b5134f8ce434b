/* One connection to PostgreSQL. */
import type { Socket } from "node:net";
import type { Client, ClientConfig, CustomTypesConfig, DatabaseError, Query, QueryResult } from "pg";
import { optionalPackage } from "../../common/optional-package.ts";
import type { Row } from "../thread/columns.ts";
import { runAtOnce, type Wire } from "./at-once.ts";
import { type Change, Statement, type Values } from "./statements.ts";
import { textOf } from "./texts.ts";

export interface SessionPlace {
  readonly url: string;
  readonly schema: string;
  /** By which PostgreSQL lists its connections. */
  readonly name: string;
}

/** Milliseconds that making a connection may take. */
const CONNECTING = 10_000;
/** Milliseconds that a goodbye may take. */
const GOODBYE = 2000;
/** Milliseconds without traffic after which the system asks whether the other side is there; firewalls forget what is idle for minutes. */
const KEEP_ALIVE = 30_000;
/** https://www.postgresql.org/docs/current/catalog-pg-type.html: bigint, and what is a number in JavaScript anyway. */
const NUMBERS: ReadonlySet<number> = new Set([20, 21, 23, 700, 701]);
const BOOLEAN = 16;
const BYTES = 17;

/**
 * How long a statement waits for the locks of others, and PostgreSQL in the middle of a transaction for a server that may be frozen: such a
 * one must not hold its epoch, or its rows, for long.
 */
const STUCK = "2s";
/** After which PostgreSQL takes a machine for gone that takes nothing, or does not answer a look. */
const GONE = "5s";
/**
 * Settings of a session, whatever the server's defaults are. A commit waits for the disk. Every statement here is served by an index, and
 * the planner takes none of a table that it has not yet counted.
 */
const SETTINGS = `
  SET synchronous_commit = ON; SET jit = OFF; SET enable_seqscan = OFF; SET enable_bitmapscan = OFF; SET enable_incremental_sort = OFF;
  SET statement_timeout = 0; SET lock_timeout = '${STUCK}'; SET idle_in_transaction_session_timeout = '${STUCK}';
  SET tcp_user_timeout = '${GONE}'; SET tcp_keepalives_idle = '${GONE}'; SET tcp_keepalives_interval = '1s'; SET tcp_keepalives_count = 3;
  SET default_transaction_isolation = 'read committed'; SET extra_float_digits = 1`;

const TYPES = {
  getTypeParser: (type: number) => {
    if (NUMBERS.has(type)) return Number;
    if (type === BYTES) return bytesOf;
    return type === BOOLEAN ? (text: string) => text === "t" : textOf;
  },
} as CustomTypesConfig;

export class Session {
  readonly #client: Client;
  readonly #query: typeof Query;
  readonly #statements = new Map<string, Statement>();
  /** Those of changes, which are prepared before they are sent together. */
  readonly #changes = new Map<string, Statement>();
  #prepared = 0;
  /** Why it answers nothing any more; null: it does. */
  #broken: Error | null = null;
  /** Statements without an answer. */
  #pending = 0;
  #process = 0;

  private constructor(made: Client, query: typeof Query) {
    this.#client = made;
    this.#query = query;
    made.on("error", (error) => (this.#broken ??= error));
    made.on("end", () => (this.#broken ??= new Error("the connection has ended")));
  }

  /**
   * @param ending gives it up while it is made: a server that drops packets may take all of `CONNECTING`
   * @throws what the client throws, and what PostgreSQL does; the reason of `ending`
   */
  static async open({ url, schema, name }: SessionPlace, ending?: AbortSignal): Promise<Session> {
    ending?.throwIfAborted();
    const { Client: Connection, Query: type } = await client();
    const connection = new Connection({
      connectionString: url,
      application_name: name,
      connectionTimeoutMillis: CONNECTING,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE,
      // A statement is sent when it is asked for, and not when the one before has been answered.
      pipeline: true,
      types: TYPES,
    } satisfies ClientConfig & { readonly pipeline: boolean });
    const session = new Session(connection, type);
    // The client's own patience ends when it has been let in.
    const giveUp = (): void => session.destroy();
    const late = setTimeout(giveUp, CONNECTING);
    ending?.addEventListener("abort", giveUp);
    try {
      await connection.connect();
      await session.#set(schema);
      ending?.throwIfAborted();
      return session;
    } catch (error) {
      session.destroy();
      throw ending?.aborted === true ? ending.reason : error;
    } finally {
      clearTimeout(late);
      ending?.removeEventListener("abort", giveUp);
    }
  }

  async #set(schema: string): Promise<void> {
    const own = "SELECT pg_backend_pid() AS process";
    const results = await this.#client.query(`${SETTINGS}; SET search_path = ${quoted(schema)}; ${own}`);
    const [row] = (results as unknown as QueryResult[]).at(-1)!.rows as { readonly process: number }[];
    this.#process = row!.process;
  }

  get broken(): Error | null {
    return this.#broken;
  }

  /** The number of its process on the server, as the server said when it connected; a pooler has its own. */
  get process(): number {
    return (this.#client as unknown as { readonly processID: number }).processID;
  }

  /** The number of the process on the server that has run its first statement. */
  get backend(): number {
    return this.#process;
  }

  /** Bytes that have come so far; null: no answer is waited for. */
  get heard(): number | null {
    return this.#pending === 0 ? null : this.#stream.bytesRead;
  }

  /** Runs statements without values. */
  async run(sql: string): Promise<void> {
    await this.#answered(this.#client.query(sql));
  }

  /** Ends a transaction. @returns whether PostgreSQL has committed it, and not rolled back for an error of a statement before */
  async commit(): Promise<boolean> {
    return (await this.#answered(this.#client.query("COMMIT"))).command === "COMMIT";
  }

  /** @param sql with names like `:seq`; it is prepared */
  async rows(sql: string, values: Values = {}): Promise<Row[]> {
    return (await this.#ask(sql, values)).rows as Row[];
  }

  /** The first column. */
  async numbers(sql: string, values: Values = {}): Promise<number[]> {
    return (await this.rows(sql, values)).map(([value]) => value as number);
  }

  /** @returns how many rows were changed */
  async change(sql: string, values: Values = {}): Promise<number> {
    return (await this.#ask(sql, values)).rowCount ?? 0;
  }

  /**
   * Sends changes in one message, and waits once. Outside of a transaction they are a transaction.
   * @throws what was thrown by the first of them that failed: none of those behind it was run, and nothing was committed
   */
  async atOnce(changes: readonly Change[]): Promise<void> {
    let sent: Promise<void>[] = [];
    const told = (error: Error, place: number): Error => {
      const missing = codeOf(error) === DIVISION_BY_ZERO ? changes[place]?.missing : undefined;
      return missing === undefined ? error : new Error(missing, { cause: error });
    };
    const { stream } = this.#wire;
    stream.cork();
    try {
      const prepared = changes.flatMap(({ sql }) => (this.#changes.has(sql) ? [] : [this.#prepare(sql)]));
      const bound = changes.map(({ sql, values }) => {
        const statement = this.#changes.get(sql)!;
        return { name: statement.name, values: statement.bound(values) };
      });
      sent = [...prepared, this.#answered(runAtOnce(this.#client, this.#query, bound, told))];
    } finally {
      stream.uncork();
    }
    await together(sent);
  }

  /** @param heard is called with the payload of each notice on a channel, unless a transaction is open here */
  async listen(channel: string, heard: (payload: string) => void): Promise<void> {
    this.#client.on("notification", ({ payload = "" }) => heard(payload));
    await this.run(`LISTEN ${quoted(channel)}`);
  }

  /** Says goodbye, and does not wait for an answer. */
  close(): void {
    this.#broken ??= new Error("the connection is closed");
    // One that is frozen or cut off never says goodbye, and would keep its thread from ending.
    const late = setTimeout(() => this.#stream.destroy(), GOODBYE).unref();
    // It resolves when the connection is gone, whoever is to blame.
    const gone = this.#client.end().catch(() => undefined);
    void gone.finally(() => clearTimeout(late));
  }

  /** Ends it at once; what is under way fails. */
  destroy(): void {
    this.#broken ??= new Error("the connection was given up");
    this.#stream.destroy();
  }

  get #stream(): Socket {
    return this.#wire.stream;
  }

  get #wire(): Wire {
    return (this.#client as unknown as { readonly connection: Wire }).connection;
  }

  async #prepare(sql: string): Promise<void> {
    const statement = new Statement(`change_${++this.#prepared}`, sql);
    this.#changes.set(sql, statement);
    try {
      await this.run(`PREPARE ${statement.name} AS ${statement.text}`);
    } catch (error) {
      this.#changes.delete(sql);
      throw error;
    }
  }

  async #answered<T>(answer: Promise<T>): Promise<T> {
    this.#pending++;
    try {
      return await answer;
    } finally {
      this.#pending--;
    }
  }

  #ask(sql: string, values: Values) {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = new Statement(`s${this.#statements.size + 1}`, sql);
      this.#statements.set(sql, statement);
    }
    const { name, text } = statement;
    return this.#answered(this.#client.query({ name, text, values: statement.bound(values), rowMode: "array" }));
  }
}

/** https://www.postgresql.org/docs/current/datatype-binary.html: two digits for each byte, behind \x. */
function bytesOf(text: string): Uint8Array {
  return Buffer.from(text.slice(2), "hex");
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

async function client(): Promise<typeof import("pg")> {
  const sentence = "store.url needs the package pg, which is not installed: npm install pg brings it";
  return (await optionalPackage(() => import("pg"), sentence)).default as unknown as typeof import("pg");
}

/** PostgreSQL's code of an error; undefined: it is not from there. https://www.postgresql.org/docs/current/errcodes-appendix.html */
export function codeOf(error: unknown): string | undefined {
  const { code, severity } = error as Partial<DatabaseError>;
  return severity === undefined ? undefined : code;
}

/** Whether an error of a session means that it is gone, or the server goes or comes. Then nobody has said what became of a commit. */
export function isDisconnect(error: unknown, session: Session): boolean {
  const code = codeOf(error);
  return session.broken !== null || (code !== undefined && GOODBYES.test(code));
}

/** Connection exceptions, an operator who ends it, and transactions that were open for too long. */
const GOODBYES = /^(?:08|57P|25P0[34])/;

/** The code that PostgreSQL gives for each statement behind one that has failed. */
const ABORTED = "25P02";
const DIVISION_BY_ZERO = "22012";

/**
 * Waits for statements that were sent together. None may go on when the transaction is over, so all are waited for, also when one fails.
 * @throws what the one threw that has failed, and not those behind it
 */
export async function together<T>(statements: readonly Promise<T>[]): Promise<T[]> {
  const ends = await Promise.allSettled(statements);
  const reasons = ends.flatMap((end) => (end.status === "rejected" ? [end.reason as unknown] : []));
  if (reasons.length > 0) throw reasons.find((reason) => codeOf(reason) !== ABORTED) ?? reasons[0];
  return Promise.all(statements);
}
