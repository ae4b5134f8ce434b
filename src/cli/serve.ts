/** `alt-las serve`: starts the server, says how to use it, and stops it on a signal. */
import { greeting, type Origin } from "./greeting.ts";
import { keepFirstKey } from "../auth/first-key.ts";
import type { Config } from "../config/config.ts";
import { keepNewObjectsYoung, releaseStartMemory } from "../common/start-memory.ts";
import { messageOf } from "../errors.ts";
import { SYSTEM } from "../common/system.ts";
import type { Logger } from "../log/log.ts";
import { stopSignals } from "./stop-signals.ts";
import { StoreTaken } from "../store/store.ts";
import { type RunningServer, startServer } from "../main.ts";

/**
 * npm and a terminal each deliver the same signal, so one that follows sooner than this many milliseconds is the same one again;
 * a later one means "at once".
 */
const SAME_SIGNAL = 1000;

/**
 * Runs a server until a signal stops it; the process ends with exit code 0 then, or 1 when the store was lost meanwhile. One
 * whose tasks another server has taken ends by itself.
 * @param read reads the configuration again
 */
export async function serve(origin: Origin, log: Logger, read: () => Config): Promise<void> {
  // All of this before the start, because signals may come while it lasts: their defaults would end the process.
  let reload = (): void => log.info("SIGHUP changes nothing during the start");
  const signals = new StopSignals(log);
  // A terminal has them on the first screen.
  if (!process.stderr.isTTY) for (const note of origin.dataNotes ?? []) log.info(note);
  if (!SYSTEM.endsWithTerminal) process.on("SIGHUP", () => reload());
  const server = await start(origin, log, read);
  reload = () => reloadOnSignal(server, log);
  const { firstKey } = server;
  // A key that is printed elsewhere than on a terminal stays in a log for good.
  const keyFile = firstKey === null || process.stdout.isTTY ? null : keepFirstKey(origin.dataDir, firstKey);
  console.log(greeting({ ...origin, keyFile }, server));
  keepNewObjectsYoung();
  releaseStartMemory();
  signals.stopWith(() => void end(server, log));
  server.lost.addEventListener("abort", () => endIfTaken(server, log));
  endIfTaken(server, log);
}

/** A server that may have others beside it leads or stands by. */
async function start({ config, dataDir }: Origin, log: Logger, read: () => Config): Promise<RunningServer> {
  const isOfSeveral = config.cluster.nats !== undefined && config.store.url !== undefined;
  if (!isOfSeveral) return startServer(config, dataDir, log, undefined, read);
  const { startMember } = await import("../member.ts");
  return startMember({ config, dataDir, log, read });
}

/**
 * The first signal stops the server, a second one at once. A start is not cut off by the first: it may have made a key by then, which is
 * shown at its end and never again.
 */
class StopSignals {
  readonly #log: Logger;
  /** When the last one came, in milliseconds; 0: none did. */
  #last = 0;
  /** null: the server is starting. */
  #stop: (() => void) | null = null;

  constructor(log: Logger) {
    this.#log = log;
    for (const signal of stopSignals()) process.on(signal, () => this.#on(signal));
  }

  /** The server has started. @param stop called for each signal, also for one that came before */
  stopWith(stop: () => void): void {
    this.#stop = stop;
    if (this.#last !== 0) stop();
  }

  #on(signal: NodeJS.Signals): void {
    const now = performance.now();
    const isFirst = this.#last === 0;
    if (!isFirst && now - this.#last < SAME_SIGNAL) return;
    this.#last = now;
    if (this.#stop === null) {
      const sentence = "stopping as soon as the start has come to its end, a second signal ends it at once";
      this.#log.info({ signal }, isFirst ? sentence : "ending in the middle of the start");
      if (!isFirst) process.exit(1);
      return;
    }
    const sentence = "stopping: running tasks may finish, a second signal stops at once";
    this.#log.info({ signal }, isFirst ? sentence : "stopping at once");
    this.#stop();
  }
}

/** A terminal that closes sends SIGHUP too, so it must not stop the server whatever the configuration says by then. */
function reloadOnSignal(server: RunningServer, log: Logger): void {
  try {
    server.reload();
  } catch (error) {
    log.error(`SIGHUP: the configuration is not taken over, and nothing has changed. ${messageOf(error)}`);
  }
}

/** Another server goes on with the tasks: this one has nothing left to do, nor would anybody have to look at it. */
function endIfTaken(server: RunningServer, log: Logger): void {
  if (server.lost.reason instanceof StoreTaken) void end(server, log);
}

async function end(server: RunningServer, log: Logger): Promise<never> {
  try {
    await server.stop();
    log.info("stopped");
    process.exit(server.lost.aborted ? 1 : 0);
  } catch (error) {
    log.fatal({ err: error }, "the stop failed");
    process.exit(1);
  }
}
