/** Logs refused credentials, in so few lines that guessing cannot fill the log. */
import type { Audit } from "../audit/audit-log.ts";
import { LineBudget } from "../log/line-budget.ts";
import type { Logger } from "../log/log.ts";
import { tellOperators } from "../topics.ts";
import { Tally } from "./tally.ts";

/** Lines in a minute; what comes then is only counted. */
const MAX_LINES = 20;

/** In lines: there is no user of the name that was given. */
const UNKNOWN = "unknown";

interface Refused {
  readonly address: string;
  readonly user?: string;
  /** How often by now. */
  readonly failed: number;
}

export class RefusalLog {
  readonly #log: Logger;
  readonly #audit: Audit;
  readonly #keys: Tally;
  readonly #budget: LineBudget;
  /** Lines left out since the last one. */
  #unsaid = 0;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(log: Logger, audit: Audit, now: () => number) {
    this.#log = log;
    this.#audit = audit;
    this.#keys = new Tally(now);
    this.#budget = new LineBudget({ lines: MAX_LINES, now });
  }

  /** @param user null: there is no such user, and what was given for a name may be a password. @param failed as `Failures` counts them */
  password(address: string, user: string | null, failed: number): void {
    this.#say({ address, user: user ?? UNKNOWN, failed }, "password refused");
  }

  key(address: string): void {
    this.#say({ address, failed: this.#keys.add(address) }, "API key refused");
  }

  token(address: string): void {
    this.#say({ address, failed: this.#keys.add(address) }, "token refused");
  }

  /** It was the key of this user. */
  expired(address: string, user: string): void {
    this.#say({ address, user, failed: this.#keys.add(`${address} ${user}`) }, "expired API key refused");
  }

  /** Of one address and user the 1st, 2nd, 4th, 8th … */
  #say(about: Refused, what: string): void {
    if (!Number.isInteger(Math.log2(about.failed))) return;
    if (!this.#budget.take()) {
      this.#unsaid++;
      return;
    }
    this.#log.warn({ ...about, ...(this.#unsaid > 0 && { unsaid: this.#unsaid }) }, what);
    this.#record(about, what);
    this.#unsaid = 0;
    tellOperators({ kind: "auth", event: "refused", count: about.failed, sentence: sentenceOf(about, what) });
  }

  #record({ address, user, failed }: Refused, what: string): void {
    const others = this.#unsaid === 0 ? "" : `; ${this.#unsaid} more had no row of their own`;
    this.#audit.record({
      way: "http",
      user: user === undefined || user === UNKNOWN ? null : user,
      key: null,
      address: address || null,
      action: "auth.refused",
      target: null,
      outcome: "unauthorized",
      details: `${what}, ${failed === 1 ? "once" : `${failed} times`}${others}`,
    });
  }
}

function sentenceOf({ address, user, failed }: Refused, what: string): string {
  const whose = user === undefined ? "" : `, user ${user}`;
  return `${what[0]!.toUpperCase()}${what.slice(1)} ${failed === 1 ? "once" : `${failed} times`} from ${address}${whose}.`;
}
