/* The servers of a cluster on one database, as one of them sees it: who leads, and where that is. It is on a connection of its own, by which nothing is written but this server's row. */
import { AltLasError } from "../../errors.ts";
import { openFailure, shownUrl } from "./failures.ts";
import { HELD, type Held, heldOf, isGivenUp } from "./lease.ts";
import type { Session } from "./session.ts";
import { sharedFile } from "./shared-files.ts";
import { SharedSession } from "./shared-session.ts";

/** A server of a cluster, as the others find it in the database. */
export interface Member {
  /** A UUID, new with each start. */
  readonly id: string;
  /** Where other servers reach it; null: it does not listen yet. */
  readonly url: string;
  /** By which it knows requests that other servers pass on. */
  readonly secret: string;
  readonly version: string;
  readonly host: string;
  readonly process: number;
  readonly dataDir: string;
}

/** The same, with what the database knows of it. */
export interface SeenMember extends Omit<Member, "secret"> {
  readonly leads: boolean;
  /** Milliseconds since it was seen last, and since its start, by the clock of the database. */
  readonly seenBefore: number;
  readonly startedBefore: number;
}

/** Findings of one look. */
export interface Look {
  /** null: no server has ever led. */
  readonly lease: Pick<Held, "holder" | "expiresAt"> | null;
  /** Nobody has to wait for the lease to end: it was given back, or its holder was killed on this machine. */
  readonly isFree: boolean;
  /** Of the server that has the lease; null: it has not said where it listens. */
  readonly leader: Pick<Member, "id" | "url" | "secret"> | null;
}

/** Milliseconds for which an answer is waited for, and before it a connection. */
const PATIENCE = 3000;

/** One without the tables is new, or has those of an earlier version. */
const IS_THERE = "SELECT to_regclass('servers') IS NOT NULL";
const LOOK = `
  SELECT ${HELD}, servers.url, servers.secret FROM lease LEFT JOIN servers ON servers.id = lease.holder`;
const BEAT = `
  INSERT INTO servers (id, url, secret, version, host, process, data_dir, since, seen_at)
    VALUES (:id, :url, :secret, :version, :host, :process, :dataDir, clock_timestamp(), clock_timestamp())
  ON CONFLICT (id) DO UPDATE SET url = excluded.url, seen_at = excluded.seen_at`;
const LEAVE = "DELETE FROM servers WHERE id = :id";
/** Of servers that have died: sooner where another one has come in its place. */
const FORGET = `
  DELETE FROM servers WHERE seen_at < clock_timestamp() - interval '1 hour'
    OR (url = :url AND id <> :id AND seen_at < clock_timestamp() - interval '10 seconds')`;
const LIST = `
  SELECT id, url, version, servers.host, servers.process, servers.data_dir, coalesce(lease.holder = id, false),
    (extract(epoch FROM clock_timestamp() - seen_at) * 1000)::bigint, (extract(epoch FROM clock_timestamp() - servers.since) * 1000)::bigint
  FROM servers LEFT JOIN lease ON true ORDER BY servers.since, id`;

export interface MembersPlace {
  readonly url: string;
  readonly schema: string;
  readonly self: Omit<Member, "url">;
}

export class Members {
  readonly #place: MembersPlace;
  readonly #session: SharedSession;

  constructor(place: MembersPlace) {
    this.#place = place;
    const { url, schema, self } = place;
    // The name is not that of the holder of a lease, whose connections are ended.
    this.#session = new SharedSession({ url, schema, name: `alt-las server ${self.id}` }, PATIENCE);
  }

  /** @throws {AltLasError} the database cannot be asked */
  async look(): Promise<Look> {
    return this.#ask(async (session) => {
      const [[isThere] = []] = await session.rows(IS_THERE);
      if ((isThere as unknown) !== true) return { lease: null, isFree: true, leader: null };
      const [row] = await session.rows(LOOK);
      const held = heldOf(row);
      if (held === null) return { lease: null, isFree: true, leader: null };
      const [url, secret] = row!.slice(-2) as [string | null, string];
      const { holder, expiresAt } = held;
      const leader = url === null ? null : { id: holder, url, secret };
      return { lease: { holder, expiresAt }, isFree: isGivenUp(held, this.#place.self), leader };
    });
  }

  /** Says that this server is there. @param url where others reach it @throws {AltLasError} */
  async beat(url: string): Promise<void> {
    await this.#ask(async (session) => {
      await session.run("SET synchronous_commit = off");
      await session.change(BEAT, { ...this.#place.self, url });
      await session.change(FORGET, { url, id: this.#place.self.id });
    });
  }

  /** All servers that were there in the last hour. @throws {AltLasError} */
  async list(): Promise<SeenMember[]> {
    return this.#ask(async (session) => (await session.rows(LIST)).map((row) => seenMemberOf(row)));
  }

  /** A small file that the server that leads has stored; null: there is none. @throws {AltLasError} */
  async sharedFile(name: string): Promise<string | null> {
    return this.#ask((session) => sharedFile(session, name));
  }

  /** Takes the row of this server away, and ends the connection. */
  async leave(): Promise<void> {
    await this.#ask((session) => session.change(LEAVE, { id: this.#place.self.id })).catch(() => undefined);
    this.#session.close();
  }

  async #ask<T>(work: (session: Session) => Promise<T>): Promise<T> {
    try {
      return await this.#session.use(work);
    } catch (error) {
      throw error instanceof AltLasError ? error : openFailure(error, shownUrl(this.#place.url));
    }
  }
}

function seenMemberOf(row: readonly unknown[]): SeenMember {
  const [id, url, version, host, process, dataDir, leads, seenBefore, startedBefore] = row as [
    ...[string, string, string, string, number, string, boolean, number, number],
  ];
  return { id, url, version, host, process, dataDir, leads, seenBefore, startedBefore };
}
