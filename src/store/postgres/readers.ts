/* The connections that read: a few, each for one request at a time. */
import { unreachable } from "./failures.ts";
import type { Link } from "./link.ts";
import { isDisconnect, type Session } from "./session.ts";

/** Tries of a read whose connection was lost. */
const TRIES = 3;

export class Readers {
  readonly #link: Link;
  /** Those that nobody uses; null: one that is to be connected. */
  readonly #free: (Session | null)[];
  readonly #waiting: ((session: Session | null) => void)[] = [];

  constructor(link: Link, count: number) {
    this.#link = link;
    this.#free = Array.from({ length: count }, () => null);
  }

  /** Connects all, so that a server that is short of connections says so at the start. */
  async connect(): Promise<void> {
    const made = await Promise.all(this.#free.map(() => this.#link.connect()));
    this.#free.splice(0, made.length, ...made);
  }

  /** @throws what PostgreSQL throws; {AltLasError} `store_unavailable` */
  async read<T>(work: (session: Session) => Promise<T>): Promise<T> {
    let session = await this.#take();
    try {
      for (let tries = 1; ; tries++) {
        if (session === null || session.broken !== null) session = await this.#link.connect();
        try {
          return await work(session);
        } catch (error) {
          if (!isDisconnect(error, session)) throw error;
          session.destroy();
          this.#link.cut();
          if (tries === TRIES) throw unreachable();
        }
      }
    } finally {
      this.#giveBack(session);
    }
  }

  #take(): Promise<Session | null> {
    if (this.#free.length > 0) return Promise.resolve(this.#free.pop()!);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #giveBack(session: Session | null): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(session);
    else next(session);
  }
}
