/**
 * Tells the audit log who signs in: an address that proves a key or a password for the first time in a day. A client proves its key with
 * each request, so a row for each proof would say nothing. After a restart all are new.
 */
import type { Audit } from "../audit/audit-log.ts";
import { LineBudget } from "../log/line-budget.ts";
import type { Caller } from "./tables.ts";

/** Milliseconds after which the same address signs in anew. */
const DAY = 86_400_000;
/** Pairs of proof and address that are remembered. */
const MOST = 10_000;
/** Rows in a minute: one key may be used from thousands of addresses. */
const ROWS = 60;

export class SignIns {
  readonly #audit: Audit;
  readonly #now: () => number;
  readonly #budget: LineBudget;
  /** When each signed in; the oldest first. */
  readonly #known = new Map<string, number>();
  /** Those that had no row since the last one that had. */
  #unsaid = 0;

  /** @param now milliseconds of a clock that only goes forward */
  constructor(audit: Audit, now: () => number) {
    this.#audit = audit;
    this.#now = now;
    this.#budget = new LineBudget({ lines: ROWS, now });
  }

  /** A caller has proven itself. It is called for many requests: one that is known costs a look into a map. */
  note({ name, keyName, by }: Caller, address: string): void {
    const way = by ?? (keyName === null ? "password" : "key");
    const proof = `${way} ${keyName ?? name} ${address}`;
    const now = this.#now();
    const before = this.#known.get(proof);
    if (before !== undefined && now - before < DAY) return;
    this.#known.delete(proof);
    this.#known.set(proof, now);
    if (this.#known.size > MOST) this.#known.delete(this.#known.keys().next().value!);
    if (!this.#budget.take()) {
      this.#unsaid++;
      return;
    }
    const others = this.#unsaid === 0 ? "" : `; ${this.#unsaid} more had no row of their own`;
    this.#unsaid = 0;
    this.#audit.record({
      way: "http",
      user: name,
      key: keyName,
      address: address || null,
      action: "auth.sign_in",
      target: null,
      outcome: "ok",
      details: `by ${way}${others}`,
    });
  }
}
