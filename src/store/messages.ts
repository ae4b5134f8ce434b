/* What crosses between SqliteStore and its thread. Requests are served, and replied to, in the order they were sent. */
import type { ErrorCode } from "../errors.ts";
import type { Row } from "./rows.ts";
import type { TaskFilter } from "./store.ts";

export type Request =
  /** Rows of the live tasks, then the highest `seq`. `maxPages` bounds the file, in pages of 4096 bytes. */
  | { readonly kind: "open"; readonly path: string; readonly maxPages: number | undefined }
  /** `inserts` are rows of `newRow`, `updates` of `changedRow`; one transaction. */
  | { readonly kind: "write"; readonly inserts: readonly Row[]; readonly updates: readonly Row[] }
  /** At most one row. */
  | { readonly kind: "get"; readonly id: string }
  /** The rows, then how many match. */
  | { readonly kind: "list"; readonly filter: TaskFilter }
  | { readonly kind: "close" };

export type Reply =
  /** Some of the rows asked for; more replies follow. One message of all rows could be larger than a message can be. */
  | { readonly kind: "rows"; readonly rows: readonly Row[] }
  | { readonly kind: "done"; readonly value: number }
  | { readonly kind: "failed"; readonly failure: Failure };

export interface Failure {
  readonly code: ErrorCode;
  readonly sentence: string;
  /** It is the fault of one of the rows: the same transaction without it may succeed. */
  readonly ofRow: boolean;
}
