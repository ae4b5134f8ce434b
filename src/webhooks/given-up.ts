/** Tells an operator of webhooks that are given up, without a line for each of many. */
import type { Logger } from "../log/log.ts";
import type { Delivery } from "../store/outbox.ts";
import { lineOf } from "./delivery-line.ts";

/** Milliseconds between two lines about the same user. */
const GAP = 60_000;
/** Users that are remembered. */
const MOST = 1000;

export class GivenUp {
  readonly #log: Logger;
  /** Milliseconds. */
  readonly #now: () => number;
  /** Of each user: when it was told of last, and how many there were since. */
  readonly #users = new Map<string, { readonly at: number; more: number }>();

  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  tell(delivery: Delivery): void {
    const { user } = delivery;
    const last = this.#users.get(user);
    const now = this.#now();
    if (last !== undefined && now - last.at < GAP && now >= last.at) {
      last.more++;
      return;
    }
    this.#users.delete(user);
    this.#users.set(user, { at: now, more: 0 });
    if (this.#users.size > MOST) this.#users.delete(this.#users.keys().next().value!);
    this.#log.warn(
      { ...lineOf(delivery), ...(last?.more ? { alsoGivenUp: last.more } : {}) },
      "a webhook was given up",
    );
  }
}
