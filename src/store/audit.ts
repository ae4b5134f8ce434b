/* The port of the audit log: who did what to what, in rows that are only ever added. */

/** By which way it was done. `command`: a command on this machine; its user is one of the system. */
export type AuditWay = "http" | "command" | "signal";

/** An action to be remembered. Nothing in it is a secret. */
export interface AuditRow {
  /** A UUID of version 7. */
  readonly id: string;
  /** As it is shown; Unix milliseconds. */
  readonly at: number;
  /** Since when it is kept, by the server's clock. */
  readonly keptFrom: number;
  readonly way: AuditWay;
  /** null: nobody has said. */
  readonly user: string | null;
  /** The name of the API key; null: there was none. */
  readonly key: string | null;
  /** As the server counts clients (`Proxies.clientOf`); null: it came through no network. */
  readonly address: string | null;
  /** A code of src/audit/actions.ts, or of a later version's. */
  readonly action: string;
  /** The target of the action; null: the server as a whole. */
  readonly target: string | null;
  /** `ok`, or the code of the failure. */
  readonly outcome: string;
  /** Further details, for people; null: there are none. */
  readonly details: string | null;
}

/** Its number, which is higher than those of all rows before. */
export type AuditEntry = AuditRow & { readonly number: number };

export interface AuditRecord {
  readonly kind: "audit";
  readonly row: AuditRow;
}

/** Which rows to read; undefined: any. */
export interface AuditFilter {
  readonly user: string | undefined;
  readonly action: string | undefined;
  readonly target: string | undefined;
  /** Unix milliseconds; rows of this moment and later. */
  readonly since: number | undefined;
  /** Rows before this moment. */
  readonly until: number | undefined;
  /** Only rows with lower numbers. */
  readonly after: number | undefined;
  readonly limit: number;
}

/**
 * Promises of every implementation, beside those of the whole store (test/kits/audit.ts):
 *  1. A row comes back as it was, as far as UTF-8 can encode it. No row is ever changed, and only a sweep removes any: the oldest ones, those
 *     kept since before `SweepLimits.auditBefore`.
 *  2. Rows are numbered in the order of their saves, and no number is given twice, also after rows were removed: a gap shows a loss.
 *  3. A row that is saved again is there once.
 *  4. Reading keeps no write waiting for long, however many rows there are.
 */
export interface AuditStore {
  /**
   * The newest first.
   * @param atOnce rows that are looked at at once, about; for tests
   */
  list(filter: AuditFilter, atOnce?: number): Promise<AuditEntry[]>;
}
