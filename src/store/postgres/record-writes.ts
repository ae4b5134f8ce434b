/* The changes that write the records that are stored beside tasks, as few as their order allows. */
import type { Batch } from "../../task.ts";
import type { Row, Value } from "../thread/columns.ts";
import { AUDIT } from "../thread/audit-rows.ts";
import { BATCH_FILE, REFUSED_LINE } from "../thread/batch-file-rows.ts";
import { FILE } from "../thread/file-rows.ts";
import {
  BATCH,
  batchOf,
  CLOCK,
  DELIVERY,
  ENDPOINT,
  IDEMPOTENCY,
  IN_TRIED,
  NOTE,
  type RecordRow,
  SECRET,
  TRIED,
} from "../thread/records.ts";
import { columnsOf } from "./arrays.ts";
import { removeDelivered } from "./gone-texts.ts";
import { listOf, numbered, unnested } from "./columns.ts";
import { removeEmptyBatches } from "./removal.ts";
import type { Session } from "./session.ts";
import { type Change, exactly } from "./statements.ts";

type Kind = RecordRow["kind"];

/** How records of a kind are written. */
interface Write {
  /** Kinds of the same table have the same one: their order matters. */
  readonly table: string;
  readonly columns: readonly string[];
  /** The columns by which rows are the same: of those in one statement the last counts, or the first. */
  readonly key: readonly string[];
  readonly counts: "first" | "last";
  readonly sql: string;
  /** Each row has to find its place (`exactly`); what is said where one does not. */
  readonly missing?: string;
}

const HOLD = ["file_id", "holder"];
const ENDPOINT_KEY = ["user", "origin"];
const TRY = [...TRIED, "id"];
const RAISE_LAST = "UPDATE removed SET last_seq = greatest(last_seq, :last)";

const WRITES: Readonly<Record<Kind, Write>> = {
  batch: upsert("batches", BATCH, ["id"]),
  note: upsert("notes", NOTE, ["seq"]),
  idempotency: upsert("idempotency_keys", IDEMPOTENCY, ["user", "key"]),
  event: added("deliveries", DELIVERY),
  delivery: {
    table: "deliveries",
    columns: TRY,
    key: ["id"],
    counts: "last",
    sql: `UPDATE deliveries SET ${TRIED.map((name) => `"${name}" = tried."${name}"`).join()}
      FROM ${unnested(TRY, "tried")} WHERE deliveries.id = tried.id`,
  },
  clock: upsert("clock", CLOCK, ["number"]),
  secret: upsert("webhook_secrets", SECRET, ["user"]),
  endpoint: upsert("webhook_endpoints", ENDPOINT, ENDPOINT_KEY),
  endpoint_works: {
    table: "webhook_endpoints",
    columns: ENDPOINT_KEY,
    key: ENDPOINT_KEY,
    counts: "last",
    sql: `DELETE FROM webhook_endpoints USING ${unnested(ENDPOINT_KEY, "well")}
      WHERE webhook_endpoints."user" = well."user" AND webhook_endpoints.origin = well.origin`,
  },
  batch_file: upsert("batch_files", BATCH_FILE, ["id"], ["output_file", "error_file", "facts", "ended_at"]),
  refused_line: upsert("refused_lines", REFUSED_LINE, ["seq"]),
  file: upsert("files", FILE, ["id"], ["kept_from", "lifetime", "team"]),
  file_hold: {
    table: "files",
    columns: HOLD,
    key: HOLD,
    counts: "last",
    sql: exactly(`INSERT INTO file_holds (file_id, holder)
      SELECT files.id, held.holder FROM ${unnested(HOLD, "held")} JOIN files ON files.id = held.file_id
      ON CONFLICT (file_id, holder) DO UPDATE SET holder = excluded.holder`),
    missing: "a file that is to be held is not in the database",
  },
  file_release: {
    table: "files",
    columns: HOLD,
    key: HOLD,
    counts: "last",
    sql: `DELETE FROM file_holds USING ${unnested(HOLD, "free")}
      WHERE file_holds.file_id = free.file_id AND file_holds.holder = free.holder`,
  },
  audit: {
    table: "audit",
    columns: AUDIT,
    key: ["id"],
    counts: "first",
    // Numbers without a gap, which a sequence leaves where a transaction fails.
    sql: `WITH added AS (
        INSERT INTO audit (number, ${listOf(AUDIT)})
        SELECT (SELECT last_audit FROM removed) + row_number() OVER (ORDER BY new.place), ${listOf(AUDIT, "new.")}
        FROM ${numbered(AUDIT, "new")} WHERE NOT EXISTS (SELECT 1 FROM audit WHERE audit.id = new.id) RETURNING number)
      UPDATE removed SET last_audit = greatest(last_audit, (SELECT max(number) FROM added))`,
  },
};

/** The same statement for some rows of one kind. */
interface Run {
  readonly kind: Kind;
  /** By what they are about. */
  readonly rows: Map<string, Row>;
}

/**
 * The changes that write records in their order, as far as it can be told: those of different tables have nothing to do with each other, nor
 * those of one table that are about different things.
 */
export function recordChanges(records: readonly RecordRow[]): Change[] {
  const changes = runsOf(records).map(({ kind, rows }) => changeOf(WRITES[kind], [...rows.values()]));
  // No other task may get the number of a line that is yet to come.
  const ends = batchesIn(records).flatMap(({ lines, firstSeq, size }) => (lines === null ? [] : [firstSeq + size - 1]));
  return ends.length === 0 ? changes : [...changes, { sql: RAISE_LAST, values: { last: Math.max(...ends) } }];
}

/** Deliveries and batches to look at when those changes are made. They may lead to other changes. */
export interface Aftermath {
  /** Of deliveries that have arrived: texts may be kept until then. */
  readonly delivered: readonly Row[];
  /** Batches that may be without a task. */
  readonly ended: readonly string[];
}

/** null: nothing is to be looked at. */
export function aftermathOf(records: readonly RecordRow[]): Aftermath | null {
  const delivered = records
    .filter(({ kind, row }) => kind === "delivery" && row[IN_TRIED.status] === "delivered")
    .map(({ row }) => row);
  // Its last task may have been removed before its end was written. One whose lines were all refused never had any.
  const ended = batchesIn(records)
    .filter(
      ({ finishedAt, lines, size }) => finishedAt !== null && (lines === null || lines.failed + lines.canceled < size),
    )
    .map(({ id }) => id);
  return delivered.length + ended.length === 0 ? null : { delivered, ended };
}

/** @returns whether texts were removed by it */
export async function seeTo(session: Session, { delivered, ended }: Aftermath): Promise<boolean> {
  const isRemoved = await removeDelivered(session, delivered);
  await removeEmptyBatches(session, ended);
  return isRemoved;
}

function batchesIn(records: readonly RecordRow[]): Batch[] {
  return records.filter(({ kind }) => kind === "batch").map(({ row }) => batchOf(row));
}

function changeOf({ sql, columns, missing }: Write, rows: readonly Row[]): Change {
  const values = columnsOf(rows, columns.length);
  return missing === undefined ? { sql, values } : { sql, values: [...values, rows.length], missing };
}

/** Each record goes to the first run of its kind behind all that are about the same. */
function runsOf(records: readonly RecordRow[]): Run[] {
  const runs: Run[] = [];
  /** The index behind the last run that is about something. */
  const ends = new Map<string, number>();
  for (const { kind, row } of records) {
    const { table, columns, key, counts } = WRITES[kind];
    const at = (names: readonly string[]): Value[] => names.map((name) => row[columns.indexOf(name)] ?? null);
    // Kinds of one table share the id, which is their first column or their only key.
    const subject = nameOf([table, ...at([columns.includes("id") ? "id" : columns[0]!])]);
    const name = nameOf(at(key));
    const from = ends.get(subject) ?? 0;
    let place = runs.findIndex((run, index) => index >= Math.max(from - 1, 0) && run.kind === kind);
    if (place === -1) place = runs.push({ kind, rows: new Map() }) - 1;
    const { rows } = runs[place]!;
    if (counts === "last" || !rows.has(name)) rows.set(name, row);
    ends.set(subject, Math.max(from, place + 1));
  }
  return runs;
}

/** Two texts that are the same in UTF-8 are the same row. */
function nameOf(values: readonly Value[]): string {
  return JSON.stringify(values.map((value) => (typeof value === "string" ? value.toWellFormed() : value)));
}

function upsert(
  table: string,
  columns: readonly string[],
  key: readonly string[],
  renewed: readonly string[] = columns.filter((name) => !key.includes(name)),
): Write {
  const sets = renewed.map((name) => `"${name}" = excluded."${name}"`).join();
  const sql = `INSERT INTO ${table} (${listOf(columns)}) SELECT * FROM ${unnested(columns, "new")}
    ON CONFLICT (${listOf(key)}) DO UPDATE SET ${sets}`;
  return { table, columns, key, counts: "last", sql };
}

function added(table: string, columns: readonly string[]): Write {
  const sql = `INSERT INTO ${table} (${listOf(columns)})
    SELECT ${listOf(columns)} FROM ${numbered(columns, "new")} ORDER BY place ON CONFLICT (id) DO NOTHING`;
  return { table, columns, key: ["id"], counts: "first", sql };
}
