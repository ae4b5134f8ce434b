/** Keeps the server's clock, and records both clocks in the store, so that the next start knows how long no server ran. */
import { isoTime, ServerClock, type Step, type TimeSource, wallTime } from "../common/clock.ts";
import { begin, type Past, type Times } from "./gap.ts";
import type { Store, StoreLog } from "./store.ts";

export interface TimekeeperOptions {
  readonly store: Pick<Store, "save">;
  readonly past: Past;
  /** Milliseconds that a task is kept after its end. */
  readonly retention: number;
  readonly log: StoreLog;
  /** For tests. */
  readonly source?: TimeSource;
}

/** Milliseconds between two checks of the wall clock. */
const LOOK = 1000;
/** Milliseconds between two records. */
const RECORD = 60_000;

export class Timekeeper {
  readonly clock: ServerClock;
  readonly #options: TimekeeperOptions;
  #held: Times | null;
  #looks: NodeJS.Timeout | undefined;
  #recordedAt = -Infinity;
  #recording: Promise<void> = Promise.resolve();

  constructor(options: TimekeeperOptions) {
    const { past, retention, source } = options;
    this.#options = options;
    const { now, held } = begin(past, source === undefined ? wallTime() : source.wall(), retention);
    this.#held = held;
    this.clock = new ServerClock(now, (step) => this.#onStep(step), source);
  }

  /** The last time before a start whose wall clock could not be believed; null: it can. */
  get held(): Times | null {
    return this.#held;
  }

  /** This moment by both clocks. */
  get times(): Times {
    const now = this.clock.now();
    return { now, wall: now + this.clock.ahead };
  }

  start(): void {
    this.look();
    this.#looks = setInterval(() => this.look(), LOOK);
  }

  /** Notices when the wall clock was set, and records it at intervals. It runs by itself after `start`. */
  look(): void {
    this.clock.check();
    if (this.clock.now() - this.#recordedAt >= RECORD) this.#record();
  }

  /** Settles the doubt about the wall clock. */
  settle(): void {
    this.#held = null;
    this.#record();
  }

  /** Records the last time; resolves when that is written. */
  async stop(): Promise<void> {
    clearInterval(this.#looks);
    this.#record();
    await this.#recording;
  }

  /** A record that cannot be written does no harm: the next one is due in a minute, and the store reports its own failure. */
  #record(): void {
    const { now, wall } = this.times;
    this.#recordedAt = now;
    const clock = { now, wall, held: this.#held };
    this.#recording = this.#options.store.save([], [{ kind: "clock", clock }]).catch(() => {});
  }

  #onStep({ from, to }: Step): void {
    const seconds = Math.round((to - from) / 100) / 10;
    const way = seconds > 0 ? "forward, or this machine has slept" : "back";
    this.#options.log.warn(
      { from: isoTime(from), to: isoTime(to), seconds },
      `the wall clock was set ${way}: times are shown by it, and nothing else follows it`,
    );
    this.#record();
  }
}
