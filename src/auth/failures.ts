/**
 * How long an address that sent wrong passwords has to pause.
 *
 *  1. An address that failed for a user pauses before it may try that user again: from the fourth failure on, 1 s, then twice as long each
 *     time, up to a minute.
 *  2. An address that failed often, for whatever users, pauses before it may try any: from the eleventh failure on, likewise.
 *  3. Once a user has had eleven wrong passwords from any addresses, every address pauses after its first wrong one for that user.
 *  4. An address that has not failed never pauses, so an attacker locks out only itself.
 */
import { createHash } from "node:crypto";
import { networksOf } from "./networks.ts";
import { Tally } from "./tally.ts";

/** Failures that cost nothing yet. */
const FREE_OF_BOTH = 3;
const FREE_OF_ADDRESS = 10;
const FREE_OF_USER = 10;
const FREE_OF_SITE = 3;

/** Milliseconds. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 60_000;

export class Failures {
  readonly #now: () => number;
  readonly #ofBoth: Tally;
  readonly #ofAddress: Tally;
  readonly #ofUser: Tally;
  readonly #ofSite: Tally;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(now: () => number) {
    this.#now = now;
    [this.#ofBoth, this.#ofAddress] = [new Tally(now), new Tally(now)];
    [this.#ofUser, this.#ofSite] = [new Tally(now), new Tally(now)];
  }

  /** Milliseconds that this address still has to pause before it may try this user; 0: it may. */
  pause(address: string, user: string): number {
    const both = this.#ofBoth.get(pairOf(address, user));
    const all = this.#ofAddress.get(address);
    const excess = Math.max(both.count - FREE_OF_BOTH, this.#ofUser.get(shortened(user)).count - FREE_OF_USER);
    const ofBoth = both.count === 0 ? 0 : this.#left(both.at, excess);
    return Math.max(ofBoth, this.#left(all.at, all.count - FREE_OF_ADDRESS));
  }

  /** @returns how often this address has failed for this user */
  failed(address: string, user: string): number {
    this.#ofAddress.add(address);
    this.#ofUser.add(shortened(user));
    this.#ofSite.add(networksOf(address).site);
    return this.#ofBoth.add(pairOf(address, user));
  }

  /** How much speaks against an address: 0 nothing, 1 several failures in its network, 2 a failure of its own. */
  suspicion(address: string): 0 | 1 | 2 {
    if (this.#ofAddress.get(address).count > 0) return 2;
    return this.#ofSite.get(networksOf(address).site).count > FREE_OF_SITE ? 1 : 0;
  }

  /** Its failures for other users count on: an address may have a login of its own, and guess at those of others. */
  succeeded(address: string, user: string): void {
    this.#ofBoth.forget(pairOf(address, user));
  }

  #left(since: number, excess: number): number {
    if (excess <= 0) return 0;
    return Math.max(0, since + Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (excess - 1)) - this.#now());
  }
}

function pairOf(address: string, user: string): string {
  return `${address} ${shortened(user)}`;
}

/** Names are as long as a header may be, and users that do not exist count like others: else one could tell them apart. */
export function shortened(user: string): string {
  return createHash("sha256").update(user).digest("base64url");
}
