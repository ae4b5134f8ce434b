/**
 * Lets a few in at once, so that nobody waits long for those who come often, from however many addresses.
 *
 *  1. A better rank goes first, but in one turn of `EVERYBODY`: those behind move on too.
 *  2. Then that one goes whose provider and name both had their last turn longest ago. So one network that tries many names waits for
 *     itself, and so do many networks that try one name.
 *  3. Then they go by provider, site, address and name, each by its last turn, and at last as they have come.
 *  4. Of one site one is in at a time, and the places are bounded: for each address, each site, and in all. Where there is none left, the
 *     one that would go last has to leave.
 */

/** The newcomer. */
export interface Comer {
  /** The lowest goes first. */
  readonly rank: number;
  readonly provider: string;
  readonly site: string;
  readonly address: string;
  /** The credentials that it tries. */
  readonly name: string;
}

export interface FairLineOptions {
  /** How many are in at once. */
  readonly room: number;
  /** How many may wait. */
  readonly ofAddress: number;
  readonly ofSite: number;
  readonly inAll: number;
  /** The refusal for callers who find no place in the line. */
  readonly refusal: () => Error;
}

interface Waiter extends Comer {
  readonly names: Names;
  readonly enter: () => void;
  readonly leave: () => void;
}

/** Its provider, site, address and name, no two of which are alike. */
type Names = readonly [provider: string, site: string, address: string, name: string];

/** Turns of which one is everybody's, whatever the rank. */
const EVERYBODY = 4;
/** Last turns that are remembered. */
const MAX_REMEMBERED = 10_000;

export class FairLine {
  readonly #options: FairLineOptions;
  /** As they have come. */
  readonly #waiting = new Set<Waiter>();
  /** Sites of which somebody is in. */
  readonly #inside = new Set<string>();
  /** When each had its last turn; the oldest first. */
  readonly #last = new Map<string, number>();
  #turns = 0;

  constructor(options: FairLineOptions) {
    this.#options = options;
  }

  /** Does `work` when it is this one's turn. @throws {Error} `refusal`: there is no place to wait, or somebody else needs it more */
  async run<T>(comer: Comer, work: () => Promise<T>): Promise<T> {
    await this.#enter(comer);
    try {
      return await work();
    } finally {
      this.#inside.delete(comer.site);
      this.#letIn();
    }
  }

  #enter(comer: Comer): Promise<void> {
    const { ofAddress, ofSite, inAll, refusal } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { ...comer, names: namesOf(comer), enter: resolve, leave: () => reject(refusal()) };
    this.#waiting.add(waiter);
    this.#letIn();
    this.#bound((other) => other.address === comer.address, ofAddress);
    this.#bound((other) => other.site === comer.site, ofSite);
    this.#bound(() => true, inAll);
    return promise;
  }

  /** Has the last one leave where more wait than may. */
  #bound(isOne: (waiter: Waiter) => boolean, most: number): void {
    const some = [...this.#waiting].filter((waiter) => isOne(waiter));
    if (some.length <= most) return;
    const last = some.reduce((worst, one) => (this.#compare(one, worst) >= 0 ? one : worst));
    this.#waiting.delete(last);
    last.leave();
  }

  #letIn(): void {
    while (this.#inside.size < this.#options.room) {
      const able = [...this.#waiting].filter(({ site }) => !this.#inside.has(site));
      if (able.length === 0) return;
      this.#turns++;
      const byRank = this.#turns % EVERYBODY !== 0;
      const next = able.reduce((best, one) => (this.#compare(one, best, byRank) < 0 ? one : best));
      this.#waiting.delete(next);
      this.#inside.add(next.site);
      this.#hadTurn(next);
      next.enter();
    }
  }

  /** Below 0: a goes before b; 0: the one that came first does. */
  #compare(a: Waiter, b: Waiter, byRank = true): number {
    if (byRank && a.rank !== b.rank) return a.rank - b.rank;
    const both = (waiter: Waiter): number => Math.max(this.#lastTurn(waiter.names[0]), this.#lastTurn(waiter.names[3]));
    let difference = both(a) - both(b);
    for (let i = 0; difference === 0 && i < a.names.length; i++)
      difference = this.#lastTurn(a.names[i]!) - this.#lastTurn(b.names[i]!);
    return difference;
  }

  #lastTurn(name: string): number {
    return this.#last.get(name) ?? 0;
  }

  #hadTurn({ names }: Waiter): void {
    for (const name of names) {
      this.#last.delete(name);
      this.#last.set(name, this.#turns);
    }
    for (const oldest of this.#last.keys()) {
      if (this.#last.size <= MAX_REMEMBERED) break;
      this.#last.delete(oldest);
    }
  }
}

function namesOf({ provider, site, address, name }: Comer): Names {
  return [`provider ${provider}`, `site ${site}`, `address ${address}`, `name ${name}`];
}
