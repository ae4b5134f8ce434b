/** The formats of traces, told by their first line. */
import type { TraceRequest } from "../trace.ts";

/** A file of lines with cells, below a line that names them. */
export interface Format {
  readonly name: string;
  /** All that it may have. */
  readonly columns: readonly string[];
  /** Those without which nothing can be replayed. */
  readonly needed: readonly string[];
  /** @param cell by the name of its column; undefined: there is no such column @throws {BadValue} */
  readonly read: (cell: (column: string) => string | undefined) => TraceRequest;
}
