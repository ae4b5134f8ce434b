import { createRequire } from "node:module";
import type StringWidth from "string-width";
import { said } from "../words/terminal.ts";

/** For what has other characters than those of ASCII; its patterns take long to compile. */
const require = createRequire(import.meta.url);
let stringWidth: typeof StringWidth | undefined;

/** Where it is read: so many columns of a terminal; null: in a file or by a program, which want neither bars nor broken lines. */
export type Columns = number | null;

/** Cells of a terminal that a text takes: two for East Asian characters and emoji, none for combining marks and colours. */
export function widthOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  stringWidth ??= (require("string-width") as { readonly default: typeof StringWidth }).default;
  return stringWidth(text);
}

/** Fills a text up to a width. */
export function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - widthOf(text)));
}

/** Columns for a terminal: each as wide as its widest cell. A row that is one string stands there as it is, over all columns. */
export function table(titles: readonly string[], rows: readonly (readonly string[] | string)[]): string {
  const head = titles.map(said);
  const cells = [head, ...rows.filter((row) => typeof row !== "string")];
  const widths = head.map((_title, i) => Math.max(...cells.map((row) => widthOf(row[i]!))));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => padded(cell, widths[i]!))
      .join("  ")
      .trimEnd();
  return [head, ...rows].map((row) => (typeof row === "string" ? row : line(row))).join("\n");
}

const ELLIPSIS = "…";
let characters: Intl.Segmenter | undefined;

/**
 * A text that is too wide loses its middle: names of GPUs begin alike, and what tells them apart stands at their ends. No character is
 * halved, so that it may become a cell narrower than asked.
 */
export function shortened(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  characters ??= new Intl.Segmenter(undefined, { granularity: "grapheme" });
  const all = Array.from(characters.segment(text), ({ segment }) => segment);
  const room = Math.max(0, width - widthOf(ELLIPSIS));
  const head = fitting(all, Math.floor(room * 0.4));
  const tail = fitting(all.toReversed(), room - widthOf(head.join("")));
  return head.join("") + ELLIPSIS + tail.toReversed().join("");
}

/** As many from the beginning as fit. */
function fitting(all: readonly string[], room: number): string[] {
  let left = room;
  const end = all.findIndex((character) => (left -= widthOf(character)) < 0);
  return end === -1 ? [...all] : all.slice(0, end);
}

/**
 * A bar of `width` characters for a share of 0 to 1, like `███████░░░`. It is empty only for nothing and full only for all, so that a
 * rounded picture does not hide the little that is used or left.
 */
export function bar(share: number, width: number): string {
  const exact = Math.min(Math.max(share, 0), 1) * width;
  const full = exact < 1 ? Math.ceil(exact) : exact > width - 1 ? Math.floor(exact) : Math.round(exact);
  return "█".repeat(full) + "░".repeat(width - full);
}

/** Breaks a text between words into lines that take at most `width` cells, the indentation of each included. */
export function wrap(text: string, width: number, indentation = ""): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = lines.length === 0 ? undefined : `${lines.at(-1)} ${word}`;
    if (longer !== undefined && widthOf(longer) <= width) lines[lines.length - 1] = longer;
    else lines.push(indentation + word);
  }
  return lines.join("\n");
}

/** As `wrap`, where there is an end to lines. */
export function wrapped(text: string, indentation: string, columns: Columns): string {
  return wrap(text, columns ?? Infinity, indentation);
}

/** A text beside its label; what does not fit goes on under its own beginning. */
export function hanging(label: string, text: string, columns: Columns): string {
  return label + wrapped(text, " ".repeat(widthOf(label)), columns).trimStart();
}

/** Cells of the widest line. */
export function widest(text: string): number {
  return Math.max(...text.split("\n").map(widthOf));
}
