/** `alt-las top`: one picture in a pipe, a living one on a terminal. */
import { setTimeout } from "node:timers/promises";
import { AltLasError } from "../../errors.ts";
import type { Remote } from "./client.ts";
import { jsonText } from "../../common/legible.ts";
import { picture } from "./picture.ts";
import { type Life, type MaybeKeyboard, Screen } from "./screen.ts";
import { look, type Sight } from "./sight.ts";
import { type MaybeTerminal, terminalOf } from "./terminal.ts";

export interface TopOptions {
  readonly remote: Remote;
  /** Print what is known once, as JSON. */
  readonly json: boolean;
  /** Seconds between two pictures. */
  readonly interval: number;
  readonly stdin: () => MaybeKeyboard;
  readonly stdout: MaybeTerminal;
  readonly life?: Life;
}

/** Resolves when somebody has left it. @throws {AltLasError} as `ask`, when there was no answer at all */
export async function top(options: TopOptions): Promise<void> {
  const { remote, json, stdout } = options;
  const seen = await look(remote);
  const terminal = terminalOf(stdout);
  if (json) return terminal.write(`${jsonText(seen, 2)}\n`);
  const { columns, colour } = terminal;
  if (columns === null)
    return terminal.write(`${picture(seen, { columns, colour, rows: Infinity, url: remote.url }).join("\n")}\n`);
  await watch(options, seen);
}

async function watch({ remote, interval, stdin, stdout, life }: TopOptions, first: Sight): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  const terminal = terminalOf(stdout);
  let seen = first;
  let trouble: string | null = null;
  const draw = (): void => {
    const { columns, rows, colour } = terminal;
    screen.draw(picture(seen, { columns, rows, colour, url: remote.url, trouble }));
  };
  const onQuit = (): void => over.abort();
  const screen = new Screen({ stdin: stdin(), stdout, onQuit, onRedraw: draw, ...(life && { life }) });
  screen.open();
  try {
    while (await hasPassed(interval, signal)) {
      try {
        seen = await look(remote, signal);
        trouble = null;
      } catch (error) {
        if (signal.aborted) break;
        // It may be restarted: the last picture stays, with what is wrong.
        if (!(error instanceof AltLasError)) throw error;
        trouble = error.message;
      }
      draw();
    }
  } finally {
    screen.close();
  }
}

/** Waits. @returns false: `signal` was aborted before */
async function hasPassed(seconds: number, signal: AbortSignal): Promise<boolean> {
  return setTimeout(seconds * 1000, true, { signal }).catch(() => false);
}
