/* The lease: which server uses the database. It says who should try to write; who may, the epoch decides (writer.ts). */
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { AltLasError } from "../../errors.ts";
import type { About } from "../thread/messages.ts";
import { codeOf, type Session } from "./session.ts";

/** Seconds for which a server has the lease after each renewal, by the clock of the database. */
const LASTS = "3 seconds";
/** Milliseconds between two looks at a lease that another server has, and looks in which one that lives has renewed it. */
export const LOOK = 250;
export const LOOKS = 12;

/** Columns of a lease, as `heldOf` takes them. */
export const HELD = `
  holder, lease.host, lease.process, lease.data_dir, expires_at::text,
    (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alt-las ' || holder AND datname = current_database()),
    extract(epoch FROM clock_timestamp() - CASE
      WHEN isfinite(expires_at) THEN expires_at - interval '${LASTS}' WHEN lease.process = 0 THEN lease.since END)::float8,
    lease.since::text`;
const SEE = `SELECT ${HELD} FROM lease`;
const READ = `${SEE} FOR UPDATE`;
const TAKE = `
  INSERT INTO lease (holder, host, process, data_dir, since, expires_at)
    VALUES (:holder, :host, :process, :dataDir, clock_timestamp(), clock_timestamp() + interval '${LASTS}')
  ON CONFLICT (one) DO UPDATE SET holder = excluded.holder, host = excluded.host, process = excluded.process,
    data_dir = excluded.data_dir, since = excluded.since, expires_at = excluded.expires_at`;
const RENEW = `UPDATE lease SET expires_at = clock_timestamp() + interval '${LASTS}' WHERE holder = :holder`;
const RELEASED = "-infinity";
/** It says since when; the process tells it from a release by an earlier version, which left `since` as it was. */
const RELEASE = `UPDATE lease SET expires_at = '${RELEASED}', process = 0, since = clock_timestamp() WHERE holder = :holder`;
/** As it was for those who ask since when nobody has had it: how it was left, and when. */
const PUT_BACK = `
  UPDATE lease SET expires_at = :expiresAt::timestamptz, since = :since::timestamptz,
    process = CASE WHEN :process::bigint = 0 THEN 0 ELSE process END WHERE holder = :holder`;
const REMOVE = "DELETE FROM lease WHERE holder = :holder";
/** Connections of the holder before. They are named after it; this server may have had the lease before, and failed. */
const OTHERS = `
  FROM pg_stat_activity
  WHERE application_name = :before AND datname = current_database() AND pid <> pg_backend_pid()`;
/** A server that is frozen in the middle of a transaction holds its epoch. */
const END_OTHERS = `SELECT pg_terminate_backend(pid) ${OTHERS}`;
/** PostgreSQL waits for the end of each for a tenth of a second at least, and here for so many milliseconds at most. */
const AWAIT_OTHERS = `SELECT pg_terminate_backend(pid, 2000) ${OTHERS}`;
const RAISE = "UPDATE epoch SET number = number + 1 RETURNING number";
/** Tries to raise it: one that is not frozen, and does not know yet, may come back and hold it anew. */
const TRIES = 5;
const LOCK_NOT_AVAILABLE = "55P03";

/** The contents of a lease. */
export interface Held {
  readonly holder: string;
  readonly host: string;
  readonly process: number;
  readonly dataDir: string;
  readonly expiresAt: string;
  /** Whether it still has connections. */
  readonly isConnected: boolean;
  /** Milliseconds since it was renewed or given back, by the database's clock; null: not known. */
  readonly idle: number | null;
  /** When it was taken, or given back. */
  readonly since: string;
}

/** The lease, as a server has taken it. */
export interface Taken {
  readonly epoch: number;
  readonly idle: number | null;
  /** null: there was none. */
  readonly before: Held | null;
}

/** A new name for a start of a server. */
export function newHolder(): string {
  return randomUUID();
}

/** By which PostgreSQL lists the connections of a holder. */
export function sessionName(holder: string): string {
  return `alt-las ${holder}`;
}

/**
 * Takes the lease, and raises the epoch: no server from before can write from then on.
 * @returns the epoch, and the milliseconds for which nobody has had the lease; null: not known
 * @throws as `whenFree`
 */
export async function takeLease(session: Session, holder: string, about: About, shown: string): Promise<Taken> {
  const { host, process, dataDir } = about;
  const take = (): Promise<unknown> => session.change(TAKE, { holder, host, process, dataDir });
  const held = await whenFree(session, about, shown, take);
  try {
    const epoch = await raiseEpoch(session, held?.holder ?? "");
    // To end the others may have taken longer than the lease lasts.
    await keepLease(session, holder, shown);
    return { epoch, idle: held?.idle ?? null, before: held };
  } catch (error) {
    await putBackLease(session, holder, held);
    throw error;
  }
}

/** Of a server that could not start after all: the next one is to see for how long none has run. */
export async function putBackLease(session: Session, holder: string, before: Held | null): Promise<void> {
  try {
    await session.run("ROLLBACK");
    if (before === null) return void (await session.change(REMOVE, { holder }));
    const { expiresAt, process: id, since } = before;
    await session.change(PUT_BACK, { expiresAt, process: id, since, holder });
  } catch {
    // The connection is lost, or the database: then it stays.
  }
}

/**
 * Does something in a transaction in which nobody has the lease. A holder is watched for as long as a renewal lasts, whatever the clock of the
 * database says: that may be set, or may have gone on while the database stood still.
 * @returns the lease before
 * @throws {AltLasError} `conflict`: another server has it, and renews it
 */
async function whenFree(
  session: Session,
  about: About,
  shown: string,
  work: () => Promise<unknown>,
): Promise<Held | null> {
  const stale = about.member?.stale ?? null;
  let seen: string | undefined;
  for (let look = 0; ; look++) {
    await session.run("BEGIN");
    const held = await lockLease(session, shown);
    const isFree = held === null || held.expiresAt === stale || isGivenUp(held, about);
    if (!isFree && about.member !== undefined) throw inUse(held, shown);
    if (!isFree && seen !== undefined && seen !== held.expiresAt) throw inUse(held, shown);
    if (isFree || look === LOOKS) {
      await work();
      await session.run("COMMIT");
      return held;
    }
    await session.run("COMMIT");
    seen = held.expiresAt;
    await pause(LOOK);
  }
}

/** @throws {AltLasError} `conflict`: its holder is changing the schema (`migrate`) */
async function lockLease(session: Session, shown: string): Promise<Held | null> {
  try {
    return heldOf((await session.rows(READ))[0]);
  } catch (error) {
    if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
    await session.run("ROLLBACK");
    throw inUse(heldOf((await session.rows(SEE))[0])!, shown);
  }
}

/** It was given back, or its holder was killed on this machine. */
export function isGivenUp({ expiresAt, host, process: id, isConnected }: Held, about: About): boolean {
  if (expiresAt === RELEASED) return true;
  return host === about.host && !isConnected && (id === about.process || !isAlive(id));
}

function isAlive(id: number): boolean {
  try {
    return process.kill(id, 0);
  } catch (error) {
    return (error as { code?: unknown }).code !== "ESRCH";
  }
}

/** @throws {AltLasError} `conflict`: another server has taken it */
export async function keepLease(session: Session, holder: string, shown: string): Promise<void> {
  if (!(await renewLease(session, holder))) throw inUse(heldOf((await session.rows(READ))[0])!, shown);
}

/** @returns false: another server has taken it */
export async function renewLease(session: Session, holder: string): Promise<boolean> {
  return (await session.change(RENEW, { holder })) === 1;
}

export async function releaseLease(session: Session, holder: string): Promise<void> {
  await session.change(RELEASE, { holder });
}

/** Which server has the lease now, for the sentence of the one that has lost it. */
export async function holderWords(session: Session): Promise<string> {
  const held = heldOf((await session.rows(READ))[0]);
  return held === null ? "" : `: ${wordsOf(held)}`;
}

async function raiseEpoch(session: Session, holder: string): Promise<number> {
  const before = sessionName(holder);
  for (let tries = 1; ; tries++) {
    await session.rows(END_OTHERS, { before });
    try {
      // It waits for those that hold the epoch, so mostly all have ended then. A database that lets in few has no room before.
      const [epoch] = await session.numbers(RAISE);
      await session.rows(AWAIT_OTHERS, { before });
      return epoch!;
    } catch (error) {
      if (tries === TRIES || codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
    }
  }
}

export function heldOf(row: readonly unknown[] | undefined): Held | null {
  if (row === undefined) return null;
  const [holder, host, id, dataDir, expiresAt, connections, seconds, since] = row as [
    ...[string, string, number, string, string, number, number | null, string],
  ];
  const idle = seconds === null ? null : Math.max(0, Math.round(seconds * 1000));
  return { holder, host, process: id, dataDir, expiresAt, isConnected: connections > 0, idle, since };
}

function inUse(held: Held, shown: string): AltLasError {
  const sentence = `the database at ${shown} is in use by another server: ${wordsOf(held)}. Stop that one first, or give this one a database or a store.schema of its own; several servers on one database would need NATS, too.`;
  return new AltLasError("conflict", sentence);
}

function wordsOf({ host, process, dataDir }: Held): string {
  return `process ${process} on ${host}, with the data directory ${dataDir}`;
}
