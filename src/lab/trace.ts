/**
 * A trace: requests in the order in which they came, without their texts. A reader turns a file of some format into chunks of
 * them, so that a trace of any length takes no more memory than one chunk.
 */
import { AltLasError } from "../errors.ts";
import type { Chain } from "../request.ts";
import type { Priority } from "../task.ts";

/** One request, as the lab replays it. */
export interface TraceRequest {
  /** Seconds since the beginning of the trace. */
  readonly at: number;
  readonly caller: string;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** The bound that the request set on its answer; null: none, or the trace does not tell. */
  readonly maxTokens: number | null;
  /** One number for each 128 tokens at the beginning of its prompt; equal numbers are equal beginnings. */
  readonly prefix: Chain;
  /** null: any. */
  readonly model: string | null;
  readonly taskType: string;
  readonly priority: Priority;
}

/** The requests of a trace, some at a time. It can be read as often as it is asked for. */
export type Trace = () => AsyncIterable<readonly TraceRequest[]>;

/** Tokens for each number of a prefix. */
export const PREFIX_TOKENS = 128;

/** Requests of a trace that does not name callers. */
export const NOBODY = "caller";

export const PLAIN_TYPE = "text_generation";

/** A trace that cannot be replayed. @param line of the file, from 1; null: the file as a whole */
export function badTrace(file: string, line: number | null, problem: string): AltLasError {
  return new AltLasError("invalid_input", `${file}${line === null ? "" : `, line ${line}`}: ${problem}`);
}
