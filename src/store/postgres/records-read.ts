/* The statements that read usage and the audit log, in parts. */
import type { AuditFilter } from "../audit.ts";
import { AUDIT_READ } from "../thread/audit-rows.ts";
import type { Row } from "../thread/columns.ts";
import { COLUMN_OF, USAGE_SUMS } from "../thread/usage-rows.ts";
import { USAGE_COLUMNS, type UsageColumn, type UsageFilter } from "../usage.ts";
import { listOf } from "./columns.ts";
import type { Session } from "./session.ts";

/** Some rows, and where the next ones are; null: there are none. */
export interface Part {
  readonly rows: readonly Row[];
  readonly next: number | null;
}

/** Newest first. @param atOnce rows that are looked at: whatever is selected, no more are read than these */
export async function auditPart(session: Session, filter: AuditFilter, atOnce: number): Promise<Part> {
  const { user, action, target, since, until, after, limit } = filter;
  const [ends] = await session.rows("SELECT (SELECT min(number) FROM audit), (SELECT max(number) FROM audit)");
  const [lowest, highest] = ends as readonly [number | null, number | null];
  if (lowest === null || highest === null) return { rows: [], next: null };
  const below = Math.min(after ?? Number.MAX_SAFE_INTEGER, highest + 1);
  const from = below - atOnce;
  const wanted = [
    "number < :below AND number >= :from",
    ...(user === undefined ? [] : ['"user" = :user']),
    ...(action === undefined ? [] : ["action = :action"]),
    ...(target === undefined ? [] : ["target = :target"]),
    ...(since === undefined ? [] : ["at >= :since"]),
    ...(until === undefined ? [] : ["at < :until"]),
  ];
  const found = `SELECT ${listOf(AUDIT_READ)} FROM audit WHERE ${wanted.join(" AND ")} ORDER BY number DESC LIMIT :limit`;
  const rows = await session.rows(found, { below, from, user, action, target, since, until, limit });
  return { rows, next: from > lowest ? from : null };
}

/** The hour of the row after so many, if there is one; and that of the first row. */
const END_OF_PART = `
  SELECT hour FROM usage_hours WHERE hour >= :from AND hour < :to ORDER BY hour LIMIT 1 OFFSET :rows`;
const FIRST = "SELECT hour FROM usage_hours WHERE hour >= :from AND hour < :to ORDER BY hour LIMIT 1";

/** @param atOnce rows that are read, about: an hour is read whole */
export async function usagePart(
  session: Session,
  { from, to, user, team, by }: UsageFilter,
  atOnce: number,
): Promise<Part> {
  const bounds = { from: Math.floor(from), to: Math.ceil(to) };
  const [end = null] = await session.numbers(END_OF_PART, { ...bounds, rows: atOnce });
  const [first] = await session.numbers(FIRST, bounds);
  const next = end !== null && end === first ? end + 1 : end;
  const owners = `${user === undefined ? "" : 'AND "user" = :user'} ${team === undefined ? "" : "AND team = :team"}`;
  const rows = await session.rows(sumsBy(by, owners), { ...bounds, to: next ?? bounds.to, user, team });
  return { rows, next };
}

function sumsBy(by: readonly UsageColumn[], owners: string): string {
  const columns = by.map((column) => `"${COLUMN_OF[column]}"`);
  const keys = USAGE_COLUMNS.map((column) => (by.includes(column) ? `"${COLUMN_OF[column]}"` : "NULL"));
  // As double precision: a sum of bigint is of a type that has no counterpart in JavaScript.
  const sums = USAGE_SUMS.map((name) => `sum("${name}")::double precision`);
  const grouped = columns.length === 0 ? "HAVING count(*) > 0" : `GROUP BY ${columns.join()}`;
  return `SELECT ${[...keys, ...sums].join()} FROM usage_hours
    WHERE hour >= :from AND hour < :to ${owners} ${grouped}`;
}
