/* One connection to PostgreSQL. */
import type { Client, ClientConfig, CustomTypesConfig, DatabaseError } from "pg";
import { AltLasError } from "../../errors.ts";
import type { Row, Value } from "../thread/columns.ts";
import { Literal } from "./arrays.ts";
import { storedText, textOf } from "./texts.ts";

/** Values by the names that statements give them. */
export type Values = Readonly<Record<string, Value | Literal | Uint8Array | boolean | undefined>>;

export interface SessionPlace {
  readonly url: string;
  readonly schema: string;
  /** By which PostgreSQL lists its connections. */
  readonly name: string;
}

/** Milliseconds that making a connection may take. */
const CONNECTING = 10_000;
/** https://www.postgresql.org/docs/current/catalog-pg-type.html: bigint, and what is a number in JavaScript anyway. */
const NUMBERS: ReadonlySet<number> = new Set([20, 21, 23, 700, 701]);
const BOOLEAN = 16;
const BYTES = 17;
const NAME = /(?<!:):([a-zA-Z]\w*)/g;

/**
 * What a session is set to, whatever the server's defaults are. A commit waits for the disk. Every statement here is served by an index, and
 * the planner takes none of a table that it has not yet counted.
 */
const SETTINGS = `
  SET synchronous_commit = on; SET jit = off; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_incremental_sort = off;
  SET statement_timeout = 0; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s';
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
  readonly #statements = new Map<string, Statement>();
  /** Why it answers nothing any more; null: it does. */
  #broken: Error | null = null;

  private constructor(made: Client) {
    this.#client = made;
    made.on("error", (error) => (this.#broken ??= error));
    made.on("end", () => (this.#broken ??= new Error("the connection has ended")));
  }

  /** @throws what the client throws, and what PostgreSQL does */
  static async open({ url, schema, name }: SessionPlace): Promise<Session> {
    const { Client: Connection } = await client();
    const connection = new Connection({
      connectionString: url,
      application_name: name,
      connectionTimeoutMillis: CONNECTING,
      keepAlive: true,
      types: TYPES,
    } satisfies ClientConfig);
    const session = new Session(connection);
    try {
      await connection.connect();
      await session.run(`${SETTINGS}; SET search_path = ${quoted(schema)}`);
      return session;
    } catch (error) {
      session.destroy();
      throw error;
    }
  }

  get broken(): Error | null {
    return this.#broken;
  }

  /** The number of its process on the server, as the server said when it connected; a pooler has its own. */
  get process(): number {
    return (this.#client as unknown as { readonly processID: number }).processID;
  }

  /** Runs statements without values. */
  async run(sql: string): Promise<void> {
    await this.#client.query(sql);
  }

  /** @param sql with names like `:seq`; it is prepared */
  async rows(sql: string, values: Values = {}): Promise<Row[]> {
    return (await this.#query(sql, values)).rows as Row[];
  }

  /** The first column. */
  async numbers(sql: string, values: Values = {}): Promise<number[]> {
    return (await this.rows(sql, values)).map(([value]) => value as number);
  }

  /** @returns how many rows were changed */
  async change(sql: string, values: Values = {}): Promise<number> {
    return (await this.#query(sql, values)).rowCount ?? 0;
  }

  /** Says goodbye, and does not wait for an answer. */
  close(): void {
    this.#broken ??= new Error("the connection is closed");
    // It resolves when the connection is gone, whoever is to blame.
    void this.#client.end().catch(() => undefined);
  }

  /** Ends it at once; what is under way fails. */
  destroy(): void {
    this.#broken ??= new Error("the connection was given up");
    const { connection } = this.#client as unknown as { readonly connection: { readonly stream: { destroy(): void } } };
    connection.stream.destroy();
  }

  #query(sql: string, values: Values) {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = parsedStatement(sql, `s${this.#statements.size + 1}`);
      this.#statements.set(sql, statement);
    }
    const { name, text, names } = statement;
    return this.#client.query({ name, text, values: names.map((one) => boundOf(values[one])), rowMode: "array" });
  }
}

/** https://www.postgresql.org/docs/current/datatype-binary.html: two digits for each byte, behind \x. */
function bytesOf(text: string): Uint8Array {
  return Buffer.from(text.slice(2), "hex");
}

interface Statement {
  readonly name: string;
  readonly text: string;
  readonly names: readonly string[];
}

function parsedStatement(sql: string, name: string): Statement {
  const names: string[] = [];
  const text = sql.replace(NAME, (_, one: string) => {
    if (!names.includes(one)) names.push(one);
    return `$${names.indexOf(one) + 1}`;
  });
  return { name, text, names };
}

function boundOf(value: Values[string]): unknown {
  if (value instanceof Literal) return value.text;
  return typeof value === "string" ? storedText(value) : (value ?? null);
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** @throws {AltLasError} `bad_config`: the package is not installed */
async function client(): Promise<typeof import("pg")> {
  try {
    return (await import("pg")).default as unknown as typeof import("pg");
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ERR_MODULE_NOT_FOUND") throw error;
    const sentence = "store.url needs the package pg, which is not installed: npm install pg brings it";
    throw new AltLasError("bad_config", sentence, { cause: error });
  }
}

/** PostgreSQL's code of an error; undefined: it is not from there. https://www.postgresql.org/docs/current/errcodes-appendix.html */
export function codeOf(error: unknown): string | undefined {
  const { code, severity } = error as Partial<DatabaseError>;
  return severity === undefined ? undefined : code;
}

/** Whether an error of a session means that it is gone, or the server goes or comes. Then nobody has said what became of a commit. */
export function isDisconnect(error: unknown, session: Session): boolean {
  const code = codeOf(error);
  return session.broken !== null || code?.startsWith("08") === true || code?.startsWith("57P") === true;
}
