/** A worker in a process of its own: a crash, a hang or a driver that kills it takes nothing else with it. */
import { availableParallelism } from "node:os";
import { startedModule } from "../../common/started-module.ts";
import type { EngineOptions } from "../../engine/engine.ts";
import { engineTraits } from "../../engine/kinds.ts";
import type { Channel, ChannelEvents, ChannelOptions } from "./channel.ts";
import type { FromWorker, ToWorker } from "./messages.ts";
import { WorkerProcess } from "./worker-process.ts";

const CHILD = startedModule("./child", import.meta.url);

/** When llama.cpp gives up it would start a debugger on its own process, and print pages. */
const ONE_LINE_CRASHES = { GGML_NO_BACKTRACE: "1" };

/** Starts a worker as a child process. @throws {Error} when the system does not let it start */
export function forkChannel({ engine, environment, inherit, log }: ChannelOptions, events: ChannelEvents): Channel {
  const defaults = { ...threadPoolFor(engine), ...ONE_LINE_CRASHES };
  return new WorkerProcess<ToWorker, FromWorker>({ module: CHILD, inherit, environment, defaults, log }, events);
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
