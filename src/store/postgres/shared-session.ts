/* One connection for several callers: it is opened when one of them needs it, and anew when it has been lost. */
import { Session, type SessionPlace } from "./session.ts";

type Work<T> = (session: Session) => Promise<T>;

export class SharedSession {
  readonly #place: SessionPlace;
  /** Milliseconds for which an answer is waited for, and before it a connection. */
  readonly #patience: number;
  readonly #prepare: Work<void>;
  readonly #ending = new AbortController();
  #session: Session | null = null;
  /** All who need one meanwhile wait for the same: one that nobody holds would stay for ever. */
  #opening: Promise<Session> | null = null;

  /** @param prepare is done first on each new connection */
  constructor(place: SessionPlace, patience: number, prepare: Work<void> = () => Promise.resolve()) {
    this.#place = place;
    this.#patience = patience;
    this.#prepare = prepare;
  }

  /** Whether there is a connection that is not known to be lost. */
  get isOpen(): boolean {
    return this.#session?.broken === null;
  }

  /** After a failure, whatever it was, the next call gets another connection. @throws what the client, PostgreSQL and `work` throw */
  async use<T>(work: Work<T>): Promise<T> {
    return this.#limited(await this.#opened(), work);
  }

  close(): void {
    this.#ending.abort(new Error("the connection is closed"));
    this.#session?.close();
  }

  async #opened(): Promise<Session> {
    if (this.#opening === null && this.#session?.broken === null) return this.#session;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #open(): Promise<Session> {
    const late = AbortSignal.timeout(this.#patience);
    const session = await Session.open(this.#place, AbortSignal.any([this.#ending.signal, late]));
    this.#session = session;
    await this.#limited(session, this.#prepare);
    return session;
  }

  async #limited<T>(session: Session, work: Work<T>): Promise<T> {
    const late = setTimeout(() => session.destroy(), this.#patience);
    try {
      return await work(session);
    } catch (error) {
      session.destroy();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }
}
