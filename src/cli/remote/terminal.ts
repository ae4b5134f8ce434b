/** Where a command writes. */
import type { Writable } from "node:stream";
import { styleText } from "node:util";
import type { TaskStatus } from "../../task.ts";
import type { Columns } from "../table.ts";

export interface Terminal {
  write(text: string): void;
  /** null: it is no terminal. */
  readonly columns: Columns;
  /** Lines that fit on it. */
  readonly rows: number;
  readonly colour: boolean;
}

/** A stream, with the properties that it may have if it is a terminal. */
export type MaybeTerminal = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

/** @param environment `NO_COLOR` counts when it is set to anything but nothing: https://no-color.org */
export function terminalOf(stream: MaybeTerminal, environment: NodeJS.ProcessEnv = process.env): Terminal {
  const isTerminal = stream.isTTY === true;
  // One that nobody reads any more must not end a command with a stack.
  if (stream.listenerCount("error") === 0) stream.on("error", () => {});
  return {
    write: (text) => void stream.write(text),
    // Some terminals say 0 when they don't know. They may be made wider or narrower at any time.
    get columns() {
      return isTerminal ? stream.columns || 80 : null;
    },
    get rows() {
      return stream.rows || 24;
    },
    colour: isTerminal && !environment["NO_COLOR"],
  };
}

export type Colour = Parameters<typeof styleText>[0];

export function painted(colour: Colour | undefined, text: string, isColoured: boolean): string {
  // Whether there are colours at all was decided by whoever asks.
  return isColoured && colour !== undefined ? styleText(colour, text, { validateStream: false }) : text;
}

const STATUS_COLOURS: Partial<Record<TaskStatus, Colour>> = {
  queued: "yellow",
  running: "cyan",
  completed: "green",
  failed: "red",
};

export function paintedStatus(status: TaskStatus, isColoured: boolean): string {
  return painted(STATUS_COLOURS[status], status, isColoured);
}
