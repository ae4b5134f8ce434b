/**
 * A lock that processes take by making a file, for work that one of them is enough for. It needs nothing from the file system but that a
 * file is made once.
 *
 *  1. The holder has made the file, and says in it who it is. It gives the file a new time every few seconds, and removes it at the end.
 *  2. Nobody holds a file that is too old, or whose process is gone from this machine.
 *  3. Such a file is moved away before a new one is made: of those who see it, only one can move it.
 *
 * Two may hold it after a process stood still for long; so the work must not be harmed by that.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { wallTime } from "../common/clock.ts";

/** Milliseconds. */
export interface LockTimes {
  /** Between two times that the holder gives its file. */
  readonly beat: number;
  /** The age at which a file is nobody's. */
  readonly stale: number;
  /** Between two looks of those who wait. */
  readonly look: number;
}

export const LOCK_TIMES: LockTimes = { beat: 5000, stale: 60_000, look: 200 };

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Differs for each time that a lock is taken. */
  readonly token: string;
}

/**
 * @param path of the file; its folder is made
 * @param isDone asked before each look: whether the work has been done meanwhile
 * @returns what gives the lock back; null: the work is done, and the lock was not taken
 */
export async function takeLock(
  path: string,
  isDone: () => Promise<boolean>,
  signal: AbortSignal,
  times: LockTimes,
): Promise<(() => Promise<void>) | null> {
  const mine: Holder = { pid: process.pid, host: hostname(), token: randomUUID() };
  await mkdir(dirname(path), { recursive: true });
  for (;;) {
    signal.throwIfAborted();
    if (await isDone()) return null;
    if (await make(path, mine)) return hold(path, mine, times);
    await removeStale(path, times);
    await pause(times.look, undefined, { signal });
  }
}

async function make(path: string, mine: Holder): Promise<boolean> {
  try {
    await using file = await open(path, "wx");
    await file.writeFile(JSON.stringify(mine));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function hold(path: string, mine: Holder, { beat }: LockTimes): () => Promise<void> {
  const timer = setInterval(() => {
    const now = new Date(wallTime());
    // Another process may have taken it for stale; then that one's file is as good.
    utimes(path, now, now).catch(() => {});
  }, beat).unref();
  return async () => {
    clearInterval(timer);
    if ((await holderOf(path))?.token === mine.token) await rm(path, { force: true });
  };
}

async function removeStale(path: string, times: LockTimes): Promise<void> {
  const [holder, stats] = await Promise.all([holderOf(path), stat(path).catch(() => null)]);
  if (stats === null) return;
  const isOld = Math.abs(wallTime() - stats.mtimeMs) > times.stale;
  const isGone = holder !== null && holder.host === hostname() && !isAlive(holder.pid);
  if (!isOld && !isGone) return;
  const away = `${path}.${randomUUID()}`;
  await rename(path, away).catch(() => {});
  await rm(away, { force: true });
}

/** null: there is no such file, or its maker has not written into it yet. */
async function holderOf(path: string): Promise<Holder | null> {
  try {
    const value = JSON.parse(await readFile(path, "utf8")) as Partial<Holder> | null;
    const { pid, host, token } = value ?? {};
    return typeof pid === "number" && typeof host === "string" && typeof token === "string" ? { pid, host, token } : null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Of another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
