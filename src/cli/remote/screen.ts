/**
 * A picture that is drawn again in its place, on the terminal's alternate screen, so that what stood there before comes back at the end:
 * also after a crash, a signal, or while the command is stopped.
 */
import type { Readable } from "node:stream";
import { SYSTEM, type System } from "../../common/system.ts";
import type { MaybeTerminal } from "./terminal.ts";

/** Sequences of ECMA-48 and xterm (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html). */
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const END_OF_LINE = "\u001b[K";
const END_OF_SCREEN = "\u001b[J";

const CTRL_C = "\u0003";
const CTRL_Z = "\u001a";

export type MaybeKeyboard = Readable & { readonly isTTY?: boolean; setRawMode?(isRaw: boolean): unknown };

/** The parts of the process that a screen deals with. */
export type Life = Pick<NodeJS.Process, "on" | "off" | "kill" | "pid">;

export interface ScreenOptions {
  readonly stdin: MaybeKeyboard;
  readonly stdout: MaybeTerminal;
  /** Somebody wants to leave: q, Ctrl+C, a signal. */
  readonly onQuit: () => void;
  /** The picture is gone or has another size. */
  readonly onRedraw: () => void;
  readonly life?: Life;
  readonly system?: System;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class Screen {
  readonly #options: ScreenOptions;
  readonly #life: Life;
  #isShown = false;

  constructor(options: ScreenOptions) {
    this.#options = options;
    this.#life = options.life ?? process;
  }

  open(): void {
    const { stdin, stdout, onQuit, onRedraw } = this.#options;
    for (const signal of SIGNALS) this.#life.on(signal, onQuit);
    // Before the stack of a crash is printed, which would go away with the alternate screen.
    this.#life.on("uncaughtExceptionMonitor", this.#leave);
    this.#life.on("exit", this.#leave);
    this.#life.on("SIGCONT", this.#enter);
    stdout.on("resize", onRedraw);
    stdin.on("data", this.#onKey);
    this.#enter();
  }

  draw(lines: readonly string[]): void {
    if (!this.#isShown) return;
    this.#options.stdout.write(HOME + lines.map((line) => line + END_OF_LINE).join("\r\n") + END_OF_SCREEN);
  }

  close(): void {
    const { stdin, stdout, onQuit, onRedraw } = this.#options;
    this.#leave();
    for (const signal of SIGNALS) this.#life.off(signal, onQuit);
    this.#life.off("uncaughtExceptionMonitor", this.#leave);
    this.#life.off("exit", this.#leave);
    this.#life.off("SIGCONT", this.#enter);
    stdout.off("resize", onRedraw);
    stdin.off("data", this.#onKey);
    // Else it would keep the process.
    stdin.pause();
  }

  readonly #enter = (): void => {
    if (this.#isShown) return;
    this.#isShown = true;
    const { stdin, stdout, onRedraw } = this.#options;
    if (stdin.isTTY === true) stdin.setRawMode?.(true);
    stdout.write(ENTER);
    onRedraw();
  };

  readonly #leave = (): void => {
    if (!this.#isShown) return;
    this.#isShown = false;
    const { stdin, stdout } = this.#options;
    if (stdin.isTTY === true) stdin.setRawMode?.(false);
    stdout.write(LEAVE);
  };

  readonly #onKey = (typed: Buffer | string): void => {
    const keys = typed.toString();
    if (/^[qQ]/.test(keys) || keys.includes(CTRL_C)) return this.#options.onQuit();
    const { system = SYSTEM } = this.#options;
    if (!keys.includes(CTRL_Z) || !system.stopsProcesses) return;
    // In raw mode the terminal sends no signal for it. SIGCONT brings the picture back.
    this.#leave();
    this.#life.kill(this.#life.pid, "SIGSTOP");
  };
}
