/* One end of a copy from one kind of database to another: its tables, row by row. No server has it meanwhile. */
import type { FileBytes } from "../file-bytes.ts";
import type { Row } from "../thread/columns.ts";

/** A table that both kinds have. Its rows are read and written in the order of the key, which is the same in both. */
export interface Table {
  readonly name: string;
  readonly key: readonly string[];
}

/** All that is stored, except what follows from it by triggers, and what belongs to one kind of database. */
export const TABLES: readonly Table[] = [
  { name: "tasks", key: ["seq"] },
  { name: "requests", key: ["seq"] },
  { name: "notes", key: ["seq"] },
  { name: "batches", key: ["id"] },
  { name: "batch_files", key: ["number"] },
  { name: "refused_lines", key: ["seq"] },
  { name: "deliveries", key: ["number"] },
  { name: "webhook_secrets", key: ["user"] },
  { name: "webhook_endpoints", key: ["user", "origin"] },
  { name: "idempotency_keys", key: ["user", "key"] },
  { name: "usage_hours", key: ["hour", "user", "team", "key_name", "model", "gpu_id"] },
  { name: "files", key: ["id"] },
  { name: "file_holds", key: ["file_id", "holder"] },
  { name: "audit", key: ["number"] },
  { name: "clock", key: ["number"] },
];

/** Numbers that are never given again, although the last row that had one may be gone. */
export interface LastNumbers {
  readonly seq: number;
  readonly audit: number;
}

/** The contents of a target. */
export type Content =
  | { readonly kind: "nothing" }
  /** A copy that was not finished, of a source with this stamp. */
  | { readonly kind: "part"; readonly stamp: string }
  | { readonly kind: "data"; readonly stamp: string };

/** Rows, and characters of their texts, that are read at once, about. */
export const ROWS = 1000;
export const CHARACTERS = 4 * 1024 * 1024;

/** Is told how far a copy is, often. */
export type Tell = (so: string) => void;

export interface CopyEnd {
  /** In words: which database it is. */
  readonly shown: string;
  /** Those of files. */
  readonly bytes: FileBytes;
  /** Those that both kinds of database have are the same. */
  columns(table: Table): Promise<readonly string[]>;
  count(table: Table): Promise<number>;
  /** Some rows behind a key, in its order; none: there are no more. @param after null: from the first on */
  read(table: Table, columns: readonly string[], after: Row | null): Promise<readonly Row[]>;
  /** The highest key; null: there is no row. */
  last(table: Table): Promise<Row | null>;
  lastNumbers(): Promise<LastNumbers>;
  close(): Promise<void>;
}

/** The end that is written. A server refuses it, or does not find it, until `finish`. */
export interface CopyTarget extends CopyEnd {
  /** The end of a sentence: what to do where it has other data. */
  readonly instead: string;
  content(): Promise<Content>;
  /** Begins a copy, on a target that has nothing or a part. Its contents are removed. */
  begin(stamp: string): Promise<void>;
  /** Writes all of these rows or none. */
  write(table: Table, columns: readonly string[], rows: readonly Row[]): Promise<void>;
  setLastNumbers(numbers: LastNumbers): Promise<void>;
  /** All is there and was compared. */
  finish(): Promise<void>;
}

/**
 * Tells one state of a database from every later one: a server that has run on it has recorded its clock.
 * null: no server has ever run on it, so nobody can tell.
 */
export async function stampOf(end: CopyEnd): Promise<string | null> {
  const clock = TABLES.find(({ name }) => name === "clock")!;
  const rows = await end.read(clock, await end.columns(clock), null);
  return rows.length === 0 ? null : JSON.stringify([rows, await end.lastNumbers()]);
}
