/* The connections of a server to its database: whether it can be reached, and whether it is still this server's. */
import { steadyTime } from "../../common/clock.ts";
import { StoreLost } from "../store.ts";
import type { News } from "../thread/messages.ts";
import { reasonOf, unreachable } from "./failures.ts";
import { holderWords, releaseLease, renewLease } from "./lease.ts";
import { Silence } from "./silence.ts";
import { isDisconnect, Session, type SessionPlace } from "./session.ts";

/** Milliseconds between two renewals of the lease, and between two tries while the database is away. */
const RENEW_EVERY = 1000;
const TRY_EVERY = 250;
/** Milliseconds after which a renewal without an answer means that the database is frozen or cut off. */
const PATIENCE = 5000;
/** Milliseconds that giving the lease back may take, and statements under way of a store that is lost. */
const GOODBYE = 2000;

export class Link {
  readonly #place: SessionPlace;
  readonly #holder: string;
  readonly #send: (news: News) => void;
  readonly #sessions = new Set<Session>();
  /** The connection of the lease. */
  #lease: Session;
  #timer: NodeJS.Timeout | undefined;
  #beating = false;
  /** Resolves when the database is back; null: it is not away. */
  #back: PromiseWithResolvers<void> | null = null;
  #reach = new AbortController();
  #lost: StoreLost | null = null;
  /** Aborted when it is closed. */
  readonly #ending = new AbortController();
  readonly #silence = new Silence();
  /** Looks at each new connection of `connect`. @throws what is wrong with what it leads to */
  inspect: (session: Session) => Promise<void> = () => Promise.resolve();

  /** @param lease a connection, by which the lease was taken */
  constructor(place: SessionPlace, holder: string, lease: Session, send: (news: News) => void) {
    this.#place = place;
    this.#holder = holder;
    this.#lease = lease;
    this.#send = send;
    this.#next(RENEW_EVERY);
  }

  get isClosed(): boolean {
    return this.#ending.signal.aborted;
  }

  /** Aborted when the database is away; a new one when it is back. */
  get reach(): AbortSignal {
    return this.#reach.signal;
  }

  /**
   * A new connection.
   * @param settings statements that set it @throws {AltLasError} `store_unavailable`: the database is away, or the store is lost
   */
  async connect(settings = ""): Promise<Session> {
    if (this.#lost !== null) throw this.#lost;
    if (this.#back !== null || this.isClosed) throw unreachable();
    let session: Session | undefined;
    try {
      session = await this.#open();
      for (const old of this.#sessions) if (old.broken !== null) this.#sessions.delete(old);
      this.#sessions.add(session);
      if (settings !== "") await session.run(settings);
      await this.inspect(session);
      return session;
    } catch (error) {
      session?.destroy();
      if (error instanceof StoreLost) throw error;
      this.#away(reasonOf(error));
      this.#next(TRY_EVERY);
      throw unreachable(error);
    }
  }

  /** A connection was lost: whether the database is away is found out at once. */
  cut(): void {
    void this.#beat();
  }

  /** Another server has taken the database. */
  async lose(): Promise<StoreLost> {
    const by = await holderWords(this.#lease).catch(() => "");
    return this.#loseTo(by);
  }

  /** The database has lost what it had committed. */
  loseToPast(): StoreLost {
    const sentence =
      "The task database has lost tasks that it had stored. Nothing can be stored until this server is started again.";
    const message =
      "the task database is older than it was: transactions that it had committed are gone, as after a failover to a standby that was behind; this server ends, and the next start goes on with what is there";
    return this.#lose(sentence, message);
  }

  /** Resolves when the database may be tried again. @throws {StoreLost} */
  async whenBack(): Promise<void> {
    if (this.#lost !== null) throw this.#lost;
    if (this.isClosed) throw unreachable();
    await this.#back?.promise;
  }

  /** Gives the lease back, and ends all connections. */
  async close(): Promise<void> {
    this.#ending.abort(unreachable());
    clearTimeout(this.#timer);
    const late = setTimeout(() => this.#lease.destroy(), GOODBYE);
    await releaseLease(this.#lease, this.#holder).catch(() => undefined);
    clearTimeout(late);
    for (const session of [this.#lease, ...this.#sessions]) session.close();
    this.#back?.reject(unreachable());
  }

  /** @throws also where all is closed meanwhile: a connection that is made then would keep the thread from ending */
  #open(): Promise<Session> {
    return Session.open(this.#place, this.#ending.signal);
  }

  #next(after: number): void {
    clearTimeout(this.#timer);
    if (!this.isClosed && this.#lost === null) this.#timer = setTimeout(() => void this.#beat(), after);
  }

  /** Renews the lease once; never two at a time. */
  async #beat(): Promise<void> {
    if (this.#beating || this.isClosed || this.#lost !== null) return;
    this.#beating = true;
    const late = setTimeout(() => this.#giveUp(), PATIENCE);
    try {
      if (this.#lease.broken !== null) {
        const lease = await this.#open();
        this.#lease = lease;
        // One that leads to a standby must not be used when that is promoted: nobody would look whether it has all that was committed.
        await this.inspect(lease).catch((error: unknown) => {
          lease.destroy();
          throw error;
        });
      }
      // A renewal that is lost is made up for by the next one: it need not wait for the disk.
      await this.#lease.run("SET synchronous_commit = off");
      const asked = steadyTime();
      if (!(await renewLease(this.#lease, this.#holder))) return void (await this.lose());
      this.#send({ kind: "renewed", asked });
      this.#onBack();
      await this.#silence.end(this.#lease, this.#sessions);
    } catch (error) {
      if (isDisconnect(error, this.#lease)) this.#lease.destroy();
      this.#away(reasonOf(error));
    } finally {
      clearTimeout(late);
      this.#beating = false;
      this.#next(this.#back === null ? RENEW_EVERY : TRY_EVERY);
    }
  }

  /** Statements under way on any connection fail, and may be tried again. */
  #giveUp(): void {
    this.#away(`it has not answered for ${PATIENCE / 1000} seconds`);
    this.#destroyAll();
  }

  #destroyAll(): void {
    for (const session of [this.#lease, ...this.#sessions]) session.destroy();
  }

  #away(reason: string): void {
    if (this.#back !== null || this.isClosed || this.#lost !== null) return;
    this.#back = Promise.withResolvers();
    this.#back.promise.catch(() => undefined);
    this.#reach.abort(unreachable());
    const message = `the task database cannot be reached: ${reason}; nothing is stored until it can, which is tried all the time`;
    this.#send({ kind: "line", level: "error", fields: {}, message });
    this.#send({ kind: "away", sentence: unreachable().message });
  }

  #onBack(): void {
    if (this.#back === null || this.isClosed) return;
    this.#send({ kind: "away", sentence: null });
    this.#send({ kind: "line", level: "info", fields: {}, message: "the task database can be reached again" });
    this.#back.resolve();
    this.#back = null;
    this.#reach = new AbortController();
  }

  #loseTo(by: string): StoreLost {
    const sentence =
      "Another server has taken the task database. Nothing can be stored until this one is started again.";
    const message = `another server has taken the task database${by}: this one had not renewed its lease, and stores nothing any more`;
    return this.#lose(sentence, message);
  }

  #lose(sentence: string, message: string): StoreLost {
    if (this.#lost !== null) return this.#lost;
    this.#lost = new StoreLost(sentence);
    this.#send({ kind: "line", level: "error", fields: {}, message });
    this.#send({ kind: "lost", sentence, isTaken: true });
    this.#back?.reject(this.#lost);
    // No beat looks after them any more, and one that was cut off without a word would hold its save for ever.
    setTimeout(() => this.#destroyAll(), GOODBYE).unref();
    return this.#lost;
  }
}
