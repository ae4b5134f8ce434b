/* The tasks and the records in one schema of a PostgreSQL server, opened for this server alone. */
import { AltLasError } from "../../errors.ts";
import type { Row } from "../thread/columns.ts";
import type { CountChange } from "../thread/counts.ts";
import { countOfNew, countsOfChange } from "../thread/rows.ts";
import type { Exchange, News, Opening, Place } from "../thread/messages.ts";
import type { ForgetOptions, ForgetStep } from "../forget.ts";
import type { SweepLimits } from "../store.ts";
import { forgetStep } from "./forget.ts";
import { openFailure, READERS, shownUrl } from "./failures.ts";
import { hold, type PostgresPlace } from "./hold.ts";
import type { Link } from "./link.ts";
import { Readers } from "./readers.ts";
import { aftermathOf, recordChanges, seeTo } from "./record-writes.ts";
import { removeTask, sweep } from "./removal.ts";
import type { Session } from "./session.ts";
import { LOOSE_STANDBYS } from "./standbys.ts";
import { storedBytesOf } from "./stored-bytes.ts";
import { TaskCounts, type WithCounts } from "./task-counts.ts";
import { insertsOf, updatesOf, usageOf } from "./task-writes.ts";
import { lastSeq, live, past, unfinishedBatches } from "./tasks.ts";
import { refuseUnfinished } from "./unfinished.ts";
import type { Writer } from "./writer.ts";

type Written = Exchange["write"]["request"];

export class Database {
  readonly #link: Link;
  readonly #writer: Writer;
  readonly #readers: Readers;
  readonly counts: TaskCounts;

  private constructor(link: Link, writer: Writer, readers: Readers) {
    this.#link = link;
    this.#writer = writer;
    this.#readers = readers;
    this.counts = new TaskCounts(readers, writer);
  }

  /**
   * Checks the server, takes the lease, and reads what has not ended.
   * @param take gets the rows of live tasks
   * @throws {AltLasError} `conflict`: another server has it; `bad_config`, `store_unavailable`
   */
  static async open(
    place: PostgresPlace,
    send: (news: News) => void,
    take: (rows: readonly Row[]) => void,
  ): Promise<{ readonly database: Database; readonly opening: Opening }> {
    const shown = shownUrl(place.url);
    const { session, link, writer, idle } = await hold(place, send, refuseUnfinished);
    try {
      const readers = new Readers(link, READERS);
      await Promise.all([writer.connect(), readers.connect()]);
      const opening = await readers.read(async (reading) => {
        await live(reading, (rows) => (take(rows), true));
        const batches = await unfinishedBatches(reading);
        return { lastSeq: await lastSeq(reading), past: await past(reading, idle), batches, quarantined: null };
      });
      await warnOfStandbys(session, shown, send);
      return { database: new Database(link, writer, readers), opening };
    } catch (error) {
      await link.close();
      throw openFailure(error, shown);
    }
  }

  /** Runs reads, again when their connection is lost. */
  read<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#readers.read(work);
  }

  /** Runs writes that change no counts, all or none. */
  change<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#writer.transact(work);
  }

  /** Writes all of these rows or none. @returns whether texts were removed by that */
  async write({ inserts, updates, usage, records }: Written): Promise<boolean> {
    const changes = [
      ...storedBytesOf(inserts, updates),
      ...insertsOf(inserts),
      ...updatesOf(updates),
      ...usageOf(usage),
      ...recordChanges(records),
    ];
    const aftermath = aftermathOf(records);
    const counted = (): CountChange[] => [
      ...inserts.map(({ row }) => countOfNew(row)),
      ...updates.flatMap((row) => countsOfChange(row)),
    ];
    if (aftermath === null) {
      await this.#writer.write(changes, () => this.counts.apply(counted()));
      return false;
    }
    return this.#changeCounted(async (session) => {
      await session.atOnce(changes);
      return { value: await seeTo(session, aftermath), changes: counted() };
    });
  }

  /** Removes a task that has ended; false: there is none. */
  remove(id: string): Promise<boolean> {
    return this.#changeCounted(async (session) => {
      const changes = await removeTask(session, id);
      return { value: changes !== null, changes: changes ?? [] };
    });
  }

  /** One step of a sweep. @returns whether there may be more */
  async sweep(limits: SweepLimits): Promise<boolean> {
    // Before the transaction: to count waits for those that are under way.
    const counts = limits.maxEnded === null ? null : await this.counts.get();
    const more = await this.#changeCounted((session) => sweep(session, counts, limits));
    if (!more) await this.#writer.prune();
    return more;
  }

  /** One step of forgetting a user. */
  forget(options: ForgetOptions): Promise<ForgetStep> {
    return this.#changeCounted((session) => forgetStep(session, options));
  }

  /** Runs writes that change counts, all or none. */
  async #changeCounted<T>(work: (session: Session) => Promise<WithCounts<T>>): Promise<T> {
    const { value } = await this.#writer.transact(work, ({ changes }) => this.counts.apply(changes));
    return value;
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}

async function warnOfStandbys(session: Session, shown: string, send: (news: News) => void): Promise<void> {
  const [loose = 0] = await session.numbers(LOOSE_STANDBYS);
  if (loose === 0) return;
  const message = `PostgreSQL has standbys that no commit waits for (${loose}): a failover to one may lose tasks that were answered; synchronous_standby_names says which are waited for`;
  send({ kind: "line", level: "warn", fields: { database: shown }, message });
}

/** @throws {AltLasError} it is no place of this kind */
export function postgresPlace(place: Place): PostgresPlace {
  if ("url" in place) return place;
  throw new AltLasError("bad_config", "that place is no address of PostgreSQL");
}
