/* The tasks and the records in one schema of a PostgreSQL server, opened for this server alone. */
import { AltLasError } from "../../errors.ts";
import type { Row } from "../thread/columns.ts";
import type { Counts } from "../thread/counts.ts";
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
import { insertsOf, updatesOf, usageOf } from "./task-writes.ts";
import { countsOf, lastSeq, live, past, unfinishedBatches } from "./tasks.ts";
import { refuseUnfinished } from "./unfinished.ts";
import type { Writer } from "./writer.ts";

type Written = Exchange["write"]["request"];

export class Database {
  readonly #link: Link;
  readonly #writer: Writer;
  readonly #readers: Readers;
  readonly counts: Counts;

  private constructor(link: Link, writer: Writer, readers: Readers, counts: Counts) {
    this.#link = link;
    this.#writer = writer;
    this.#readers = readers;
    this.counts = counts;
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
      const opened = await readers.read(async (reading) => {
        await live(reading, (rows) => (take(rows), true));
        const batches = await unfinishedBatches(reading);
        const opening = {
          lastSeq: await lastSeq(reading),
          past: await past(reading, idle),
          batches,
          quarantined: null,
        };
        return { opening, counts: await countsOf(reading) };
      });
      await warnOfStandbys(session, shown, send);
      return { database: new Database(link, writer, readers, opened.counts), opening: opened.opening };
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
    let isRemoved = false;
    if (aftermath === null) await this.#writer.write(changes);
    else
      isRemoved = await this.#writer.transact(async (session) => {
        await session.atOnce(changes);
        return seeTo(session, aftermath);
      });
    this.counts.apply([...inserts.map(({ row }) => countOfNew(row)), ...updates.flatMap((row) => countsOfChange(row))]);
    return isRemoved;
  }

  /** Removes a task that has ended; false: there is none. */
  async remove(id: string): Promise<boolean> {
    const changes = await this.#writer.transact((session) => removeTask(session, id));
    this.counts.apply(changes ?? []);
    return changes !== null;
  }

  /** One step of a sweep. @returns whether there may be more */
  async sweep(limits: SweepLimits): Promise<boolean> {
    const { more, changes } = await this.#writer.transact((session) => sweep(session, this.counts, limits));
    this.counts.apply(changes);
    if (!more) await this.#writer.prune();
    return more;
  }

  /** One step of forgetting a user. */
  async forget(options: ForgetOptions): Promise<ForgetStep> {
    const { step, changes } = await this.#writer.transact((session) => forgetStep(session, options));
    this.counts.apply(changes);
    return step;
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
