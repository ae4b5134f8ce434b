/**
 * Users and keys on a PostgreSQL server, which several servers and commands share. None of them needs the lease: each change locks one row,
 * reads what there is and writes what differs, in a transaction. Servers know them from memory, and hear of changes at once.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { AltLasError } from "../../errors.ts";
import {
  type Accounts,
  type AccountStore,
  type AccountsTrouble,
  type AccountsView,
  type Change,
  hashesOf,
  type KeyUses,
  NOBODY,
} from "../accounts.ts";
import { accountsFailure, Disconnected, unclearChange } from "./account-failures.ts";
import { readAccounts, writeAccounts } from "./account-rows.ts";
import { alone } from "./alone.ts";
import { arrayOf } from "./arrays.ts";
import { isDisconnect, type Session, type SessionPlace } from "./session.ts";
import { TableWatch } from "./table-watch.ts";

/** Milliseconds for which what was known before holds, when the database cannot be asked. */
const TRUSTED_FOR = 60_000;
/** Milliseconds that one try of a change may take, and in which one whose commit was not answered is asked for. */
const PATIENCE = 8000;
const CLEARING_UP = 15_000;
/** Tries of a change that is in no doubt, and milliseconds between two. */
const TRIES = 3;
const PAUSE = 250;

/** Behind the number, what tells a row of the same number in a restored dump from it. */
const MARK = "concat_ws(' ', number, xmin, tableoid)";
const LOOK = `SELECT ${MARK}, pg_is_in_recovery() FROM accounts_version`;
/** Another change goes on when this one has ended; a server that stands still in the middle of one is ended by PostgreSQL. */
const BEGIN = "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '2s'";
const LOCK = "SELECT number FROM accounts_version FOR UPDATE";
const IS_MADE = "SELECT 1 FROM account_changes WHERE id = :id::uuid";
const NOTE = "INSERT INTO account_changes (id) VALUES (:id::uuid)";
const PRUNE = "DELETE FROM account_changes WHERE at < now() - interval '1 day'";
const FORGET_USES = "DELETE FROM key_uses WHERE sha256 = ANY(:gone::text[])";
const ADD_USES = `
  INSERT INTO key_uses (sha256, used_at) SELECT * FROM unnest(:keys::text[], :times::text[])
  ON CONFLICT (sha256) DO UPDATE SET used_at = greatest(key_uses.used_at, excluded.used_at)`;

/** A change that also gets the number of changes so far. */
type Locked<T> = (accounts: Accounts, version: number) => ReturnType<Change<T>>;

export class PostgresAccounts implements AccountStore, AccountsView {
  readonly #place: SessionPlace;
  /** Milliseconds of a clock that only goes forward. */
  readonly #now: () => number;
  readonly #listeners = new Set<() => void>();
  #watch: TableWatch | null = null;
  #accounts: Accounts = NOBODY;
  /** Of `#accounts`. */
  #mark = "";
  /** When what is known was true last, in ms of that clock. */
  #knownAt = -Infinity;
  #isAway = false;
  /** The end of the change before. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param place of a database whose schema is the present one */
  constructor(place: SessionPlace, now: () => number = () => performance.now()) {
    this.#place = place;
    this.#now = now;
  }

  /** Knows what there is from now on. @param told is told when the database cannot be asked, with the reason, and null when it can again */
  async follow(told: (reason: string | null) => void): Promise<void> {
    this.#watch = await TableWatch.start({
      place: this.#place,
      subject: "accounts",
      look: (session, isNew) => this.#look(session, isNew),
      looked: (reason) => this.#looked(reason, told),
    });
  }

  get current(): Accounts {
    return this.#isOutdated ? NOBODY : this.#accounts;
  }

  look(): Accounts {
    return this.current;
  }

  get trouble(): AccountsTrouble | null {
    if (this.#isOutdated) {
      const what = `The users and keys on PostgreSQL have not been known for ${TRUSTED_FOR / 1000} seconds`;
      return { what, isKnown: false, isInDoubt: true };
    }
    if (!this.#isAway) return null;
    return { what: "The users and keys on PostgreSQL cannot be reached", isKnown: true, isInDoubt: false };
  }

  watch(changed: () => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }

  async read(): Promise<Accounts> {
    if (this.#watch === null) return this.#alone((session) => readOnce(session));
    try {
      await this.#watch.look();
    } catch (error) {
      throw accountsFailure(new Disconnected("the look has failed", { cause: error }));
    }
    return this.#accounts;
  }

  change<T>(change: Change<T>): Promise<T> {
    return this.changeLocked(change);
  }

  /** As `change`. @param change also gets the number of changes so far */
  changeLocked<T>(change: Locked<T>): Promise<T> {
    const done = this.#turn.then(() => this.#change(change));
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async uses(): Promise<KeyUses> {
    const rows = await this.#alone((session) => session.rows("SELECT sha256, used_at FROM key_uses"));
    return new Map(rows as unknown as [string, string][]);
  }

  async addUses(uses: KeyUses, known: (sha256: string) => boolean): Promise<void> {
    const wanted = [...uses].filter(([sha256]) => known(sha256));
    if (wanted.length === 0) return;
    const keys = arrayOf(wanted.map(([sha256]) => sha256));
    const times = arrayOf(wanted.map(([, time]) => time));
    await this.#alone((session) => session.change(ADD_USES, { keys, times }));
  }

  close(): void {
    this.#watch?.close();
  }

  get #isOutdated(): boolean {
    return this.#now() - this.#knownAt > TRUSTED_FOR;
  }

  async #look(session: Session, isNew: boolean): Promise<void> {
    const asked = this.#now();
    const [row] = await session.rows(LOOK);
    const [mark, isStandby] = row as unknown as [string, boolean];
    // One that is behind would let in whom others have removed.
    if (isStandby) throw new Error("it is a standby that only reads");
    // A standby that was behind and is the primary now has made other changes of the same numbers.
    if (isNew || mark !== this.#mark) {
      const moment = await readMoment(session);
      this.#mark = moment.mark;
      this.#accounts = moment.accounts;
    }
    this.#knownAt = asked;
  }

  #looked(reason: string | null, told: (reason: string | null) => void): void {
    const isAway = reason !== null;
    if (isAway !== this.#isAway) told(reason);
    this.#isAway = isAway;
    for (const changed of this.#listeners) changed();
  }

  async #change<T>(change: Locked<T>): Promise<T> {
    const id = randomUUID();
    const until = performance.now() + CLEARING_UP;
    let doubtful: { readonly value: T } | null = null;
    const work = async (session: Session): Promise<T> => {
      await session.run(BEGIN);
      const [version] = await session.numbers(LOCK);
      // A try before that was still being committed has ended, because it had the lock.
      if (doubtful !== null && (await session.rows(IS_MADE, { id })).length > 0) return doubtful.value;
      doubtful = null;
      const before = await readAccounts(session);
      const { accounts, result } = change(before, version!);
      if (await writeAll(session, before, accounts)) {
        await session.change(NOTE, { id });
        await session.change(PRUNE);
      }
      doubtful = { value: result };
      if (!(await session.commit())) throw new Error("PostgreSQL has rolled back instead of committing");
      return result;
    };
    for (let tries = 1; ; tries++) {
      try {
        const value = await this.#once(work);
        await this.#watch?.look().catch(() => undefined);
        return value;
      } catch (error) {
        const isInDoubt = doubtful !== null;
        if (!(error instanceof Disconnected) || (!isInDoubt && tries === TRIES)) throw accountsFailure(error);
        if (isInDoubt && performance.now() > until) throw unclearChange(error);
        await pause(PAUSE);
      }
    }
  }

  async #alone<T>(work: (session: Session) => Promise<T>): Promise<T> {
    try {
      return await this.#once(work);
    } catch (error) {
      throw accountsFailure(error);
    }
  }

  /** On a connection of its own: they are few, and none of them may keep a notice waiting. @throws {Disconnected} what `work` throws */
  async #once<T>(work: (session: Session) => Promise<T>): Promise<T> {
    // One that drops packets would hold the caller until the connection is given up, and with it the stop of the server.
    if (this.#isAway) throw new Disconnected("the database did not answer the last look");
    let isAnswered = false;
    const answered = async (session: Session): Promise<T> => {
      try {
        return await work(session);
      } catch (error) {
        isAnswered = !isDisconnect(error, session);
        throw error;
      }
    };
    try {
      return await alone(this.#place, answered, PATIENCE);
    } catch (error) {
      if (isAnswered || error instanceof AltLasError) throw error;
      throw new Disconnected("the connection was lost", { cause: error });
    }
  }
}

async function readOnce(session: Session): Promise<Accounts> {
  return (await readMoment(session)).accounts;
}

/** All as of one moment, with its mark. */
async function readMoment(session: Session): Promise<{ readonly accounts: Accounts; readonly mark: string }> {
  await session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  const [[mark] = []] = await session.rows(`SELECT ${MARK} FROM accounts_version`);
  const accounts = await readAccounts(session);
  await session.run("ROLLBACK");
  return { accounts, mark: mark as string };
}

/** @returns whether anything was written */
async function writeAll(session: Session, before: Accounts, after: Accounts): Promise<boolean> {
  const isChanged = await writeAccounts(session, before, after);
  const hashes = hashesOf(after);
  const gone = arrayOf([...hashesOf(before)].filter((hash) => !hashes.has(hash)));
  if (gone.text !== "{}") await session.change(FORGET_USES, { gone });
  return isChanged;
}
