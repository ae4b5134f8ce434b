/* Transactions that write, one after the other, each exactly once, whatever becomes of the connection. */
import { setTimeout as pause } from "node:timers/promises";
import type { DatabaseError } from "pg";
import { StoreLost } from "../store.ts";
import { unknown, unreachable } from "./failures.ts";
import type { Link } from "./link.ts";
import { arrayOf } from "./arrays.ts";
import { codeOf, isDisconnect, type Session } from "./session.ts";
import type { Change } from "./statements.ts";

/**
 * Holds the epoch, so that no other server can raise it before this transaction has ended, and writes the transaction's own row.
 * The row of an earlier try that is still being committed makes it wait for that.
 */
const BEGIN = `
  WITH held AS MATERIALIZED (SELECT number FROM epoch WHERE number = :epoch FOR SHARE),
    noted AS (INSERT INTO commits (epoch, number) SELECT number, :number::bigint FROM held ON CONFLICT DO NOTHING RETURNING 1)
  SELECT (SELECT count(*) FROM held), (SELECT count(*) FROM noted)`;
/** The same as the first change of a transaction that is sent at once: it fails where the epoch is another, or the row is there. */
const AT_ONCE = `
  INSERT INTO commits (epoch, number) VALUES ((SELECT number FROM epoch WHERE number = :epoch FOR SHARE), :number)`;
const NO_VALUE = "23502";
/** Milliseconds in which a process that was told to end has ended. */
const ENDING = 2000;
/**
 * Ends processes that a commit was sent to over connections that are lost: it may be on its way to them, and no connection is left that would
 * tell. One that works is left alone: it may have committed, and wait for a standby. The end stands in the count, and not among the
 * conditions, whose order PostgreSQL chooses. @returns how many are there still
 */
const END_ASKED = `
  SELECT count(*) FILTER (WHERE NOT CASE WHEN wait_event_type = 'Client' THEN pg_terminate_backend(pid, ${ENDING}) ELSE false END)
  FROM pg_stat_activity
  WHERE pid = ANY(:asked::integer[]) AND application_name = current_setting('application_name') AND pid <> pg_backend_pid()`;
const IS_COMMITTED = "SELECT 1 FROM commits WHERE epoch = :epoch AND number = :number";
const PRESENT = `
  SELECT pg_is_in_recovery(), (SELECT number FROM epoch), EXISTS (SELECT FROM commits WHERE epoch = :epoch AND number = :number)`;
/** Rows that are kept: no more than one is ever asked for. Those of the servers before are asked for by these. */
const KEPT = 1000;
const KEPT_EPOCHS = 10;
const PRUNE = `
  DELETE FROM commits WHERE (epoch = :epoch AND number < :number) OR epoch < :before`;

/** Each statement is served by one index, whatever its values are: to plan it anew for these costs as much as to run it. */
const SETTINGS = "SET plan_cache_mode = force_generic_plan";

/** Milliseconds between two tries after a connection was lost, and tries of what is in no doubt. */
const PAUSE = 50;
const TRIES = 3;

type Work<T> = (session: Session) => Promise<T>;
const nothing = (): void => {};

/** One transaction, over all of its tries. */
interface Attempt<T> {
  readonly number: number;
  readonly work: Work<T>;
  /** Sends all of it at once, behind this first change; null: some of it depends on answers. */
  readonly atOnce: ((session: Session, first: Change) => Promise<T>) | null;
  /** Is told that it is committed, before the next transaction begins. */
  readonly committed: (value: T) => void;
  tries: number;
  /** The processes of PostgreSQL that a commit was sent to, and that have not answered. */
  readonly asked: number[];
  /** Of a try whose commit was sent, and nobody knows yet what became of it: what came of the work, or will have; null: there is none. */
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
    this.#session = await this.#link.connect(SETTINGS);
  }

  /**
   * Runs all of this in one transaction, or nothing. A commit without an answer is cleared up when the database can be asked, however long
   * that takes: till then nobody knows what to answer.
   * @param committed is told what came of it, before the next transaction begins
   * @throws what `work` and PostgreSQL throw; {AltLasError} `store_unavailable`; {StoreLost}. Nothing is written then
   */
  transact<T>(work: Work<T>, committed: (value: T) => void = nothing): Promise<T> {
    return this.#inTurn(this.#attempt(work, null, committed));
  }

  /** As `transact`, by one message there and back. */
  write(changes: readonly Change[], committed: () => void = nothing): Promise<void> {
    const atOnce = (session: Session, first: Change): Promise<void> => session.atOnce([first, ...changes]);
    return this.#inTurn(this.#attempt((session) => session.atOnce(changes), atOnce, committed));
  }

  /**
   * Does something while no transaction is under way, and none in doubt.
   * @throws {AltLasError} `store_unavailable`: the database was away before that, and nothing was done, nor will be
   */
  async between<T>(work: () => Promise<T>): Promise<T> {
    const { reach } = this.#link;
    reach.throwIfAborted();
    return new Promise((resolve, reject) => {
      const giveUp = (): void => reject(reach.reason as Error);
      reach.addEventListener("abort", giveUp);
      const begin = (): Promise<T> => {
        reach.removeEventListener("abort", giveUp);
        reach.throwIfAborted();
        return work();
      };
      this.#inTurn(begin).then(resolve, reject);
    });
  }

  /** Removes the rows of transactions that are long over. */
  async prune(): Promise<void> {
    // The last one is looked for after a failover, however many have failed since.
    const number = Math.min(this.#number - KEPT, this.#committed);
    const values = { epoch: this.#epoch, number, before: this.#epoch - KEPT_EPOCHS };
    await this.write([{ sql: PRUNE, values }]);
  }

  #inTurn<T>(begin: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(begin);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #attempt<T>(work: Work<T>, atOnce: Attempt<T>["atOnce"], committed: Attempt<T>["committed"]): () => Promise<T> {
    return () => this.#transact({ number: ++this.#number, work, atOnce, committed, tries: 0, asked: [], doubt: null });
  }

  async #transact<T>(attempt: Attempt<T>): Promise<T> {
    for (;;) {
      const session = await this.#connected(attempt);
      if (session === null) continue;
      try {
        const value = await this.#once(session, attempt);
        this.#committed = attempt.number;
        attempt.committed(value);
        return value;
      } catch (error) {
        if (error instanceof StoreLost) throw error;
        // While there is a doubt no error ends it: whoever was told that nothing is written would be told wrong.
        if (attempt.doubt === null && !isDisconnect(error, session)) {
          await session.run("ROLLBACK").catch(() => undefined);
          throw error;
        }
        if (attempt.doubt !== null) attempt.asked.push(session.backend);
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
      this.#session = await this.#link.connect(SETTINGS);
      return this.#session;
    } catch (error) {
      if (attempt.doubt === null || error instanceof StoreLost) throw error;
      if (this.#link.isClosed) throw unknown(error);
      await pause(PAUSE);
      return null;
    }
  }

  async #once<T>(session: Session, attempt: Attempt<T>): Promise<T> {
    if (attempt.atOnce !== null && attempt.doubt === null) return this.#atOnce(session, attempt, attempt.atOnce);
    if (await this.#isCommitted(session, attempt)) return attempt.doubt!.value;
    attempt.doubt = null;
    if (attempt.tries >= TRIES) throw unreachable();
    const value = await attempt.work(session);
    attempt.doubt = { value };
    if (await session.commit()) return value;
    attempt.doubt = null;
    throw new Error("PostgreSQL has rolled back instead of committing");
  }

  /** Its commit is sent with the first byte: from then on it is in doubt, until an answer says what became of it. */
  async #atOnce<T>(session: Session, attempt: Attempt<T>, send: NonNullable<Attempt<T>["atOnce"]>): Promise<T> {
    attempt.doubt = { value: undefined as T };
    try {
      return await send(session, { sql: AT_ONCE, values: { epoch: this.#epoch, number: attempt.number } });
    } catch (error) {
      if (!isDisconnect(error, session)) attempt.doubt = null;
      const { table } = error as Partial<DatabaseError>;
      throw codeOf(error) === NO_VALUE && table === "commits" ? await this.#link.lose() : error;
    }
  }

  /** Begins the transaction, unless a try before was committed. @throws also while that cannot be told */
  async #isCommitted<T>(session: Session, { number, doubt, asked }: Attempt<T>): Promise<boolean> {
    const values = { epoch: this.#epoch, number };
    const [left = 0] = asked.length === 0 ? [] : await session.numbers(END_ASKED, { asked: arrayOf(asked) });
    const begun = session.run("BEGIN");
    // A row that was written outside of a transaction would look like the commit in doubt.
    if (doubt !== null) await begun;
    const [, [row]] = await Promise.all([begun, session.rows(BEGIN, values)]);
    const [held, noted] = row as unknown as [number, number];
    const isNew = held > 0 && noted > 0;
    if (isNew && left === 0) return false;
    const isCommitted = !isNew && (await session.rows(IS_COMMITTED, values)).length > 0;
    // A commit waits for the standbys that the one before should have waited for.
    if (isCommitted && doubt !== null && (await session.commit())) return true;
    await session.run("ROLLBACK");
    if (held === 0) throw await this.#link.lose();
    throw new Error(isNew ? `transaction ${number} may still be on its way` : `transaction ${number} is there already`);
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
