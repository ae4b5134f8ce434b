/**
 * Sites that do not answer in time. Until one answers, it gets one try at a time, with pauses that double: its hosts would else take all
 * places of their caller for the time of a try, again and again.
 */
import type { Delivery } from "../store/outbox.ts";
import { hostOf } from "./address.ts";
import { siteOf } from "./site.ts";

/** Milliseconds; the longest pause. */
const LONGEST = 300_000;
/** Sites that are remembered; beyond them the oldest one is forgotten, and costs its caller a few tries more. */
const MOST = 10_000;

interface Setback {
  /** Milliseconds. */
  readonly pause: number;
  /** Nothing more is sent before; in milliseconds of the clock of the calls. */
  readonly until: number;
}

export class Setbacks {
  readonly #first: number;
  readonly #sites = new Map<string, Setback>();
  /** Tries under way. */
  readonly #sending = new Map<string, number>();

  /** @param first milliseconds of the first pause */
  constructor(first: number) {
    this.#first = first;
  }

  hasRoom(site: string, now: number): boolean {
    const setback = this.#sites.get(site);
    return setback === undefined || (now >= setback.until && !this.#sending.has(site));
  }

  /** When a site that has no room may be tried again; null: when its try has ended, or at any time. */
  roomAt(site: string, now: number): number | null {
    const setback = this.#sites.get(site);
    return setback === undefined || setback.until <= now ? null : setback.until;
  }

  /** When there may be a turn for what finds no room; null: nothing is held against the site. */
  nextTurn(site: string, now: number): number | null {
    const setback = this.#sites.get(site);
    return setback === undefined ? null : Math.max(setback.until, now + setback.pause);
  }

  begins(site: string): void {
    this.#sending.set(site, (this.#sending.get(site) ?? 0) + 1);
  }

  /** @param end null: neither, as when it is not there */
  ends(site: string, end: "answered" | "late" | null, now: number): void {
    const left = this.#sending.get(site)! - 1;
    if (left > 0) this.#sending.set(site, left);
    else this.#sending.delete(site);
    if (end === "answered") this.#sites.delete(site);
    // Tries that were under way together have failed together, which counts once.
    if (end === "late" && this.#hasPassed(site, now)) this.#setBack(site, now);
  }

  #hasPassed(site: string, now: number): boolean {
    return now >= (this.#sites.get(site)?.until ?? now);
  }

  #setBack(site: string, now: number): void {
    const before = this.#sites.get(site)?.pause;
    const pause = before === undefined ? this.#first : Math.min(2 * before, LONGEST);
    // Last again, as the one that was heard of last.
    this.#sites.delete(site);
    this.#sites.set(site, { pause, until: now + pause });
    if (this.#sites.size > MOST) this.#sites.delete(this.#sites.keys().next().value!);
  }
}

/** One user's way to all hosts that probably belong to the same owner. */
export function siteKey({ user, url }: Delivery): string {
  const parsed = URL.parse(url);
  return `${user} ${parsed === null ? "" : siteOf(hostOf(parsed))}`;
}
