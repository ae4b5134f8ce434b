/* How the records that are stored beside tasks are written. */
import type { StoreRecord } from "../store.ts";
import { AUDIT } from "../thread/audit-rows.ts";
import { BATCH_FILE, REFUSED_LINE } from "../thread/batch-file-rows.ts";
import { FILE } from "../thread/file-rows.ts";
import { BATCH, CLOCK, DELIVERY, ENDPOINT, IDEMPOTENCY, NOTE, SECRET, TRIED } from "../thread/records.ts";
import { BATCH_FILE_RENEWED } from "./batch-files.ts";
import { HOLD, RELEASE, RENEWED } from "./files.ts";

/** How each kind of record is written. REPLACE deletes the row that is in the way. */
export const WRITES: Readonly<Record<StoreRecord["kind"], string>> = {
  batch: insert("INSERT OR REPLACE", "batches", BATCH),
  note: insert("INSERT OR REPLACE", "notes", NOTE),
  idempotency: insert("INSERT OR REPLACE", "idempotency_keys", IDEMPOTENCY),
  event: `${insert("INSERT", "deliveries", DELIVERY)} ON CONFLICT (id) DO NOTHING`,
  delivery: `UPDATE deliveries SET ${assigned(TRIED)} WHERE ${assigned(["id"])}`,
  clock: insert("INSERT OR REPLACE", "clock", CLOCK),
  secret: insert("INSERT OR REPLACE", "webhook_secrets", SECRET),
  endpoint: insert("INSERT OR REPLACE", "webhook_endpoints", ENDPOINT),
  endpoint_works: "DELETE FROM webhook_endpoints WHERE user = ? AND origin = ?",
  batch_file: `${insert("INSERT", "batch_files", BATCH_FILE)} ON CONFLICT (id) DO UPDATE SET ${BATCH_FILE_RENEWED}`,
  refused_line: insert("INSERT OR REPLACE", "refused_lines", REFUSED_LINE),
  file: `${insert("INSERT", "files", FILE)} ON CONFLICT (id) DO UPDATE SET ${RENEWED}`,
  file_hold: HOLD,
  file_release: RELEASE,
  audit: `${insert("INSERT", "audit", AUDIT)} ON CONFLICT (id) DO NOTHING`,
};

function insert(how: string, table: string, columns: readonly string[]): string {
  return `${how} INTO ${table} (${columns.join()}) VALUES (${columns.map(() => "?").join()})`;
}

function assigned(columns: readonly string[]): string {
  return columns.map((name) => `${name} = ?`).join();
}
