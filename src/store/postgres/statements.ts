/* Statements with names for their values, as they are written here, and as PostgreSQL gets them. */
import type { Value } from "../thread/columns.ts";
import { Literal } from "./arrays.ts";
import { storedText } from "./texts.ts";

type OneValue = Value | Literal | Uint8Array | boolean | undefined;
/** Values by the names that statements give them, or in the order in which a statement has these names. */
export type Values = Readonly<Record<string, OneValue>> | readonly OneValue[];

/** A change whose answer nobody has to read before the next statement is sent. */
export interface Change {
  /** With names like `:seq`. */
  readonly sql: string;
  readonly values: Values;
  /** The message of the error when a change that is made by `exactly` changes other than `:wanted` rows. */
  readonly missing?: string;
}

/** A change that fails unless it is one of `:wanted` rows: by a division by zero, for want of another failure that SQL can be asked for. */
export function exactly(change: string): string {
  return `WITH changed AS (${change} RETURNING 1) SELECT 1 / (count(*) = :wanted::bigint)::integer FROM changed`;
}

const NAME = /(?<!:):([a-zA-Z]\w*)/g;

/** As it is prepared. */
export class Statement {
  readonly name: string;
  /** With numbers like `$1`. */
  readonly text: string;
  readonly #names: readonly string[];

  constructor(name: string, sql: string) {
    const names: string[] = [];
    this.name = name;
    this.text = sql.replace(NAME, (_, one: string) => {
      if (!names.includes(one)) names.push(one);
      return `$${names.indexOf(one) + 1}`;
    });
    this.#names = names;
  }

  /** In the order of their numbers, as texts or bytes. */
  bound(values: Values): (string | Buffer | null)[] {
    return isList(values) ? values.map(boundOf) : this.#names.map((one) => boundOf(values[one]));
  }
}

function isList(values: Values): values is readonly OneValue[] {
  return Array.isArray(values);
}

function boundOf(value: OneValue): string | Buffer | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "string") return storedText(value);
  if (value instanceof Literal) return value.text;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return String(value);
}
