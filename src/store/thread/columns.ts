/*
 * Rows are arrays: as objects, they would cross to the storage thread with all their names, at twice the cost. Still no code counts
 * columns: the names and their order are listed once for each table.
 */

export type Value = string | number | null;
export type Row = readonly Value[];

/** How each column of a table gets its value, by its name, in the order of a row. `Beside`: something that is told with it. */
export type Columns<T, Beside = void> = Readonly<Record<string, (from: T, beside: Beside) => Value>>;

/** The index in a row of each column. */
export type Places<Name extends string> = Readonly<Record<Name, number>>;

export function namesOf<Name extends string>(columns: Readonly<Record<Name, unknown>>): readonly Name[] {
  return Object.keys(columns) as Name[];
}

export function placesOf<Name extends string>(names: readonly Name[]): Places<Name> {
  return Object.fromEntries(names.map((name, place) => [name, place])) as Places<Name>;
}

/** Makes rows of these columns. */
export function rowMaker<T, Beside = void>(columns: Columns<T, Beside>): (from: T, beside: Beside) => Value[] {
  const values = Object.values(columns);
  // An array that grew to its length is copied at that length. Made at it, it would be sent with an index before each value.
  const blank: Value[] = [];
  for (let place = 0; place < values.length; place++) blank.push(null);
  return (from, beside) => {
    const row = blank.slice();
    for (let place = 0; place < values.length; place++) row[place] = values[place]!(from, beside);
    return row;
  };
}

export function withoutLastNulls(row: Row): Row {
  let length = row.length;
  while (length > 0 && row[length - 1] === null) length--;
  // A copy: to set the length of an array takes V8 longer.
  return length === row.length ? row : row.slice(0, length);
}
