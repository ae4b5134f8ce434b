/* Tasks that have ended, for a server that does not lead: they never change. */
import { isFinal, type Task } from "../../task.ts";
import { taskOf } from "../thread/rows.ts";
import { openFailure, shownUrl } from "./failures.ts";
import { Session, type SessionPlace } from "./session.ts";
import { findTask } from "./tasks.ts";

/** Milliseconds for which a row is waited for. */
const PATIENCE = 5000;

export class EndedTasks {
  readonly #place: SessionPlace;
  #session: Promise<Session> | null = null;

  constructor(place: SessionPlace) {
    this.#place = place;
  }

  /** null: there is no such task, or it has not ended. @throws {AltLasError} `store_unavailable` */
  async get(id: string): Promise<Task | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Task | null>();
    const late = setTimeout(() => reject(new Error("it has not answered")), PATIENCE);
    this.#read(id).then(resolve, reject);
    try {
      return await promise;
    } catch (error) {
      this.#drop();
      throw openFailure(error, shownUrl(this.#place.url));
    } finally {
      clearTimeout(late);
    }
  }

  close(): void {
    void this.#session?.then((session) => session.close()).catch(() => undefined);
    this.#session = null;
  }

  async #read(id: string): Promise<Task | null> {
    this.#session ??= Session.open(this.#place);
    let session = await this.#session;
    if (session.broken !== null) session = await (this.#session = Session.open(this.#place));
    const [row] = await findTask(session, id);
    if (row === undefined) return null;
    const task = taskOf(row);
    return isFinal(task.status) ? task : null;
  }

  #drop(): void {
    void this.#session?.then((session) => session.destroy()).catch(() => undefined);
    this.#session = null;
  }
}
