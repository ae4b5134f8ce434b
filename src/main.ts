/** Wires the parts together, starts them in order, and stops them in reverse. */
import { mkdirSync } from "node:fs";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { Credentials } from "./auth/credentials.ts";
import { ensureFirstKey, type FirstKeyOptions } from "./auth/first-key.ts";
import { type Config } from "./config.ts";
import { AltLasError, messageOf } from "./errors.ts";
import { type Device, findDevices } from "./gpu/devices.ts";
import { GpuPool } from "./gpu/pool.ts";
import { createServer } from "./http/server.ts";
import { type Logger } from "./log.ts";
import { readMappings } from "./scheduler/mappings.ts";
import { loadOf } from "./scheduler/placement.ts";
import { type SchedulerSettings } from "./scheduler/scheduler.ts";
import { Tasks } from "./scheduler/tasks.ts";
import { SqliteStore } from "./store/sqlite.ts";
import { VERSION } from "./version.ts";

/** Attempts that may end in a worker's death before a task fails. */
const MAX_CRASHES = 3;

/** A server that answers. */
export interface RunningServer {
  /** Like `http://127.0.0.1:8642`. */
  readonly url: string;
  readonly devices: readonly Device[];
  /** The admin's key, when this start made it; it is shown nowhere else. */
  readonly firstKey: string | null;
  /**
   * Takes no new tasks, waits for the running ones for `server.drain_timeout`, writes everything, and resolves when all is released.
   * Calling it again hurries: it waits no longer.
   */
  stop(): Promise<void>;
}

/**
 * Starts a server; resolves when it answers, while models may still be loading.
 * @throws {AltLasError} when the configuration, the data directory or the address cannot be used
 */
export async function startServer(config: Config, dataDir: string, log: Logger): Promise<RunningServer> {
  makeDataDir(dataDir);
  const keyOptions = { config: config.auth, dataDir, environmentKey: process.env.ALT_LAS_API_KEY };
  // A bad value stops the start before anything else has begun.
  if (keyOptions.environmentKey) ensureFirstKey(keyOptions);
  const credentials = new Credentials({ config: config.auth, dataDir, log });
  const store = new SqliteStore({ path: config.store.path ?? join(dataDir, "alt-las.db"), log });
  try {
    const server = await listen({ config, credentials, store, log });
    // A new key is made last of all: that of a start that failed would be kept, and never shown to anybody.
    return { ...server, firstKey: await firstKey(keyOptions, server) };
  } catch (error) {
    // An open store would keep the process alive.
    await store.close();
    throw error;
  }
}

interface Parts {
  readonly config: Config;
  readonly credentials: Credentials;
  readonly store: SqliteStore;
  readonly log: Logger;
}

/** Starts everything over a store that is not open yet, which is left to the caller when this fails. */
async function listen({ config, credentials, store, log }: Parts): Promise<Omit<RunningServer, "firstKey">> {
  const [devices, stored] = await Promise.all([findDevices(config), store.open()]);
  warnOfMissing(config, devices, log);

  const tasks: Tasks = new Tasks({
    store,
    log,
    settings: schedulerSettings(config),
    run: (gpuId, task) => pool.run(gpuId, task),
    cancel: (gpuId, task) => pool.cancel(gpuId, task),
  });
  const pool = new GpuPool(devices, config, log, {
    changed: (facts) => tasks.scheduler.setGpu(facts),
    ended: (task, outcome) => tasks.finished(task, outcome),
    lost: (gpuId) => tasks.scheduler.interrupted(gpuId, "worker_crash"),
  });
  const app = await createServer({
    config,
    tasks,
    gpus: () => pool.list((gpuId) => placedOn(tasks, gpuId)),
    readiness: () =>
      tasks.scheduler.draining ? { ready: false, reason: "The server is stopping." } : pool.readiness(),
    draining: () => tasks.scheduler.draining,
    credentials,
    log,
    version: VERSION,
  });

  const hurry = new AbortController();
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    if (stopping !== null) hurry.abort();
    stopping ??= stopAll();
    return stopping;
  };
  const stopAll = async (): Promise<void> => {
    await tasks.drain(config.server.drain_timeout, hurry.signal);
    await pool.stop();
    await tasks.close();
    await app.close();
  };

  pool.start();
  tasks.restore(stored);
  if (stored.live.length > 0) log.info({ tasks: stored.live.length }, "took over unfinished tasks");
  try {
    await app.listen({ host: config.server.host, port: config.server.port });
  } catch (error) {
    await stop();
    throw new AltLasError(
      "bad_config",
      `Cannot listen on ${config.server.host}:${config.server.port}: ${messageOf(error)}.`,
    );
  }
  return { url: urlOf(config, app.server.address() as AddressInfo), devices, stop };
}

async function firstKey(options: FirstKeyOptions, { stop }: Pick<RunningServer, "stop">): Promise<string | null> {
  try {
    return ensureFirstKey(options);
  } catch (error) {
    await stop();
    throw error;
  }
}

function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new AltLasError("bad_config", `The data directory ${dataDir} cannot be made: ${messageOf(error)}.`);
  }
}

function schedulerSettings({ gpu: { multi_gpu } }: Config): SchedulerSettings {
  return {
    thresholds: { memory: multi_gpu.memory_threshold, utilization: multi_gpu.utilization_threshold },
    maxQueueSize: multi_gpu.max_queue_size,
    maxQueueBytes: multi_gpu.max_queue_bytes,
    minBatchSizePerGpu: multi_gpu.min_batch_size_per_gpu,
    mappings: readMappings(multi_gpu.task_specific_mappings),
    maxCrashes: MAX_CRASHES,
  };
}

/** A mapping may name a GPU that is not there, so that losing a card does not stop a start. */
function warnOfMissing(config: Config, devices: readonly Device[], log: Logger): void {
  for (const [taskType, ids] of readMappings(config.gpu.multi_gpu.task_specific_mappings)) {
    for (const id of ids) {
      if (id < devices.length) continue;
      log.warn(
        `gpu.multi_gpu.task_specific_mappings.${taskType} names gpu_${id}, which is not there; there are ${devices.length} GPUs.`,
      );
    }
  }
}

function placedOn(tasks: Tasks, gpuId: number): { taskCount: number; load: number } {
  const gpu = tasks.scheduler.gpus.find(({ facts }) => facts.id === gpuId);
  return gpu === undefined ? { taskCount: 0, load: 0 } : { taskCount: gpu.running.size, load: loadOf(gpu) };
}

function urlOf({ server }: Config, { address, family, port }: AddressInfo): string {
  const everywhere = address === "0.0.0.0" || address === "::";
  const host = everywhere ? "127.0.0.1" : family === "IPv6" ? `[${address}]` : address;
  return `${server.tls.cert === undefined ? "http" : "https"}://${host}:${port}`;
}
