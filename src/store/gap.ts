/**
 * The time that has passed between two runs. Only the wall clock can tell it, and may be wrong: a machine without a battery starts in the
 * past, and one bad time server puts it weeks ahead. So it is compared with the last record in the store.
 */

/** The same moment by both clocks (clock.ts). */
export interface Times {
  /** The server's clock. */
  readonly now: number;
  readonly wall: number;
}

/** The record in the store. */
export interface RecordedTimes extends Times {
  /** The last time before a start whose wall clock could not be believed, until that is settled; null: nothing is open. */
  readonly held: Times | null;
}

/** The store's knowledge of the time before a run. */
export interface Past {
  /** null: the store is new, or its version recorded none. */
  readonly recorded: RecordedTimes | null;
  /** The latest time by the server's clock that is stored with a task; null: there is no task. */
  readonly newest: number | null;
  /** Milliseconds for which no server has run, by the database's own clock; absent: it has none. */
  readonly idle?: number;
}

/** The clocks at the start of a run. */
export interface Beginning {
  /** The server's clock. */
  readonly now: number;
  /** Set: the wall clock cannot be believed, and this is the last time before it. */
  readonly held: Times | null;
}

/** Milliseconds by which the wall clock may be behind the last time without distrust: time servers correct by so much. */
const TOLERANCE = 1000;
/** Milliseconds by which the last record may be older than the end of its run. */
const RECORDED = 90_000;
/** Milliseconds; a server may be off for a day without doubt, however short the retention is. */
const DAY = 86_400_000;

/**
 * Decides how far the server's clock moves on at a start. It never goes back. A wall clock that cannot be believed does not move it, so no
 * deadline is missed and no task becomes too old. Where the database has a clock, a wall clock that it contradicts does not count: it may be that of
 * another machine than the one before.
 * @param wall what the wall clock shows @param retention milliseconds that tasks are kept
 */
export function begin({ recorded, newest, idle }: Past, wall: number, retention: number): Beginning {
  const last = recorded?.held ?? recorded ?? (newest === null ? null : { now: newest, wall: newest });
  if (last === null) return { now: wall, held: null };
  const floor = Math.max(recorded?.now ?? -Infinity, newest ?? -Infinity);
  const gap = wall - last.wall;
  // The database's clock may have been set, too, or be that of another machine.
  const isContradicted =
    idle !== undefined && idle <= longestGap(retention) && (gap < -TOLERANCE || gap > idle + RECORDED);
  if (isContradicted && last !== recorded?.held) return { now: floor + idle, held: null };
  // Without a record, how long ago the server ran is not known.
  const longest = recorded === null ? Infinity : longestGap(retention);
  if (gap < -TOLERANCE || gap > longest) return { now: floor, held: recorded?.held ?? lastSeen(last, floor) };
  return { now: Math.max(floor, last.now + gap), held: null };
}

/** The last time before a start. Tasks that a killed server stored after its last record count, too. */
function lastSeen({ now, wall }: Times, floor: number): Times {
  return { now: floor, wall: wall + floor - now };
}

/** Milliseconds that a server may have been off without a doubt about its clock. */
export function longestGap(retention: number): number {
  return Math.max(retention, DAY);
}

/** Milliseconds that had passed, as the wall clock shows now, before a start whose wall clock could not be believed. */
export function gapBefore(held: Times, { now, wall }: Times): number {
  return Math.max(0, wall - held.wall - (now - held.now));
}
