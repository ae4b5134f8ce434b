/** The parts of one request to a server. */
import type { Patience } from "../engine.ts";
import type { Pace } from "./pace.ts";
import type { UpstreamError } from "./upstream-error.ts";

export type UpstreamHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface ExchangeParts {
  readonly isStream?: boolean;
  readonly signal: AbortSignal | undefined;
  readonly patience: Patience;
  readonly onStart: (status: number, headers: UpstreamHeaders) => void;
  readonly onChunk: (chunk: Buffer) => void;
}

/** How a failure is told, and at which pace answers are taken. */
export interface Describing {
  readonly ofConnection: (error: Error) => UpstreamError;
  readonly ofAnswer: (error: Error) => Error;
  /** Of all answers of that server. */
  readonly pace: Pace;
}
