/** Tables that fit a terminal, in which rows that differ can still be told apart. */
import { said } from "../../words/terminal.ts";
import { type Columns, shortened, table, widthOf, wrapped } from "../table.ts";

export interface Column {
  readonly title: string;
  /** The column with the lowest goes first where there is no room; absent: it stays. */
  readonly spare?: number;
  /** Its cells may lose their middles. */
  readonly isName?: boolean;
}

export interface Row {
  /** One for each column; "-" is nothing. */
  readonly cells: readonly string[];
  /** A sentence below it, over all columns. */
  readonly under?: string | null;
}

const GAP = 2;
const INDENTATION = "  ";
/** Cells that a name has before a column goes. */
const ENOUGH = 14;
/** Cells that a name has in any case. */
const LEAST = 6;

/**
 * 1. Columns in which nothing is known are left out on a terminal.
 * 2. Where there is no room, columns go in the order of `spare`, as soon as names had fewer than 14 cells.
 * 3. Then names are shortened in their middles, and never so that two become one.
 */
export function fittedTable(columns: readonly Column[], rows: readonly Row[], room: Columns): string {
  const all = [...columns.keys()];
  if (room === null) return drawn(columns, rows, all, null);
  const known = all.filter((at) => rows.some(({ cells }) => cells[at] !== "-"));
  const spare = known
    .filter((at) => columns[at]!.spare !== undefined)
    .toSorted((one, other) => columns[one]!.spare! - columns[other]!.spare!);
  const sets = [known, ...spare.map((_at, gone) => known.filter((at) => !spare.slice(0, gone + 1).includes(at)))];
  for (const set of sets.slice(0, -1)) {
    const short = shortNames(columns, rows, set, room, ENOUGH);
    if (widthWith(columns, short, set, Infinity) <= room) return drawn(columns, short, set, room);
  }
  const last = sets.at(-1)!;
  return drawn(columns, shortNames(columns, rows, last, room, LEAST), last, room);
}

function drawn(columns: readonly Column[], rows: readonly Row[], shown: readonly number[], room: Columns): string {
  const lines = rows.flatMap(({ cells, under }) => [
    shown.map((at) => cells[at]!),
    ...(under ? [wrapped(under, INDENTATION, room)] : []),
  ]);
  return table(
    shown.map((at) => columns[at]!.title),
    lines,
  );
}

/** Cells of the table when no name has more than `longest`. */
function widthWith(
  columns: readonly Column[],
  rows: readonly Row[],
  shown: readonly number[],
  longest: number,
): number {
  const widths = shown.map((at) => {
    const { isName = false } = columns[at]!;
    const title = said(columns[at]!.title);
    const widest = Math.max(...rows.map(({ cells }) => widthOf(cells[at]!)));
    return Math.max(widthOf(title), isName ? Math.min(widest, longest) : widest);
  });
  return widths.reduce((sum, width) => sum + width + GAP, -GAP);
}

/** Names as long as there is room for, of `least` cells at least. */
function shortNames(
  columns: readonly Column[],
  rows: readonly Row[],
  shown: readonly number[],
  room: number,
  least: number,
): readonly Row[] {
  let longest = Math.max(least, ...rows.flatMap(({ cells }) => shown.map((at) => widthOf(cells[at]!))));
  while (longest > least && widthWith(columns, rows, shown, longest) > room) longest--;
  const names = new Map(
    shown
      .filter((at) => columns[at]!.isName)
      .map((at) => [at, apart(new Set(rows.map(({ cells }) => cells[at]!)), longest)]),
  );
  return rows.map((row) => ({ ...row, cells: row.cells.map((cell, at) => names.get(at)?.get(cell) ?? cell) }));
}

/** Different names as short forms that differ too, of `width` cells if that can be. */
function apart(names: ReadonlySet<string>, width: number): ReadonlyMap<string, string> {
  for (let cells = width; ; cells++)
    for (const short of [cutNames(names, cells, 0), cutNames(names, cells, commonBeginning([...names], cells))])
      if (new Set(short.values()).size === names.size) return short;
}

/** @param begins UTF-16 units that are left out at the beginning of what is too wide */
function cutNames(names: ReadonlySet<string>, cells: number, begins: number): ReadonlyMap<string, string> {
  return new Map(
    [...names].map((name) => {
      if (widthOf(name) <= cells || begins === 0) return [name, shortened(name, cells)];
      const rest = name.slice(begins);
      return [name, `…${widthOf(rest) < cells ? rest : `${fittingHead(rest, cells - 2)}…`}`];
    }),
  );
}

function fittingHead(text: string, cells: number): string {
  let head = "";
  for (const character of text) {
    if (widthOf(head + character) > cells) break;
    head += character;
  }
  return head;
}

/** UTF-16 units that all names begin with which are too wide. */
function commonBeginning(names: readonly string[], cells: number): number {
  const [first = "", ...others] = names.filter((name) => widthOf(name) > cells);
  let length = 0;
  for (const character of first) {
    const longer = first.slice(0, length + character.length);
    if (others.length === 0 || !others.every((name) => name.startsWith(longer))) break;
    length = longer.length;
  }
  return length;
}
