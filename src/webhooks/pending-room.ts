/** Bounds how many webhooks of one user wait. The store says how many, as of a second ago at most; what was accepted since is added. */
import type { CallerLimit } from "../config/caller-limits.ts";
import { AltLasError } from "../errors.ts";
import type { Outbox } from "../store/outbox.ts";

/** Milliseconds after which the store is asked again. */
const FRESH = 1000;
/** Seconds. */
const RETRY_AFTER = 60;

interface Count {
  readonly at: number;
  count: number;
}

export class PendingRoom {
  readonly #outbox: Pick<Outbox, "countPending">;
  readonly #limitOf: (user: string) => CallerLimit | null;
  readonly #counts = new Map<string, Promise<Count>>();

  /** @param limitOf null: it has none */
  constructor(outbox: Pick<Outbox, "countPending">, limitOf: (user: string) => CallerLimit | null) {
    this.#outbox = outbox;
    this.#limitOf = limitOf;
  }

  /** Takes room for the webhooks of one submission. @throws {AltLasError} `rate_limited`: too many of its user wait */
  async take(user: string): Promise<void> {
    const limit = this.#limitOf(user);
    if (limit === null) return;
    const known = await this.#countOf(user, limit.most);
    if (known.count >= limit.most) {
      const sentence = `${user} has ${limit.most} webhooks that wait to be delivered, and may have no more (${limit.setIn}). Submit without webhook_url, or see to the receivers of those before.`;
      throw new AltLasError("rate_limited", sentence, { retryAfter: RETRY_AFTER });
    }
    known.count++;
  }

  /** Those who ask at once get one count: with one each, all of them would pass. */
  async #countOf(user: string, most: number): Promise<Count> {
    for (;;) {
      const asked = this.#counts.get(user);
      const known = await asked;
      if (known !== undefined && performance.now() - known.at <= FRESH) return known;
      // Another one may have asked meanwhile.
      if (this.#counts.get(user) === asked) this.#counts.set(user, this.#ask(user, most));
    }
  }

  async #ask(user: string, most: number): Promise<Count> {
    const at = performance.now();
    try {
      return { at, count: await this.#outbox.countPending(most, user) };
    } catch (error) {
      this.#counts.delete(user);
      throw error;
    }
  }
}
