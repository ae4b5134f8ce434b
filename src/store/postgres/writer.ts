/* Transactions that write, one after the other, each exactly once, whatever becomes of the connection. */
import { setTimeout as pause } from "node:timers/promises";
import { StoreLost } from "../store.ts";
import { unknown, unreachable } from "./failures.ts";
import type { Link } from "./link.ts";
import { isDisconnect, type Session } from "./session.ts";

/**
 * Holds the epoch, so that no other server can raise it before this transaction has ended, and writes the transaction's own row.
 * The row of an earlier try that is still being committed makes it wait for that.
 */
const BEGIN = `
  WITH held AS MATERIALIZED (SELECT number FROM epoch WHERE number = :epoch FOR SHARE),
    noted AS (INSERT INTO commits (epoch, number) SELECT number, :number::bigint FROM held ON CONFLICT DO NOTHING RETURNING 1)
  SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM noted)`;
const IS_COMMITTED = "SELECT 1 FROM commits WHERE epoch = :epoch AND number = :number";
const PRESENT = `
  SELECT pg_is_in_recovery(), (SELECT number FROM epoch), EXISTS (SELECT FROM commits WHERE epoch = :epoch AND number = :number)`;
/** Rows that are kept: no more than one is ever asked for. Those of the servers before are asked for by these. */
const KEPT = 1000;
const KEPT_EPOCHS = 10;
const PRUNE = `
  DELETE FROM commits WHERE (epoch = :epoch AND number < :number) OR epoch < :before`;

/** Milliseconds between two tries after a connection was lost, and tries of what is in no doubt. */
const PAUSE = 50;
const TRIES = 3;

type Work<T> = (session: Session) => Promise<T>;

/** One transaction, over all of its tries. */
interface Attempt<T> {
  readonly number: number;
  readonly work: Work<T>;
  tries: number;
  /** What came of the work in a try whose commit was sent, and nobody knows yet what became of it; null: there is none. */
  doubt: { readonly value: T } | null;
}

export class Writer {
  readonly #link: Link;
  readonly #epoch: number;
  /** Of the last transaction. */
  #number = 0;
  /** The last one that PostgreSQL has committed. */
  #committed = 0;
  #session: Session | null = null;
  /** The end of the transaction before. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(link: Link, epoch: number) {
    this.#link = link;
    this.#epoch = epoch;
    link.inspect = (session) => this.#inspect(session);
  }

  /** Connects, so that a server that is short of connections says so at the start. */
  async connect(): Promise<void> {
    this.#session = await this.#link.connect();
  }

  /**
   * Runs all of this in one transaction, or nothing. A commit without an answer is cleared up when the database can be asked, however long
   * that takes: till then nobody knows what to answer.
   * @throws what `work` and PostgreSQL throw; {AltLasError} `store_unavailable`; {StoreLost}. Nothing is written then
   */
  transact<T>(work: Work<T>): Promise<T> {
    const done = this.#turn.then(() => this.#transact({ number: ++this.#number, work, tries: 0, doubt: null }));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  /** Removes the rows of transactions that are long over. */
  async prune(): Promise<void> {
    // The last one is looked for after a failover, however many have failed since.
    const number = Math.min(this.#number - KEPT, this.#committed);
    const values = { epoch: this.#epoch, number, before: this.#epoch - KEPT_EPOCHS };
    await this.transact((session) => session.change(PRUNE, values));
  }

  async #transact<T>(attempt: Attempt<T>): Promise<T> {
    for (;;) {
      const session = await this.#connected(attempt);
      if (session === null) continue;
      try {
        const value = await this.#once(session, attempt);
        this.#committed = attempt.number;
        return value;
      } catch (error) {
        if (error instanceof StoreLost) throw error;
        // While there is a doubt no error ends it: whoever was told that nothing is written would be told wrong.
        if (attempt.doubt === null && !isDisconnect(error, session)) {
          await session.run("ROLLBACK").catch(() => undefined);
          throw error;
        }
        session.destroy();
        this.#link.cut();
        attempt.tries++;
        if (attempt.doubt === null && attempt.tries >= TRIES) throw unreachable();
        await pause(PAUSE);
      }
    }
  }

  /** null: it has to be tried again. @throws {AltLasError} the database is away, and nothing is in doubt */
  async #connected<T>(attempt: Attempt<T>): Promise<Session | null> {
    if (this.#session?.broken === null) return this.#session;
    try {
      if (attempt.doubt !== null) await this.#link.whenBack();
      this.#session = await this.#link.connect();
      return this.#session;
    } catch (error) {
      if (attempt.doubt === null || error instanceof StoreLost) throw error;
      if (this.#link.isClosed) throw unknown(error);
      await pause(PAUSE);
      return null;
    }
  }

  async #once<T>(session: Session, attempt: Attempt<T>): Promise<T> {
    if (await this.#isCommitted(session, attempt)) return attempt.doubt!.value;
    attempt.doubt = null;
    if (attempt.tries >= TRIES) throw unreachable();
    const value = await attempt.work(session);
    attempt.doubt = { value };
    if (await session.commit()) return value;
    attempt.doubt = null;
    throw new Error("PostgreSQL has rolled back instead of committing");
  }

  /** Begins the transaction, unless a try before was committed. */
  async #isCommitted<T>(session: Session, { number, doubt }: Attempt<T>): Promise<boolean> {
    const values = { epoch: this.#epoch, number };
    const begun = session.run("BEGIN");
    // A row that was written outside of a transaction would look like the commit in doubt.
    if (doubt !== null) await begun;
    const [, [row]] = await Promise.all([begun, session.rows(BEGIN, values)]);
    const [held, noted] = row as unknown as [number, number];
    if (held > 0 && noted > 0) return false;
    const isCommitted = (await session.rows(IS_COMMITTED, values)).length > 0;
    await session.run("ROLLBACK");
    if (isCommitted && doubt !== null) return true;
    throw held === 0 ? await this.#link.lose() : new Error(`transaction ${number} is there already`);
  }

  /** Whether a new connection leads to a database that takes writes, and has all that was committed. */
  async #inspect(session: Session): Promise<void> {
    const values = { epoch: this.#epoch, number: this.#committed };
    const [row] = await session.rows(PRESENT, values);
    const [isStandby, epoch, isThere] = row as unknown as [boolean, number, boolean];
    if (isStandby) throw new Error("it is a standby that only reads");
    const isOld = epoch < this.#epoch || (epoch === this.#epoch && !isThere && this.#committed > 0);
    if (isOld) throw this.#link.loseToPast();
  }
}
