/**
 * The way to one worker, wherever that runs: in a process of its own (fork-channel.ts), in one that it shares (shared-process.ts), or in
 * this one (local-channel.ts).
 *
 * Promises that every channel keeps (test/channels.test.ts):
 *  1. Messages arrive in the order in which they were sent. Each is a copy: the two sides share no object.
 *  2. No event is told within a call to the channel, the one that opens it included.
 *  3. `closed` is told once, also for a worker that never lived, and no event follows it. A message that is sent later is dropped.
 *  4. A worker that leaves, dies, or can no longer be heard closes the channel; what it said before arrives first.
 *  5. `kill` ends the worker whatever it is doing, a second time without effect; `closed` follows.
 */
import type { Logger } from "pino";
import type { EngineOptions } from "../../engine/engine.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

export interface Channel {
  /** Process id of the worker on this machine, which it may share; null: it has none, or could not be started. */
  readonly pid: number | null;
  /** Whether it ends a worker by itself that gives no sign of life. */
  readonly noticesSilence?: boolean;
  send(message: ToWorker): void;
  kill(): void;
}

export interface ChannelEvents {
  message(message: FromWorker): void;
  closed(end: ChannelEnd): void;
}

export interface ChannelEnd {
  /** How the worker ended, like `SIGKILL` or `exit code 1`. */
  readonly how: string;
  /** The end of what the worker wrote to its standard error; "" when it wrote nothing. */
  readonly stderr: string;
  /**
   * How many processes that the worker shared with others have died lately, this one included; absent: it was the worker that ended. Such a
   * death says nothing about the worker, its server, or its tasks.
   */
  readonly sharedDeaths?: number;
}

/** The worker that a channel is to lead to. */
export interface ChannelOptions {
  readonly gpuId: number;
  readonly engine: EngineOptions;
  /** Added to the worker's environment, such as which GPU it may see. */
  readonly environment: Readonly<Record<string, string>>;
  /** `gpu.worker_environment`: names that it inherits beside those that any worker does. */
  readonly inherit?: readonly string[] | undefined;
  /** Seconds without a sign of life after which a channel that notices silence ends the worker's process. */
  readonly silenceTimeout: number;
  /** The lines of the worker's standard error go there. */
  readonly log: Logger;
}

/** Starts a worker. @throws {Error} when the system does not let it start */
export type OpenChannel = (options: ChannelOptions, events: ChannelEvents) => Channel;
