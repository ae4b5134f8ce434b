/** Tables as CSV (RFC 4180). */

export type Cell = string | number | null;

/**
 * Beginnings that spreadsheets take for formulas, also in their wide forms: whoever chose a name must not choose what runs on the machine of
 * whoever opens the table.
 */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

/** @param rows the first one has the names of the columns; null is an empty cell */
export function csvOf(rows: readonly (readonly Cell[])[]): string {
  return rows.map((row) => `${row.map(written).join()}\r\n`).join("");
}

function written(cell: Cell): string {
  if (typeof cell !== "string") return cell === null ? "" : String(cell);
  const harmless = FORMULA.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** Whether a client wants a table. @param format what it says in so many words @param accept the header */
export function wantsCsv(format: "json" | "csv" | undefined, accept = ""): boolean {
  if (format !== undefined) return format === "csv";
  return /(^|,)\s*text\/csv\b/i.test(accept) && !/(^|,)\s*application\/json\b/i.test(accept);
}
