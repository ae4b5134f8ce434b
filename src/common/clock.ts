/**
 * The one place that tells the time.
 *
 *   wall clock      what people's clocks show; it may be set, forward or back, at any moment
 *   server's clock  milliseconds that only go forward; everything that happens after a while follows it. It stands still while the
 *                   machine sleeps, and goes on from one run to the next: `store/gap.ts` says where a run begins
 *
 * Both count from 1970. On a machine whose clock was never set they agree.
 */

/** Milliseconds that the two clocks may drift apart before what is shown follows the wall clock again. */
const TOLERANCE = 250;
/** A difference of so many milliseconds is a step and not a drift: two checks a second apart see a drift long before. */
const STEP = 1000;
/** Milliseconds that reading both clocks may take; if it takes longer, the process was held up in between. */
const ONE_LOOK = 20;

/** The wall clock was set, or the machine has slept. Unix milliseconds. */
export interface Step {
  /** The time that it would have shown. */
  readonly from: number;
  /** The time that it shows. */
  readonly to: number;
}

/** The time, as the parts of a server see it. */
export interface Clock {
  /** The server's clock. */
  now(): number;
  /** Milliseconds that the wall clock shows more than `now()`. */
  readonly ahead: number;
}

/** Where the time comes from. Milliseconds. */
export interface TimeSource {
  /** Only goes forward; counted from any moment. */
  readonly steady: () => number;
  /** Counted from 1970. */
  readonly wall: () => number;
}

const SYSTEM: TimeSource = { steady: () => performance.now(), wall: () => Date.now() };

/** The wall clock's time in Unix milliseconds: for showing, never for deciding. */
export function wallTime(): number {
  return SYSTEM.wall();
}

/** Milliseconds of a clock that only goes forward, and is the same in all threads of a process. */
export function steadyTime(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/** As `wallTime`, in ISO 8601. */
export function wallTimeText(): string {
  return isoTime(wallTime());
}

/** @param milliseconds since 1970 */
export function isoTime(milliseconds: number): string {
  const second = Math.floor(milliseconds / 1000);
  if (second !== shown.second) shown = { second, text: new Date(second * 1000).toISOString().slice(0, -4) };
  const rest = Math.floor(milliseconds) - second * 1000;
  return `${shown.text}${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`;
}

/** The second that was shown last, up to its point: the six times of a short task mostly lie in one or two, and a date takes long to write. */
let shown = { second: Number.NaN, text: "" };

export class ServerClock implements Clock {
  readonly #source: TimeSource;
  /** The offset to the steady source. */
  readonly #offset: number;
  readonly #stepped: (step: Step) => void;
  #ahead: number;
  /** When both clocks were read last, by the steady source. */
  #lookedAt = -Infinity;

  /**
   * @param start where the server's clock begins; null: at what the wall clock shows
   * @param stepped is told of each step of the wall clock by a second or more
   */
  constructor(start: number | null, stepped: (step: Step) => void = () => {}, source: TimeSource = SYSTEM) {
    this.#source = source;
    this.#stepped = stepped;
    const wall = source.wall();
    this.#offset = (start ?? wall) - source.steady();
    this.#ahead = wall - (start ?? wall);
  }

  now(): number {
    return Math.floor(this.#source.steady() + this.#offset);
  }

  /** At most as old as a millisecond: this is asked several times for each task. */
  get ahead(): number {
    if (this.#source.steady() - this.#lookedAt >= 1) this.check();
    return this.#ahead;
  }

  /** Checks whether the wall clock was set. */
  check(): void {
    const before = this.#source.steady();
    const wall = this.#source.wall();
    this.#lookedAt = before;
    if (this.#source.steady() - before > ONE_LOOK) return;
    const now = Math.floor(before + this.#offset);
    const step = wall - now - this.#ahead;
    if (Math.abs(step) < TOLERANCE) return;
    const from = now + this.#ahead;
    this.#ahead += step;
    if (Math.abs(step) >= STEP) this.#stepped({ from, to: wall });
  }
}

/** A clock whose wall clock is never set: the same `now` for both. For tests and benchmarks. */
export function unset(now: () => number): Clock {
  return { now, ahead: 0 };
}
