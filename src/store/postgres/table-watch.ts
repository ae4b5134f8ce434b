/*
 * Hears of changes that other processes make in a database: at once by NOTIFY, and by a look each second, because a notice may be lost with
 * its connection. It has a connection of its own and needs no lease.
 */
import { reasonOf } from "./failures.ts";
import type { Session, SessionPlace } from "./session.ts";
import { SharedSession } from "./shared-session.ts";

/** Changes of tables are told here, with `schema.subject` as payload: a database may have several schemas. */
export const CHANNEL = "alt_las";
/** Milliseconds between two looks. */
const EVERY = 1000;
/** Milliseconds that a look may take, and before it a connection; then the database is frozen or cut off. */
const PATIENCE = 3000;

export interface TableWatchOptions {
  readonly place: SessionPlace;
  /** The name of the watched tables in notices: the word behind the schema. */
  readonly subject: string;
  /**
   * Reads what there is: at the start, after each notice and each connection, and at intervals. One at a time.
   * @param isNew nothing was read on this connection yet: it may lead to another server than the one before
   */
  readonly look: (session: Session, isNew: boolean) => Promise<void>;
  /** Is told after each look. @param reason why it has failed; null: it has not */
  readonly looked?: (reason: string | null) => void;
}

export class TableWatch {
  readonly #options: TableWatchOptions;
  readonly #shared: SharedSession;
  /** The connection of the last look that has not failed. */
  #seen: Session | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** The end of the look that was begun last, and the one behind it; null: none waits. */
  #begun: Promise<unknown> = Promise.resolve();
  #waiting: Promise<void> | null = null;
  #isClosed = false;

  private constructor(options: TableWatchOptions) {
    this.#options = options;
    const told = `${options.place.schema}.${options.subject}`;
    this.#shared = new SharedSession(options.place, PATIENCE, (session) =>
      session.listen(CHANNEL, (payload) => {
        if (payload === told) void this.look().catch(() => undefined);
      }),
    );
  }

  /** Resolves when it has looked. @throws what the client and PostgreSQL throw, and `look` does */
  static async start(options: TableWatchOptions): Promise<TableWatch> {
    const watch = new TableWatch(options);
    try {
      await watch.look();
      watch.#next();
      return watch;
    } catch (error) {
      watch.close();
      throw error;
    }
  }

  /** Looks once more; what was committed before this call is seen when it resolves. @throws as `start` */
  look(): Promise<void> {
    if (this.#waiting !== null) return this.#waiting;
    const look = this.#begun.then(() => {
      this.#waiting = null;
      return this.#look();
    });
    this.#waiting = look;
    this.#begun = look.catch(() => undefined);
    return look;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#shared.close();
  }

  #next(): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      const look = this.look();
      void look.catch(() => undefined).finally(() => this.#next());
    }, EVERY).unref();
  }

  async #look(): Promise<void> {
    try {
      // A connection that has been lost since the last look says nothing of the database.
      const isSeen =
        this.#shared.isOpen &&
        (await this.#lookOnce().then(
          () => true,
          () => false,
        ));
      if (!isSeen) await this.#lookOnce();
      this.#options.looked?.(null);
    } catch (error) {
      if (!this.#isClosed) this.#options.looked?.(reasonOf(error));
      throw error;
    }
  }

  #lookOnce(): Promise<void> {
    return this.#shared.use(async (session) => {
      await this.#options.look(session, session !== this.#seen);
      this.#seen = session;
    });
  }
}
