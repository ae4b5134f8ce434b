/**
 * Writes the audit log: a row in the store and a line in the log for each thing that somebody did. Nothing waits for a row. Rows that the
 * store cannot take are kept and tried again; those that are lost all the same are told.
 */
import { randomUUIDv7 } from "node:crypto";
import { wallTime } from "../common/clock.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import type { AuditEntry, AuditFilter, AuditRow, AuditStore, AuditWay } from "../store/audit.ts";
import type { Store } from "../store/store.ts";
import { AUDIT_ACTIONS, type AuditAction } from "./actions.ts";

/** An action, as told by its doer. Nothing of it may be a secret. */
export interface AuditEvent {
  readonly way: AuditWay;
  /** null: nobody has said. */
  readonly user: string | null;
  /** The name of the API key; null: there was none. */
  readonly key: string | null;
  /** null: it came through no network. */
  readonly address: string | null;
  readonly action: AuditAction;
  /** null: the server as a whole. */
  readonly target: string | null;
  /** `ok`, or the code of the failure. */
  readonly outcome: string;
  /** Further words, for people; null: none. */
  readonly details: string | null;
}

/** Remembers what was done; it never fails, and nothing waits for it. */
export interface Audit {
  record(event: AuditEvent): void;
}

/** For those who keep no audit log. */
export const NO_AUDIT: Audit = { record: () => {} };

/** The store that rows go to, and its clock. */
export interface AuditPlace {
  readonly store: Pick<Store, "save"> & { readonly audit: AuditStore };
  readonly clock: { now(): number };
}

export interface AuditLogOptions {
  readonly enabled: boolean;
  readonly log: Pick<Logger, "info" | "warn">;
  /** Milliseconds after which rows that could not be written are tried again; for tests. */
  readonly retryAfter?: number;
}

/** Rows that wait for the store at most. */
const MOST_WAITING = 1000;
const RETRY_AFTER = 5000;
/** Characters of a value: names are shorter, and what a client has sent may be as long as it likes. */
const LONGEST = 512;

export class AuditLog implements Audit, AuditStore {
  readonly #options: AuditLogOptions;
  #place: AuditPlace | undefined;
  /** Oldest first. */
  #waiting: AuditRow[] = [];
  #writing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;
  /** Whether the last write failed, which was told. */
  #isTroubled = false;

  constructor(options: AuditLogOptions) {
    this.#options = options;
  }

  get enabled(): boolean {
    return this.#options.enabled;
  }

  /** From now on rows are written there, and those that wait. */
  use(place: AuditPlace): void {
    this.#place = place;
    this.#write();
  }

  record(event: AuditEvent): void {
    if (!this.enabled) return;
    const at = wallTime();
    this.take({ ...event, id: randomUUIDv7(), at });
  }

  /** Takes over a row that was made elsewhere; again, it changes nothing. */
  take(row: Omit<AuditRow, "keptFrom"> & { readonly action: AuditAction }): void {
    if (!this.enabled) return;
    const bounded = { ...row, target: cut(row.target), details: cut(row.details), keptFrom: 0 };
    const { id, keptFrom: _kept, at: _at, key, ...said } = bounded;
    this.#options.log.info({ audit: true, audit_id: id, key_name: key, ...said }, AUDIT_ACTIONS[row.action]);
    this.#waiting.push(bounded);
    if (this.#waiting.length > MOST_WAITING) this.#lose(this.#waiting.splice(0, 1));
    this.#write();
  }

  /** As `take`, for several. @returns whether they are on disk, or never will be as nothing is written */
  async takeAll(rows: readonly Parameters<AuditLog["take"]>[0][]): Promise<boolean> {
    for (const row of rows) this.take(row);
    await this.settled();
    return this.#waiting.length === 0;
  }

  /** As the store has them, with those that were recorded before the call. */
  async list(filter: AuditFilter): Promise<AuditEntry[]> {
    // Rows that came while a write was under way are in the next one.
    await this.#writing;
    await this.#writing;
    return this.#place?.store.audit.list(filter) ?? [];
  }

  /** Resolves when all rows of before are on disk, or the disk has refused them. */
  async settled(): Promise<void> {
    while (this.#writing !== null) await this.#writing;
  }

  /** Writes what waits, once more. To be called before the store is closed. */
  async close(): Promise<void> {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    await this.settled();
    this.#write();
    await this.settled();
    clearTimeout(this.#retry);
    this.#lose(this.#waiting.splice(0));
  }

  #write(): void {
    if (this.#place === undefined || this.#writing !== null || this.#retry !== undefined) return;
    const rows = this.#waiting;
    if (rows.length === 0) return;
    this.#waiting = [];
    this.#writing = this.#save(this.#place, rows).finally(() => {
      this.#writing = null;
      this.#write();
    });
  }

  async #save({ store, clock }: AuditPlace, rows: readonly AuditRow[]): Promise<void> {
    const keptFrom = clock.now();
    try {
      await store.save(
        [],
        rows.map((row) => ({ kind: "audit", row: { ...row, keptFrom } })),
        "soon",
      );
      this.#isTroubled = false;
    } catch (error) {
      this.#onFailure(rows, error);
    }
  }

  #onFailure(rows: readonly AuditRow[], error: unknown): void {
    const { log, retryAfter = RETRY_AFTER } = this.#options;
    if (!this.#isTroubled)
      log.warn({ audit: true, reason: messageOf(error) }, "the audit log cannot be written; trying again");
    this.#isTroubled = true;
    this.#waiting = [...rows, ...this.#waiting];
    this.#lose(this.#waiting.splice(0, this.#waiting.length - MOST_WAITING));
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#write();
    }, retryAfter).unref();
  }

  #lose(rows: readonly AuditRow[]): void {
    if (rows.length === 0) return;
    // The log hides what is called key.
    const told = rows.map(({ key, ...row }) => ({ key_name: key, ...row }));
    this.#options.log.warn({ audit: true, rows: told }, "rows of the audit log could not be stored");
  }
}

function cut(text: string | null): string | null {
  return text !== null && text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
