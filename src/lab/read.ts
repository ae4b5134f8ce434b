/** Reads a trace: finds out its format, checks each line, and counts time from its first request. */
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { azure } from "./formats/azure.ts";
import { burstGpt } from "./formats/burstgpt.ts";
import { BadValue } from "./formats/columns.ts";
import type { Format } from "./formats/formats.ts";
import { readMooncake } from "./formats/mooncake.ts";
import { own } from "./formats/own.ts";
import { cellsOf, linesOf, type Source } from "./lines.ts";
import { badTrace, type Trace, type TraceRequest } from "./trace.ts";

const TABLES: readonly Format[] = [own, azure, burstGpt];

/** Makes a request of one line. @throws {BadValue} */
type Reader = (line: string) => TraceRequest;

/** @throws {AltLasError} `invalid_input`, with the line, while it is read */
export function traceOf(file: string): Trace {
  return () =>
    read({ name: file, chunks: () => createReadStream(file, { encoding: "utf8", highWaterMark: 256 * 1024 }) });
}

/** Keeps all of it in memory: it can be read once, and each strategy reads the trace. */
export async function traceOfStream(stream: Readable): Promise<Trace> {
  const decoder = new TextDecoder();
  const chunks: string[] = [];
  for await (const chunk of stream)
    chunks.push(decoder.decode(Buffer.from(chunk as Buffer | string), { stream: true }));
  return () => read({ name: "standard input", chunks: () => chunks });
}

async function* read(source: Source): AsyncGenerator<readonly TraceRequest[]> {
  const file = source.name;
  let line = 0;
  let reader: Reader | undefined;
  let first: number | undefined;
  let last = { at: -Infinity, line: 0 };
  for await (const lines of linesOf(source)) {
    const requests: TraceRequest[] = [];
    for (const text of lines) {
      line++;
      if (text.trim() === "") continue;
      if (reader === undefined) {
        const { isHead, ...found } = readerOf(file, text, line);
        reader = found.reader;
        if (isHead) continue;
      }
      const request = requestOf(reader, file, line, text);
      if (request.at < last.at) {
        const before = `line ${last.line} is ${last.at}`;
        throw badTrace(file, line, `times must not go back; this one is ${request.at}, that of ${before}.`);
      }
      last = { at: request.at, line };
      first ??= request.at;
      requests.push(first === 0 ? request : { ...request, at: request.at - first });
    }
    if (requests.length > 0) yield requests;
  }
  if (first === undefined) throw badTrace(file, null, "it has no requests.");
}

function requestOf(reader: Reader, file: string, line: number, text: string): TraceRequest {
  try {
    return reader(text);
  } catch (error) {
    if (error instanceof BadValue) throw badTrace(file, line, error.message);
    throw error;
  }
}

/** @param text the first line that is not empty */
function readerOf(file: string, text: string, line: number): { reader: Reader; isHead: boolean } {
  const clean = text.replace(/^\uFEFF/, "");
  if (clean.startsWith("{")) return { reader: readMooncake, isHead: false };
  const head = (cellsOf(clean) ?? []).map((cell) => cell.trim());
  const format = TABLES.find(({ needed }) => needed.every((column) => head.includes(column)));
  if (format === undefined) {
    const known = TABLES.map(({ name, needed }) => `${name} (${needed.join(", ")})`).join("; ");
    throw badTrace(file, line, `its columns are of no known format. Known are ${known}; and Mooncake, lines of JSON.`);
  }
  const unknown = head.find((column) => !format.columns.includes(column));
  if (unknown !== undefined) {
    const known = `a trace of ${format.name} may have ${format.columns.join(", ")}`;
    throw badTrace(file, line, `the column ${JSON.stringify(unknown)} is unknown; ${known}.`);
  }
  return { reader: tableReader(format, head), isHead: true };
}

function tableReader(format: Format, head: readonly string[]): Reader {
  const places = new Map(head.map((column, place) => [column, place]));
  let cells: readonly string[] = [];
  const cell = (column: string): string | undefined => {
    const place = places.get(column);
    return place === undefined ? undefined : cells[place];
  };
  return (text) => {
    const found = cellsOf(text);
    if (found === null) throw new BadValue("a quotation mark is not closed.");
    if (found.length !== head.length)
      throw new BadValue(`it must have ${head.length} cells, as the first line has; it has ${found.length}.`);
    cells = found;
    return format.read(cell);
  };
}
