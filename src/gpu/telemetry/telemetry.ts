import { type Usage } from "../worker.ts";

/** A device whose figures are wanted. */
export interface Watched {
  readonly uuid: string;
  /** What the device's worker says of itself; null: none runs. */
  readonly usage: Usage | null;
  /** Whether its model is loaded: from then on the worker's memory grows no more. */
  readonly loaded: boolean;
  /** Milliseconds since the last task ran there; 0 while one runs. */
  readonly idleFor: number;
}

/** How a device looks now. null: it does not tell. */
export interface Reading {
  /** Percent, 0 to 100, by everybody. */
  readonly utilization: number | null;
  /** Bytes, by everybody. */
  readonly memoryUsed: number | null;
  /** Bytes. */
  readonly memoryTotal: number | null;
  /** Bytes. */
  readonly memoryFree: number | null;
  /** Share of the memory, 0 to 1, taken by processes that are not this server's workers. */
  readonly othersMemory: number;
  /** Share of the time, 0 to 1, used by processes that are not this server's workers. */
  readonly othersUtilization: number;
}

/** Reads the figures of one vendor's devices. */
export interface Telemetry {
  /** Milliseconds between two samples. */
  readonly interval: number;
  /** Readings by uuid; a device that is missing from them has not answered. Rejects when the vendor's tool fails. */
  sample(devices: readonly Watched[]): Promise<ReadonlyMap<string, Reading>>;
}
