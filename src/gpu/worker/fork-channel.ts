/** A worker in a process of its own: a crash, a hang or a driver that kills it takes nothing else with it. */
import { type ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import { startedModule } from "../../common/started-module.ts";
import { type EngineOptions } from "../../engine/engine.ts";
import { engineTraits } from "../../engine/kinds.ts";
import { messageOf } from "../../errors.ts";
import { type Channel, type ChannelEvents, type ChannelOptions } from "./channel.ts";
import { startChild } from "./child-environment.ts";
import { type FromWorker, type ToWorker } from "./messages.ts";

const CHILD = startedModule("./child", import.meta.url);

/** Characters of standard error that are kept. */
const KEPT_STDERR = 2000;

/** When llama.cpp gives up it would start a debugger on its own process, and print pages. */
const ONE_LINE_CRASHES = { GGML_NO_BACKTRACE: "1" };

/** Starts a worker as a child process. @throws {Error} when the system does not let it start */
export function forkChannel({ engine, environment, inherit, log }: ChannelOptions, events: ChannelEvents): Channel {
  const child = startChild(CHILD, {
    inherit,
    environment,
    defaults: { ...threadPoolFor(engine), ...ONE_LINE_CRASHES },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-KEPT_STDERR);
    log.debug({ line: text.trimEnd() }, "worker says");
  });
  child.on("message", (message) => events.message(message as FromWorker));
  child.on("error", (error) => log.warn({ reason: messageOf(error) }, "worker process error"));
  // A process that has hung up can do no more work for us, whatever it is still doing.
  child.on("disconnect", () => child.kill("SIGKILL"));
  // A process that it started may hold its standard error open, which would keep its death from being noticed.
  child.once("exit", () => setImmediate(() => child.stderr?.destroy()));
  child.once("close", (code, signal) => events.closed({ how: signal ?? `exit code ${code}`, stderr }));
  return new ForkChannel(child);
}

class ForkChannel implements Channel {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  send(message: ToWorker): void {
    // A pipe that breaks under the message is a death, which `closed` tells.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** Threads of Node's pool where nothing else is said. */
const POOL = 4;

/**
 * Environment variables for a process that runs such an engine. llama.cpp's steps, and the sampling after each, run on threads of Node's
 * pool. With several threads each step runs on another one, which has to be woken up and finds its caches cold; on a CPU that costs more
 * than sampling for several tasks at once gains. Beside a GPU the cores are free, and a step waits until all its slots have been sampled for.
 * @param cores of the machine; for tests
 */
export function threadPoolFor(
  { kind, backend, slots }: Pick<EngineOptions, "kind" | "backend" | "slots">,
  cores = availableParallelism(),
): Readonly<Record<string, string>> {
  if (engineTraits(kind).library === null) return {};
  const threads = backend === false ? 1 : Math.max(POOL, Math.min(slots, cores));
  return { UV_THREADPOOL_SIZE: String(threads) };
}
