/*
 * Rows are arrays: as objects, they would cross to the storage thread with all their names, at twice the cost. Still no code counts
 * columns: the names and their order are listed once for each table.
 */

export type Value = string | number | null;
export type Row = readonly Value[];

/** How each column of a table gets its value, by its name, in the order of a row. */
export type Columns<T> = Readonly<Record<string, (from: T) => Value>>;

/** The index in a row of each column. */
export type Places<Name extends string> = Readonly<Record<Name, number>>;

export function namesOf<Name extends string>(columns: Readonly<Record<Name, unknown>>): readonly Name[] {
  return Object.keys(columns) as Name[];
}

export function placesOf<Name extends string>(names: readonly Name[]): Places<Name> {
  return Object.fromEntries(names.map((name, place) => [name, place])) as Places<Name>;
}

/** Makes rows of these columns. @returns takes also the values before them */
export function rowMaker<T>(columns: Columns<T>): (from: T, ...before: Value[]) => Row {
  const values = Object.values(columns);
  return (from, ...row) => {
    // Not `map`: an array that was made at its full length is sent with an index before each value.
    for (const value of values) row.push(value(from));
    return row;
  };
}
