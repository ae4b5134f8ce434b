/* The statements of the hourly rows of usage. Everything here blocks. */
import { USAGE_COLUMNS, type UsageColumn, type UsageFilter } from "../usage.ts";
import type { Row } from "../thread/columns.ts";
import { COLUMN_OF, HOUR, USAGE, USAGE_KEY, USAGE_SUMS } from "../thread/usage-rows.ts";
import type { Statements } from "./statements.ts";

/** Rows that one step of a sweep removes at most. */
const STEP = 500;

/** A sum of which either side may not be known. */
const ADDED = USAGE_SUMS.map((name) => `${name} = coalesce(${name} + excluded.${name}, ${name}, excluded.${name})`);
const ADD = `INSERT INTO usage_hours (${USAGE.join()}) VALUES (${USAGE.map(() => "?").join()})
  ON CONFLICT (${USAGE_KEY.join()}) DO UPDATE SET ${ADDED.join()}`;
const REMOVE = `DELETE FROM usage_hours WHERE (${USAGE_KEY.join()}) IN (
  SELECT ${USAGE_KEY.join()} FROM usage_hours WHERE hour < :before ORDER BY hour LIMIT ${STEP})`;
/** The hour of the row after so many, if there is one; and that of the first row. */
const END_OF_PART = `
  SELECT hour FROM usage_hours WHERE hour >= :from AND hour < :to ORDER BY hour LIMIT 1 OFFSET :rows`;
const FIRST = "SELECT hour FROM usage_hours WHERE hour >= :from AND hour < :to ORDER BY hour LIMIT 1";

/** Within a transaction. @param rows of `endedUsage` */
export function addRows(sql: Statements, rows: readonly Row[]): void {
  for (const row of rows) sql.run(ADD, row);
}

/** One step of a sweep. @param before Unix milliseconds; hours that have ended by then @returns whether there may be more */
export function removeUsage(sql: Statements, before: number): boolean {
  return sql.run(REMOVE, { before: Math.floor(before / HOUR) }) > 0;
}

/** The sums of some hours, and where the next ones begin; null: there are none. */
export interface UsagePart {
  readonly rows: readonly Row[];
  readonly next: number | null;
}

/** @param atOnce rows that are read, about: an hour is read whole */
export function usagePart(sql: Statements, { from, to, user, team, by }: UsageFilter, atOnce: number): UsagePart {
  const [end = null] = sql.numbers(END_OF_PART, { from, to, rows: atOnce });
  const [first] = sql.numbers(FIRST, { from, to });
  const next = end !== null && end === first ? end + 1 : end;
  const owners = `${user === undefined ? "" : "AND user = :user"} ${team === undefined ? "" : "AND team = :team"}`;
  const read = selectOf(by, owners);
  return { rows: sql.rows(read, { from, to: next ?? to, user: user ?? null, team: team ?? null }), next };
}

function selectOf(by: readonly UsageColumn[], owners: string): string {
  const keys = USAGE_COLUMNS.map((column) => (by.includes(column) ? COLUMN_OF[column] : "NULL"));
  const sums = USAGE_SUMS.map((name) => `sum(${name})`);
  return `SELECT ${[...keys, ...sums].join()} FROM usage_hours
    WHERE hour >= :from AND hour < :to ${owners} GROUP BY ${keys.map((_, index) => index + 1).join()}`;
}
