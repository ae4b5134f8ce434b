/* Columns of many rows as literals of arrays, which cross to PostgreSQL as one value each and become rows again by `unnest`. */
import type { Value } from "../thread/columns.ts";
import { storedText } from "./texts.ts";

/** A value that is written as it is, without a look at its characters. */
export class Literal {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

const QUOTED = /["\\]/g;

/** https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
export function arrayOf(values: Iterable<Value>): Literal {
  let text = "";
  for (const value of values) text += `,${elementOf(value)}`;
  return new Literal(`{${text.slice(1)}}`);
}

function elementOf(value: Value): string {
  if (value === null) return "NULL";
  if (typeof value === "number") return String(value);
  return `"${storedText(value).replace(QUOTED, String.raw`\$&`)}"`;
}

/** One literal for each column of these rows. */
export function columnsOf(rows: readonly (readonly Value[])[], width: number): Literal[] {
  return Array.from({ length: width }, (_, place) => arrayOf(rows.map((row) => row[place] ?? null)));
}
