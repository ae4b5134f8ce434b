/** Rows of usage as bars: one for each day, of parts for the groups that used most. */

/** @typedef {import("../../../http/schemas/usage.ts").UsageRowView} Row */
/** @typedef {typeof import("./question.js").BY[number]} By */
/** @typedef {typeof import("./question.js").MEASURES[number]} Measure */

/** Groups with a colour of their own; all further ones are one. */
export const MOST_GROUPS = 4;

/**
 * @typedef {object} Group
 * @property {string | null} name null: all further groups together
 * @property {number[]} values one for each day
 */

/**
 * The field by which a row is told apart, as text; empty: it has none, such as a task without an API key.
 * @param {Pick<Row, By>} row
 * @param {By} by
 */
export function nameOf(row, by) {
  return String(row[by] ?? "");
}

/**
 * @param {readonly Row[]} rows by group and day
 * @param {By} by
 * @param {Measure} measure
 * @param {readonly string[]} days
 * @returns {Group[]} those that used most first
 */
export function groupsOf(rows, by, measure, days) {
  const places = new Map(days.map((day, place) => [day, place]));
  /** @type {Map<string, number[]>} */
  const found = new Map();
  for (const row of rows) {
    const place = places.get(row.day ?? "");
    if (place === undefined) continue;
    const name = nameOf(row, by);
    const values = found.get(name) ?? days.map(() => 0);
    values[place] = (values[place] ?? 0) + (row[measure] ?? 0);
    found.set(name, values);
  }
  const sorted = [...found].toSorted(([, one], [, other]) => sumOf(other) - sumOf(one));
  const groups = sorted.map(([name, values]) => ({ name, values }));
  if (groups.length <= MOST_GROUPS + 1) return groups;
  const rest = groups.slice(MOST_GROUPS).reduce(
    (sums, { values }) => added(sums, values),
    days.map(() => 0),
  );
  return [...groups.slice(0, MOST_GROUPS), { name: null, values: rest }];
}

/**
 * Each on top of those before it.
 * @param {readonly Group[]} groups
 * @returns {number[][]}
 */
export function stackOf(groups) {
  /** @type {number[][]} */
  const stack = [];
  for (const { values } of groups) stack.push(added(values, stack.at(-1)));
  return stack;
}

/** @param {readonly number[]} values */
function sumOf(values) {
  return values.reduce((sum, value) => sum + value, 0);
}

/** @param {readonly number[]} values @param {readonly number[]} [more] */
function added(values, more) {
  return values.map((value, place) => value + (more?.[place] ?? 0));
}
