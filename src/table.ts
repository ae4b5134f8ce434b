/** Columns for a terminal: each as wide as its widest cell. A row that is one string stands there as it is, over all columns. */
export function table(head: readonly string[], rows: readonly (readonly string[] | string)[]): string {
  const cells = [head, ...rows.filter((row) => typeof row !== "string")];
  const widths = head.map((_title, i) => Math.max(...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join("  ")
      .trimEnd();
  return [head, ...rows].map((row) => (typeof row === "string" ? row : line(row))).join("\n");
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

/** Breaks a text between words into lines of at most `width` characters, the indentation of each included. */
export function wrap(text: string, width: number, indentation = ""): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = lines.length === 0 ? undefined : `${lines.at(-1)} ${word}`;
    if (longer !== undefined && longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(indentation + word);
  }
  return lines.join("\n");
}
