/**
 * Whether a server of a cluster leads: what it sees in the database comes in, what it has to do goes out. A plain object, without a clock: time
 * is counted in looks, as a server that was frozen has seen nothing meanwhile.
 *
 *  1. A lease that was given back, or that nobody has, is taken at once.
 *  2. One that another server has is taken when it was seen unchanged for as long as it lasts, whatever clocks say.
 *  3. Two servers may try at once. The database lets one in (lease.ts), and the other goes on standing by.
 *  4. A leader that has not renewed it for a while answers nobody any more by itself, so nothing is passed on to it either. One that cannot be
 *     seen for as long is taken for such a one: it may be gone together with the database.
 *  5. One that has led never stands by again: its process ends.
 */
import type { Look } from "../store/postgres/members.ts";

export interface RoleLimits {
  /** Looks for which a lease lasts that nobody renews. */
  readonly lasts: number;
  /** Looks after which whoever has it is asked nothing any more; fewer than `lasts`. */
  readonly silent: number;
}

export type Leader = NonNullable<Look["leader"]>;

export type Todo =
  /** Take the lease, which says `stale`; null: there is none, or it was given back. */
  | { readonly do: "lead"; readonly stale: string | null }
  /** Pass requests on to this one; null: nobody leads. */
  | { readonly do: "wait"; readonly leader: Leader | null };

export class Role {
  readonly #limits: RoleLimits;
  /** The text of the lease at the last look, and the looks at which it said the same; null: there was none. */
  #seen: { readonly lease: string; looks: number } | null = null;
  /** Looks since the last one that succeeded. */
  #missed = 0;
  #leader: Leader | null = null;

  constructor(limits: RoleLimits) {
    this.#limits = limits;
  }

  /** The server to which requests are passed on. */
  get leader(): Leader | null {
    return this.#leader;
  }

  /** Whether the database could be asked at the last look. */
  get seesDatabase(): boolean {
    return this.#missed === 0;
  }

  looked({ lease, isFree, leader }: Look): Todo {
    this.#missed = 0;
    if (lease === null || isFree) return this.#lead(lease?.expiresAt ?? null);
    const said = `${lease.holder} ${lease.expiresAt}`;
    if (this.#seen?.lease === said) this.#seen.looks++;
    else this.#seen = { lease: said, looks: 0 };
    if (this.#seen.looks >= this.#limits.lasts) return this.#lead(lease.expiresAt);
    this.#leader = this.#seen.looks >= this.#limits.silent ? null : leader;
    return { do: "wait", leader: this.#leader };
  }

  /** The database could not be asked, for the time of so many looks: the leader may have renewed the lease meanwhile. */
  failed(looks: number): void {
    this.#seen = null;
    this.#missed += looks;
    if (this.#missed >= this.#limits.silent) this.#leader = null;
  }

  /** Another server was faster, or this one cannot lead now: it looks for as long again. */
  refused(): void {
    this.#seen = null;
  }

  #lead(stale: string | null): Todo {
    this.#leader = null;
    return { do: "lead", stale };
  }
}
