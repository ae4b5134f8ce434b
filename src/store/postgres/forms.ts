/*
 * Statements that write rows, in two forms. One row is handed over as it is, which takes PostgreSQL two thirds of the time of arrays of one, and
 * this server a third: one client alone waits for each of them.
 */
import type { Row } from "../thread/columns.ts";
import { columnsOf } from "./arrays.ts";
import { single, type Source, unnested } from "./columns.ts";
import type { Change } from "./statements.ts";

export interface Forms {
  readonly one: string;
  readonly many: string;
}

/** @param statement writes the rows of a source, whose columns are its first values */
export function formsOf(statement: (rows: Source) => string): Forms {
  return { one: statement(single), many: statement(unnested) };
}

/** @param width how many columns the longest row has, and the statement @param behind values of the statement behind those of the rows */
export function changeBy({ one, many }: Forms, rows: readonly Row[], width: number, behind: Row = []): Change {
  if (rows.length > 1) return { sql: many, values: [...columnsOf(rows, width), ...behind] };
  return { sql: one, values: behind.length === 0 ? rows[0]! : [...rows[0]!, ...behind] };
}
