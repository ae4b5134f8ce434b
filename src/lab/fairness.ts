/**
 * How evenly the callers that wait are served: Jain's index (Jain, Chiu and Hawe, 1984) over what each caller got while it had tasks
 * waiting, divided by what an even share would have been. 1: all got their shares.
 *
 * The even share is counted as fair queueing counts it: a clock goes forward by the tokens that start for those that wait, divided by the
 * sum of their weights; a caller's share is its weight times what the clock went forward while it waited.
 */

interface Account {
  readonly weight: number;
  waiting: number;
  /** The clock when it began to wait. */
  since: number;
  share: number;
  got: number;
  started: number;
}

/** Callers that started fewer tasks while they waited say nothing: one long task is many shares. */
const LEAST_STARTED = 20;

export class Fairness {
  readonly #accounts = new Map<string, Account>();
  readonly #weightOf: (caller: string) => number;
  #clock = 0;
  /** Of the callers that wait. */
  #weights = 0;

  constructor(weightOf: (caller: string) => number) {
    this.#weightOf = weightOf;
  }

  waits(caller: string): void {
    const account = this.#accountOf(caller);
    if (account.waiting++ > 0) return;
    account.since = this.#clock;
    this.#weights += account.weight;
  }

  /** A task that waited starts. @param tokens that it will take */
  starts(caller: string, tokens: number): void {
    const account = this.#accountOf(caller);
    this.#clock += tokens / this.#weights;
    account.got += tokens;
    account.started++;
    this.leaves(caller);
  }

  /** A task waits no more. */
  leaves(caller: string): void {
    const account = this.#accountOf(caller);
    if (--account.waiting > 0) return;
    account.share += account.weight * (this.#clock - account.since);
    this.#weights -= account.weight;
  }

  /** null: fewer than two callers waited for long enough. */
  index(): number | null {
    const shares = [...this.#accounts.values()]
      .filter(({ started, waiting }) => started >= LEAST_STARTED && waiting === 0)
      .map(({ got, share }) => got / share);
    if (shares.length < 2) return null;
    const sum = shares.reduce((all, one) => all + one, 0);
    const squares = shares.reduce((all, one) => all + one * one, 0);
    return (sum * sum) / (shares.length * squares);
  }

  #accountOf(caller: string): Account {
    const known = this.#accounts.get(caller);
    if (known !== undefined) return known;
    const account = { weight: this.#weightOf(caller), waiting: 0, since: 0, share: 0, got: 0, started: 0 };
    this.#accounts.set(caller, account);
    return account;
  }
}
