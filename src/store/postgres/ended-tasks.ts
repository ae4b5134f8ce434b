/* Tasks that have ended, for a server that does not lead: they never change. */
import { isFinal, type Task } from "../../task.ts";
import { taskOf } from "../thread/rows.ts";
import { openFailure, shownUrl } from "./failures.ts";
import type { SessionPlace } from "./session.ts";
import { SharedSession } from "./shared-session.ts";
import { findTask } from "./tasks.ts";

/** Milliseconds for which a row is waited for, and a connection with it. */
const PATIENCE = 5000;

export class EndedTasks {
  readonly #shown: string;
  readonly #session: SharedSession;

  constructor(place: SessionPlace) {
    this.#shown = shownUrl(place.url);
    this.#session = new SharedSession(place, PATIENCE);
  }

  /** null: there is no such task, or it has not ended. @throws {AltLasError} `store_unavailable` */
  async get(id: string): Promise<Task | null> {
    const { promise, resolve, reject } = Promise.withResolvers<Task | null>();
    const late = setTimeout(() => reject(new Error("it has not answered")), PATIENCE);
    this.#read(id).then(resolve, reject);
    try {
      return await promise;
    } catch (error) {
      throw openFailure(error, this.#shown);
    } finally {
      clearTimeout(late);
    }
  }

  close(): void {
    this.#session.close();
  }

  async #read(id: string): Promise<Task | null> {
    const [row] = await this.#session.use((session) => findTask(session, id));
    if (row === undefined) return null;
    const task = taskOf(row);
    return isFinal(task.status) ? task : null;
  }
}
