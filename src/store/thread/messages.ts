/* Messages between a store and the thread that has its database. Rows and the end of a reply name the request that they answer. */
import type { ForgetOptions, ForgetStep } from "../forget.ts";
import type { ErrorCode } from "../../errors.ts";
import type { Past } from "../gap.ts";
import type { Batch } from "../../task.ts";
import type { Window } from "./scans.ts";
import type { RecordRow } from "./records.ts";
import type { Row } from "./columns.ts";
import type { NewRow, StoredRequest } from "./rows.ts";
import type { AuditFilter } from "../audit.ts";
import type { BatchFileFilter, OutputFilter } from "../batch-files.ts";
import type { FileFilter, FileIdentity, FileLimits, FileTotal } from "../files.ts";
import type { IdempotencyRecord } from "../idempotency.ts";
import type { WebhookEndpoint, WebhookSecret } from "../outbox.ts";
import type { SweepLimits } from "../store.ts";
import type { BatchState, EndLimits, Reading, StoredBytes, TaskFilter } from "../tasks.ts";
import type { UsageFilter } from "../usage.ts";

/**
 * Bytes. The rows and index pages of tasks that came lately need not be read again when they end; older ones come from the system's own cache.
 * After each commit that has split a page, SQLite walks its whole cache: with four times as much, that took a fifth of the thread's time.
 */
export const CACHE_BYTES = 16 * 2 ** 20;

/** The limits of a store. */
export interface StoreLimits {
  /** Bytes of the file that SQLite may keep in memory; absent: `CACHE_BYTES`. */
  readonly cacheBytes?: number | undefined;
  /** The largest the database file may become, in pages; beyond it saves fail like on a full disk. */
  readonly maxPages?: number | undefined;
}

/** Where the database is: a file, or a schema on a server. */
export type Place =
  | { readonly path: string; readonly limits: StoreLimits }
  | { readonly url: string; readonly schema: string; readonly about: About };

/** How a server names itself to others that find it in the database. */
export interface About {
  readonly host: string;
  readonly process: number;
  /** The folder of its data. */
  readonly dataDir: string;
  /** Of a cluster. */
  readonly member?: AboutMember | undefined;
}

/** A server of a cluster that is to lead. */
export interface AboutMember {
  /** Under which it has the lease. */
  readonly id: string;
  /** The `expiresAt` of a lease that nobody has renewed for as long as it lasts, so that it may be taken; null: none was seen. */
  readonly stale: string | null;
}

/** Each request, and the value of its reply, which follows the rows that it asks for. */
export interface Exchange {
  /** Rows of the live tasks. */
  open: { request: { readonly place: Place }; value: Opening };
  /** `updates` are of `changedRow`, `usage` of `endedUsage`; one transaction, the records last. */
  write: {
    request: {
      readonly inserts: readonly NewRow[];
      readonly updates: readonly Row[];
      readonly usage: readonly Row[];
      readonly records: readonly RecordRow[];
    };
    /** Whether texts were removed by it. */
    value: boolean;
  };
  /** null: there is no such task. */
  request: { request: { readonly seq: number }; value: StoredRequest | null };
  /** Rows of `seq` and note. */
  notes: { request: { readonly seqs: readonly number[] }; value: null };
  /** At most one row. */
  get: { request: { readonly id: string }; value: null };
  /** The rows, then how many match. */
  list: {
    request: { readonly filter: TaskFilter; readonly reading: Reading };
    value: { readonly total: number; readonly more: boolean };
  };
  /** The rows of the filter in the newest window of tasks below `below`. */
  scan: {
    request: { readonly filter: TaskFilter; readonly below: number; readonly maxCharacters: number };
    value: Window & { readonly more: boolean };
  };
  batch: { request: { readonly id: string }; value: BatchState | null };
  /** Rows of ended tasks. */
  ends: {
    request: {
      readonly batchId: string;
      readonly offset: number;
      readonly limit: number;
      readonly maxCharacters: number;
    };
    value: null;
  };
  /** Rows of ended tasks. */
  endsIn: {
    request: { readonly from: number; readonly to: number; readonly limit: number; readonly maxCharacters: number };
    value: null;
  };
  /** Rows of `HISTORY`. */
  history: { request: { readonly after: number; readonly limit: number }; value: null };
  idempotency: { request: { readonly user: string; readonly key: string }; value: IdempotencyRecord | null };
  /** Rows of sums; the value is the hour where the next ones begin. */
  usage: { request: { readonly filter: UsageFilter; readonly atOnce: number }; value: number | null };
  remove: { request: { readonly id: string }; value: boolean };
  removeTexts: { request: { readonly seqs: readonly number[] }; value: boolean };
  countEnded: { request: { readonly limits: EndLimits }; value: number };
  storedBytes: { request: object; value: StoredBytes[] };
  sweep: { request: { readonly limits: SweepLimits }; value: boolean };
  forget: { request: { readonly options: ForgetOptions }; value: ForgetStep };
  /** Rows of deliveries. */
  pending: { request: { readonly limit: number }; value: null };
  countPending: { request: { readonly most: number; readonly user: string | undefined }; value: number };
  /** Rows of deliveries. */
  deliveries: { request: { readonly subject: string }; value: null };
  secret: { request: { readonly user: string }; value: WebhookSecret | null };
  endpoints: { request: object; value: WebhookEndpoint[] };
  /** At most one row. */
  batchFile: { request: { readonly id: string }; value: null };
  /** At most one row. */
  batchFileOfOutput: { request: { readonly file: string }; value: null };
  /** Rows of batches of files. */
  batchFiles: { request: { readonly filter: BatchFileFilter }; value: null };
  /** Rows of batches of files with an id behind each. */
  outputs: { request: { readonly filter: OutputFilter }; value: null };
  /** Rows of batches of files. */
  unfinishedBatchFiles: { request: object; value: null };
  /** Rows of lines. */
  refusedLines: { request: { readonly from: number; readonly to: number; readonly limit: number }; value: null };
  /** At most one row. */
  file: { request: { readonly id: string }; value: null };
  /** At most one row. */
  sameFile: { request: { readonly identity: FileIdentity }; value: null };
  /** Rows of files. */
  files: { request: { readonly filter: FileFilter }; value: null };
  /** Rows of files. */
  dueFiles: { request: { readonly limits: FileLimits; readonly limit: number }; value: null };
  removeFile: { request: { readonly id: string }; value: "removed" | "held" | "absent" };
  fileTotals: { request: object; value: FileTotal[] };
  /** Rows of ids. */
  fileIds: { request: { readonly after: string; readonly limit: number }; value: null };
  putPiece: { request: { readonly name: string; readonly place: number; readonly piece: Uint8Array }; value: null };
  nameBytes: { request: { readonly from: string; readonly to: string }; value: null };
  dropBytes: { request: { readonly name: string }; value: null };
  bytesSize: { request: { readonly name: string }; value: number | null };
  piece: { request: { readonly name: string; readonly place: number }; value: Uint8Array | null };
  /** Rows of names. */
  bytesNames: { request: { readonly after: string; readonly limit: number }; value: null };
  /** null: there is none. */
  sharedFile: { request: { readonly name: string }; value: string | null };
  sharedFiles: { request: { readonly prefix: string }; value: [string, string][] };
  /** null as the body: it is to go. */
  putSharedFile: { request: { readonly name: string; readonly body: string | null }; value: null };
  /** Rows of the audit log; the value is the number below which the next ones are. */
  audit: { request: { readonly filter: AuditFilter; readonly atOnce: number }; value: number | null };
  /** Begins a copy in the new file `path`; its end is told by `copied`. */
  copy: { request: { readonly path: string }; value: null };
  /** Ends the copy under way. */
  stopCopy: { request: object; value: null };
  close: { request: object; value: null };
}

export type Kind = keyof Exchange;
/** About what only a database on a server has. */
export type SharedKind = "sharedFile" | "sharedFiles" | "putSharedFile";
/** About the bytes of files, where these are in the database. */
export type BytesKind = "putPiece" | "nameBytes" | "dropBytes" | "bytesSize" | "piece" | "bytesNames";
/** `number` tells requests apart. */
export type Request = { [K in Kind]: { readonly kind: K; readonly number: number } & Exchange[K]["request"] }[Kind];
export type Value = Exchange[Kind]["value"];

export interface Opening {
  readonly lastSeq: number;
  readonly past: Past;
  /** Those that have not ended. */
  readonly batches: Batch[];
  /** A damaged file that is in quarantine now; null: none. */
  readonly quarantined: Quarantined | null;
}

export interface Quarantined {
  /** Where it is now. */
  readonly path: string;
  /** Its fault. */
  readonly reason: string;
}

export type Reply =
  /** Some of the rows asked for; more replies follow. One message of all rows could be larger than a message can be. */
  | { readonly kind: "rows"; readonly number: number; readonly rows: readonly Row[] }
  /** The rows so far are void: their file has turned out to be damaged. */
  | { readonly kind: "void"; readonly number: number }
  | { readonly kind: "done"; readonly number: number; readonly value: Value }
  | { readonly kind: "failed"; readonly number: number; readonly failure: Failure }
  | News;

/** No replies to requests. */
export type News =
  /** A line for the operator. */
  | {
      readonly kind: "line";
      readonly level: "info" | "warn" | "error";
      readonly fields: object;
      readonly message: string;
    }
  /** A copy has ended. `schema`: the number of its last migration; null: it failed. */
  | { readonly kind: "copied"; readonly schema: number | null; readonly reason: string }
  /** Nothing can be stored for now, and new saves are refused with this sentence; null: it can again. */
  | { readonly kind: "away"; readonly sentence: string | null }
  /** The database is this server's for now: it had said so after this moment, in milliseconds of `steadyTime`. */
  | { readonly kind: "renewed"; readonly asked: number }
  /** The store is lost, for the reason in the sentence, which clients see; `isTaken`: another server has it. Every request but `close` fails from now on. */
  | { readonly kind: "lost"; readonly sentence: string; readonly isTaken: boolean };

export interface Failure {
  readonly code: ErrorCode;
  readonly sentence: string;
  /** One of the rows is the cause: the same transaction without it may succeed. */
  readonly ofRow: boolean;
}
