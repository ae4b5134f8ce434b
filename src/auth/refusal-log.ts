/** Logs refused credentials, in so few lines that guessing cannot fill the log. */
import { LineBudget } from "../log/line-budget.ts";
import { type Logger } from "../log/log.ts";
import { tellOperators } from "../topics.ts";
import { Tally } from "./tally.ts";

/** Lines in a minute; what comes then is only counted. */
const MAX_LINES = 20;

interface Refused {
  readonly address: string;
  readonly user?: string;
  /** How often by now. */
  readonly failed: number;
}

export class RefusalLog {
  readonly #log: Logger;
  readonly #keys: Tally;
  readonly #budget: LineBudget;
  /** Lines left out since the last one. */
  #unsaid = 0;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(log: Logger, now: () => number) {
    this.#log = log;
    this.#keys = new Tally(now);
    this.#budget = new LineBudget({ lines: MAX_LINES, now });
  }

  /** @param user null: there is no such user, and what was given for a name may be a password. @param failed as `Failures` counts them */
  password(address: string, user: string | null, failed: number): void {
    this.#say({ address, user: user ?? "unknown", failed }, "password refused");
  }

  key(address: string): void {
    this.#say({ address, failed: this.#keys.add(address) }, "API key refused");
  }

  /** Of one address and user the 1st, 2nd, 4th, 8th … */
  #say(about: Refused, what: string): void {
    if (!Number.isInteger(Math.log2(about.failed))) return;
    if (!this.#budget.take()) {
      this.#unsaid++;
      return;
    }
    this.#log.warn({ ...about, ...(this.#unsaid > 0 && { unsaid: this.#unsaid }) }, what);
    this.#unsaid = 0;
    tellOperators({ kind: "auth", event: "refused", count: about.failed, sentence: sentenceOf(about, what) });
  }
}

function sentenceOf({ address, user, failed }: Refused, what: string): string {
  const whose = user === undefined ? "" : `, user ${user}`;
  return `${what[0]!.toUpperCase()}${what.slice(1)} ${failed === 1 ? "once" : `${failed} times`} from ${address}${whose}.`;
}
