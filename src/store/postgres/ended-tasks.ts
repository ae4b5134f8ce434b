/* Tasks and batches that have ended, for a server that does not lead: they change no more, but that they are removed. */
import { mapInTurns } from "../../common/turns.ts";
import { isFinal, type Task } from "../../task.ts";
import { type EndedBatch, type ListedTask, type TaskStore, WHOLE } from "../tasks.ts";
import type { Row } from "../thread/columns.ts";
import { charactersOfRow, listedTaskOf, taskOf } from "../thread/rows.ts";
import { openFailure, shownUrl } from "./failures.ts";
import type { Session, SessionPlace } from "./session.ts";
import { SharedSession } from "./shared-session.ts";
import { batchWithTexts, ends, endsIn, findTask, type Take } from "./tasks.ts";

/** Milliseconds for which rows are waited for, and before them a connection. */
const PATIENCE = 5000;

export class EndedTasks implements Pick<TaskStore, "get" | "batch" | "endsOf" | "endsIn"> {
  readonly #shown: string;
  readonly #session: SharedSession;

  constructor(place: SessionPlace) {
    this.#shown = shownUrl(place.url);
    this.#session = new SharedSession(place, PATIENCE);
  }

  /** null: there is no such task, or it has not ended. @throws {AltLasError} `store_unavailable` */
  async get(id: string): Promise<Task | null> {
    const [row] = await this.#ask((session) => findTask(session, id));
    const task = row === undefined ? null : taskOf(row);
    return task !== null && isFinal(task.status) ? task : null;
  }

  /** null: there is no such batch, or it has not ended. @throws {AltLasError} `store_unavailable` */
  async batch(id: string): Promise<EndedBatch | null> {
    const found = await this.#ask((session) => batchWithTexts(session, id));
    if (found === null || found.state.batch.finishedAt === null) return null;
    return { ...found.state, keepsTexts: found.keepsTexts };
  }

  endsOf(batchId: string, offset: number, limit: number, most = WHOLE.maxCharacters): Promise<ListedTask[]> {
    return this.#listed(most, (session, take) => ends(session, { batchId, offset, limit }, take));
  }

  endsIn(from: number, to: number, limit: number, most = WHOLE.maxCharacters): Promise<ListedTask[]> {
    return this.#listed(most, (session, take) => endsIn(session, { from, to, limit }, take));
  }

  close(): void {
    this.#session.close();
  }

  async #listed(most: number, read: (session: Session, take: Take) => Promise<void>): Promise<ListedTask[]> {
    const listed = async (session: Session): Promise<Row[]> => {
      const rows: Row[] = [];
      let left = most;
      await read(session, (more) => {
        for (const row of more) {
          if (left <= 0 && rows.length > 0) break;
          rows.push(row);
          left -= charactersOfRow(row);
        }
        return left > 0;
      });
      return rows;
    };
    // The answer has begun, and the connection is everybody's: it ends with a read of anybody that takes too long, a restart of the database,
    // and tables that an upgrade has changed.
    const rows = await this.#ask(listed).catch(() => this.#ask(listed));
    return mapInTurns(rows, listedTaskOf);
  }

  async #ask<T>(work: (session: Session) => Promise<T>): Promise<T> {
    try {
      return await this.#session.use(work);
    } catch (error) {
      throw openFailure(error, this.#shown);
    }
  }
}
