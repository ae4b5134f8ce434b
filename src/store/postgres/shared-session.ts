/* One connection for several callers: it is opened when one of them needs it, and anew when it has been lost. */
import { Session, type SessionPlace } from "./session.ts";

export class SharedSession {
  readonly #place: SessionPlace;
  /** Milliseconds for which an answer is waited for, on a connection that is there. */
  readonly #patience: number;
  #session: Session | null = null;
  /** All who need one meanwhile wait for the same: one that nobody holds would stay for ever. */
  #opening: Promise<Session> | null = null;
  #isClosed = false;

  constructor(place: SessionPlace, patience: number) {
    this.#place = place;
    this.#patience = patience;
  }

  /** After a failure, whatever it was, the next call gets another connection. @throws what the client, PostgreSQL and `work` throw */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#opened();
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

  close(): void {
    this.#isClosed = true;
    this.#session?.close();
  }

  async #opened(): Promise<Session> {
    if (this.#session?.broken === null) return this.#session;
    this.#opening ??= this.#open().finally(() => {
      this.#opening = null;
    });
    return this.#opening;
  }

  async #open(): Promise<Session> {
    const session = await Session.open(this.#place);
    this.#session = session;
    if (!this.#isClosed) return session;
    session.close();
    throw new Error("the connection is closed");
  }
}
