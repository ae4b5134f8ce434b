/** The lines of a file, chunk by chunk, whatever its length. */
import { createReadStream } from "node:fs";
import { AltLasError } from "../errors.ts";

/** The most characters of a line: a file that is no text would else be read as one. */
const LONGEST = 1024 * 1024;

/** @throws {AltLasError} `invalid_input`: it cannot be read */
export async function* linesOf(file: string): AsyncGenerator<readonly string[]> {
  let rest = "";
  try {
    for await (const chunk of createReadStream(file, { encoding: "utf8", highWaterMark: 256 * 1024 })) {
      const lines = (rest + (chunk as string)).split("\n");
      rest = lines.pop()!;
      if (rest.length > LONGEST) throw new AltLasError("invalid_input", `${file} is no trace: it has no lines.`);
      yield lines.map(withoutReturn);
    }
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    const { code = String(error) } = error as NodeJS.ErrnoException;
    throw new AltLasError("invalid_input", `${file} cannot be read (${code}).`, { cause: error });
  }
  if (rest !== "") yield [withoutReturn(rest)];
}

function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}

/** The cells of a line of CSV (RFC 4180), without line ends in cells; null: a quotation mark is not closed. */
export function cellsOf(line: string): string[] | null {
  if (!line.includes('"')) return line.split(",");
  const cells: string[] = [];
  const CELL = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (let at = 0; ;) {
    CELL.lastIndex = at;
    const found = CELL.exec(line);
    if (found === null) return null;
    cells.push(found[1]?.replaceAll('""', '"') ?? found[2]!);
    if (found[3] === "") return cells;
    at = CELL.lastIndex;
  }
}

/** A cell as it stands in a line of CSV. */
export function cellOf(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
