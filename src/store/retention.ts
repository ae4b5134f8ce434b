/** Removes old tasks and records, in steps so small that no request waits for them. */
import { setTimeout as pause } from "node:timers/promises";
import { isoTime } from "../common/clock.ts";
import { messageOf } from "../errors.ts";
import { ALT_LAS, dataDirWords } from "../common/paste.ts";
import { DATA_HERE } from "../common/places.ts";
import type { FileLimits } from "./files.ts";
import { gapBefore, type Times } from "./gap.ts";
import { type Store, type StoreLog, StoreLost, type SweepLimits } from "./store.ts";
import type { TaskStore } from "./tasks.ts";
import type { Timekeeper } from "./timekeeper.ts";

export interface RetentionOptions {
  readonly store: Pick<Store, "sweep"> & { readonly tasks: Pick<TaskStore, "countEnded"> };
  /** Uploaded files. */
  readonly files: { removeDue(limits: FileLimits): Promise<boolean> };
  readonly time: Pick<Timekeeper, "times" | "held" | "settle">;
  /** Milliseconds that a task is kept after its end. */
  readonly retention: number;
  /** Ended tasks that are kept at most; null: any number. */
  readonly maxStored: number | null;
  /** Milliseconds that an idempotency key is kept. */
  readonly keysLive: number;
  /** Milliseconds that hours of usage are kept. */
  readonly usageKept: number;
  /** Milliseconds that rows of the audit log are kept; null or absent: for ever. */
  readonly auditKept?: number | null;
  /** Milliseconds that texts are kept which nobody reads; absent: as long as their tasks. */
  readonly unread?: () => number;
  /** Users whose tasks are kept for other milliseconds than those of all others. */
  readonly ofUsers?: () => readonly { readonly user: string; readonly retention: number }[];
  /** Milliseconds between two sweeps, at most; for tests. */
  readonly interval?: number;
  /** Named in sentences. */
  readonly dataDir?: string;
  readonly log: StoreLog;
}

/** A pause between two runs that could not be measured at the start: everything stored before `until` is so much older. */
interface Gap {
  /** The server's clock. */
  readonly until: number;
  readonly milliseconds: number;
}

/** Milliseconds between two sweeps. */
const INTERVAL = 30_000;
/** Milliseconds between two steps of one sweep. */
const BREATH = 10;
/** Milliseconds for which nothing is removed, after a start whose wall clock cannot be believed. */
export const HOLD = 3_600_000;
/** A time before which nothing was ever stored. */
const NEVER = Number.MIN_SAFE_INTEGER;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  /** The time of the server's clock until which nothing is removed for its age; null: no such hold. */
  #holdsUntil: number | null;
  #gap: Gap | null = null;

  constructor(options: RetentionOptions) {
    this.#options = options;
    const { held, times } = options.time;
    this.#holdsUntil = held === null ? null : times.now + HOLD;
  }

  /** Sweeps from now on, at intervals. Calling it twice is harmless. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Stops; resolves when the present sweep has ended. Calling it twice is harmless. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  /**
   * Ends the hold, if there is one, and removes everything that is too old now.
   * @returns whether there was a hold, and the tasks that were too old
   * @throws {AltLasError} `store_unavailable`
   */
  async sweepNow(signal: AbortSignal): Promise<{ readonly held: boolean; readonly tasks: number }> {
    const held = this.#holdsUntil !== null;
    this.#settle();
    const limits = this.#limits();
    const tasks = await this.#options.store.tasks.countEnded(limits.endedBefore, limits.ofUsers);
    while (!signal.aborted && !this.#stopping.signal.aborted && (await this.#sweep(limits))) await pause(BREATH);
    return { held, tasks };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    await this.#tellOfHold();
    while (!signal.aborted) {
      const more = await this.#step();
      // Where tasks are kept for seconds only, they must not stay for half a minute.
      const { retention, interval = INTERVAL, unread, ofUsers } = this.#options;
      const own = ofUsers?.().map((one) => one.retention) ?? [];
      const until = more ? BREATH : Math.min(interval, retention, unread?.() ?? interval, ...own);
      await pause(until, undefined, { signal }).catch(() => {});
    }
  }

  async #step(): Promise<boolean> {
    const { time, log } = this.#options;
    if (this.#holdsUntil !== null && time.times.now >= this.#holdsUntil) this.#settle();
    try {
      return await this.#sweep(this.#limits());
    } catch (error) {
      if (error instanceof StoreLost) return false;
      log.warn({ reason: messageOf(error) }, "old tasks could not be removed; trying again later");
      return false;
    }
  }

  async #sweep(limits: SweepLimits): Promise<boolean> {
    const { store, files, time } = this.#options;
    if (await store.sweep(limits)) return true;
    if (this.#holdsUntil !== null) return false;
    return files.removeDue({ keptBefore: limits.endedBefore, now: time.times.now, gap: this.#gap });
  }

  #limits(): SweepLimits {
    const { maxStored, retention, keysLive, usageKept, auditKept = null, unread, ofUsers } = this.#options;
    if (this.#holdsUntil !== null)
      return { endedBefore: NEVER, keysBefore: NEVER, usageBefore: NEVER, maxEnded: maxStored };
    const { now } = this.#options.time.times;
    const oldest = (kept: number): number => oldestKept(now - kept, this.#gap);
    return {
      endedBefore: oldest(retention),
      ofUsers: ofUsers?.().map(({ user, retention: own }) => ({ user, endedBefore: oldest(own) })),
      unreadBefore: unread && oldest(unread()),
      keysBefore: oldest(keysLive),
      usageBefore: oldest(usageKept),
      auditBefore: auditKept === null ? undefined : oldest(auditKept),
      maxEnded: maxStored,
    };
  }

  /** Ends the hold. The pause between the runs is measured anew, since the wall clock may have been set right meanwhile. */
  #settle(): void {
    const { time } = this.#options;
    if (this.#holdsUntil === null || time.held === null) return;
    this.#gap = gapSince(time.held, time.times);
    this.#holdsUntil = null;
    time.settle();
  }

  async #tellOfHold(): Promise<void> {
    const { store, time, retention, log, dataDir = DATA_HERE } = this.#options;
    const { held, times } = time;
    if (held === null) return;
    // The age that it has if the wall clock is believed.
    const due = await store.tasks
      .countEnded(oldestKept(times.now - retention, gapSince(held, times)))
      .catch(() => null);
    const how = times.wall < held.wall ? "behind" : "far ahead of";
    log.warn(
      { clock: isoTime(times.wall), last: isoTime(held.wall), tasks: due },
      `the wall clock is ${how} the last time that this server was seen to run: ` +
        `for an hour no task is removed for its age; ${ALT_LAS} sweep --now${dataDirWords(dataDir)} ends that`,
    );
  }
}

function gapSince(held: Times, times: Times): Gap {
  return { until: held.now, milliseconds: gapBefore(held, times) };
}

/**
 * The time of the server's clock before which stored things are too old.
 * @param before the same, if a server had run all the time
 */
function oldestKept(before: number, gap: Gap | null): number {
  return gap === null ? before : Math.max(before, Math.min(gap.until, before + gap.milliseconds));
}
