/* Transactions that write, one after the other, each exactly once, whatever becomes of the connection. */
import { setTimeout as pause } from "node:timers/promises";
import { StoreLost } from "../store.ts";
import { unreachable } from "./failures.ts";
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
  /** What came of the work in a try whose commit was sent and not answered; null: there is none. */
  doubt: { readonly value: T } | null;
}

export class Writer {
  readonly #link: Link;
  readonly #epoch: number;
  /** Of the last transaction. */
  #number = 0;
  #session: Session | null = null;
  /** The end of the transaction before. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(link: Link, epoch: number) {
    this.#link = link;
    this.#epoch = epoch;
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
    const values = { epoch: this.#epoch, number: this.#number - KEPT, before: this.#epoch - KEPT_EPOCHS };
    await this.transact((session) => session.change(PRUNE, values));
  }

  async #transact<T>(attempt: Attempt<T>): Promise<T> {
    for (;;) {
      const session = await this.#connected(attempt);
      if (session === null) continue;
      try {
        return await this.#once(session, attempt);
      } catch (error) {
        if (!isDisconnect(error, session)) {
          await session.run("ROLLBACK").catch(() => undefined);
          throw error;
        }
        session.destroy();
        this.#link.cut();
        if (attempt.doubt === null && ++attempt.tries >= TRIES) throw unreachable();
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
      if (attempt.doubt === null || error instanceof StoreLost || this.#link.isClosed) throw error;
      await pause(PAUSE);
      return null;
    }
  }

  async #once<T>(session: Session, attempt: Attempt<T>): Promise<T> {
    const { number, work } = attempt;
    const epoch = this.#epoch;
    await session.run("BEGIN");
    const [row] = await session.rows(BEGIN, { epoch, number });
    const [held, noted] = row as unknown as [number, number];
    if (held === 0 || noted === 0) {
      const isCommitted = (await session.rows(IS_COMMITTED, { epoch, number })).length > 0;
      await session.run("ROLLBACK");
      if (isCommitted && attempt.doubt !== null) return attempt.doubt.value;
      throw held === 0 ? await this.#link.lose() : new Error(`transaction ${number} is there already`);
    }
    const value = await work(session);
    attempt.doubt = { value };
    try {
      await session.run("COMMIT");
    } catch (error) {
      // An error that PostgreSQL tells of a commit ends the doubt.
      if (!isDisconnect(error, session)) attempt.doubt = null;
      throw error;
    }
    return value;
  }
}
