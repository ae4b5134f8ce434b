/**
 * A command that runs for as long as it is wanted and writes lines; started again when it ends. Where this process is
 * killed and cannot close it, it ends at the next line that it writes, because nobody reads it any more.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

/** Milliseconds between its end and its next start, so that one that cannot run does not keep a core busy. */
const PAUSE = 1000;

export interface CommandListener {
  /** A line that it wrote, to standard output or to standard error. */
  line(text: string): void;
  /** It ended by itself, or could not be started. All that it wrote has been heard. */
  ended(how: string): void;
}

export class CommandStream {
  readonly #command: string;
  readonly #args: readonly string[];
  readonly #listener: CommandListener;
  #process: ChildProcess | null = null;
  #restart: NodeJS.Timeout | null = null;
  #closed = false;
  #startedAt = 0;

  constructor(command: string, args: readonly string[], listener: CommandListener) {
    this.#command = command;
    this.#args = args;
    this.#listener = listener;
    this.#start();
  }

  /** Milliseconds since it was started; null: it does not run. */
  get runningFor(): number | null {
    return this.#process === null ? null : performance.now() - this.#startedAt;
  }

  /** For one that hangs: it is ended, and started again. */
  kill(): void {
    this.#process?.kill("SIGKILL");
  }

  /** Resolves when it has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#restart !== null) clearTimeout(this.#restart);
    const process = this.#process;
    if (process === null) return;
    const ended = once(process, "close");
    process.kill("SIGKILL");
    await ended;
  }

  #start(): void {
    const started = spawn(this.#command, this.#args, { stdio: ["ignore", "pipe", "pipe"], windowsHide: true });
    this.#process = started;
    this.#startedAt = performance.now();
    let how = "";
    started.on("error", (error) => (how = error.message));
    started.on("exit", (code, signal) => (how = signal === null ? `exit code ${code}` : signal));
    this.#listen(started.stdout);
    this.#listen(started.stderr);
    // Comes after "exit" and "error", when both outputs are at their end.
    started.on("close", () => this.#ended(how));
  }

  #listen(output: Readable): void {
    createInterface({ input: output }).on("line", (text) => {
      if (!this.#closed) this.#listener.line(text);
    });
  }

  #ended(how: string): void {
    this.#process = null;
    if (this.#closed) return;
    this.#restart = setTimeout(() => this.#start(), PAUSE);
    this.#listener.ended(how);
  }
}
