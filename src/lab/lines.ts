/** The lines of a text, chunk by chunk, whatever its length. */
import { AltLasError } from "../errors.ts";

/** The most characters of a line: a file that is no text would else be read as one. */
const LONGEST = 1024 * 1024;

/** Where a trace is read from: as often as somebody asks, each time from its beginning. */
export interface Source {
  /** As sentences call it. */
  readonly name: string;
  readonly chunks: () => AsyncIterable<string> | Iterable<string>;
}

/** @throws {AltLasError} `invalid_input`: it cannot be read */
export async function* linesOf({ name, chunks }: Source): AsyncGenerator<readonly string[]> {
  let rest = "";
  try {
    for await (const chunk of chunks()) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      if (rest.length > LONGEST) throw new AltLasError("invalid_input", `${name} is no trace: it has no lines.`);
      yield lines.map(withoutReturn);
    }
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    const { code = String(error) } = error as NodeJS.ErrnoException;
    throw new AltLasError("invalid_input", `${name} cannot be read (${code}).`, { cause: error });
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
