/** A process that does the work of one worker or of several, seen from the server. */
import type { ChildProcess, Serializable } from "node:child_process";
import { messageOf } from "../../errors.ts";
import type { ChannelEnd, ChannelOptions } from "./channel.ts";
import { type ChildOptions, startChild } from "./child-environment.ts";

/** Characters of standard error that are kept. */
const KEPT_STDERR = 2000;

export interface WorkerProcessOptions
  extends Pick<ChannelOptions, "log" | "environment" | "inherit">, Pick<ChildOptions, "defaults" | "flags"> {
  /** The module that runs there: its URL. */
  readonly module: URL;
}

export interface WorkerProcessEvents<Said> {
  message(message: Said): void;
  /** Told once, after all that it said, also for one that never lived. */
  closed(end: Pick<ChannelEnd, "how" | "stderr">): void;
}

export class WorkerProcess<Told extends Serializable, Said> {
  readonly #child: ChildProcess;

  /** Starts it. @throws {Error} when the system does not let it start */
  constructor({ module, log, ...options }: WorkerProcessOptions, events: WorkerProcessEvents<Said>) {
    const child = startChild(module, { ...options, stdio: ["ignore", "ignore", "pipe", "ipc"] });
    this.#child = child;
    let stderr = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr = (stderr + text).slice(-KEPT_STDERR);
      log.debug({ line: text.trimEnd() }, "worker says");
    });
    child.on("message", (message) => events.message(message as Said));
    child.on("error", (error) => log.warn({ reason: messageOf(error) }, "worker process error"));
    // A process that has hung up can do no more work for us, whatever it is still doing.
    child.on("disconnect", () => child.kill("SIGKILL"));
    // A process that it started may hold its standard error open, which would keep its death from being noticed.
    child.once("exit", () => setImmediate(() => child.stderr?.destroy()));
    child.once("close", (code, signal) => events.closed({ how: signal ?? `exit code ${code}`, stderr }));
  }

  /** null: it could not be started. */
  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  send(message: Told): void {
    // A pipe that breaks under the message is a death, which `closed` tells.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
