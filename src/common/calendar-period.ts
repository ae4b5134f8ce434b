/**
 * Days and months of the calendar, in UTC, for what is counted by them. The wall clock says when one ends only at the moment in which it
 * begins; from then on the server's clock does. So a wall clock that is set ends none too early and makes none last longer; the next one
 * ends as the calendar says again.
 */
import type { Clock } from "./clock.ts";

export const PERIODS = ["day", "month"] as const;
export type Period = (typeof PERIODS)[number];

/** Milliseconds that the two clocks may drift apart within a period without another name for it. */
const DRIFT = 300_000;

/** Unix milliseconds. */
export function startOf(period: Period, wall: number): number {
  const date = new Date(wall);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), period === "day" ? date.getUTCDate() : 1);
}

/** The first moment of the next one; Unix milliseconds. */
export function endOf(period: Period, wall: number): number {
  const date = new Date(wall);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  return period === "day" ? Date.UTC(year, month, day + 1) : Date.UTC(year, month + 1);
}

export class CalendarPeriod {
  readonly #period: Period;
  readonly #clock: Clock;
  /** When it ends by the server's clock, and what the wall clock was to show then. */
  #endsAt: number;
  #shownEnd: number;

  /** @param wall what the wall clock shows, or should where it cannot be believed */
  constructor(period: Period, clock: Clock, wall: number) {
    this.#period = period;
    this.#clock = clock;
    this.#shownEnd = endOf(period, wall);
    this.#endsAt = clock.now() + this.#shownEnd - wall;
  }

  /** Whether it has ended; then the next one has begun. @param now the server's clock */
  roll(now: number): boolean {
    if (now < this.#endsAt) return false;
    const wall = now + this.#clock.ahead;
    const isDrift = wall < this.#shownEnd && this.#shownEnd - wall < DRIFT;
    this.#shownEnd = endOf(this.#period, isDrift ? this.#shownEnd : wall);
    this.#endsAt = now + this.#shownEnd - wall;
    return true;
  }

  /** Milliseconds until its end. @param now the server's clock */
  left(now: number): number {
    return this.#endsAt - now;
  }

  /** Its end as the wall clock will show it; Unix milliseconds. */
  get shownEnd(): number {
    const end = this.#endsAt + this.#clock.ahead;
    return Math.abs(end - this.#shownEnd) < DRIFT ? this.#shownEnd : end;
  }
}
