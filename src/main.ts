/** Wires the parts together, starts them in order, and stops them in reverse. */
import { mkdirSync } from "node:fs";
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { type FastifyInstance } from "fastify";
import { Credentials } from "./auth/credentials.ts";
import { checkEnvironmentKey, ensureFirstKey } from "./auth/first-key.ts";
import { type Config } from "./config.ts";
import { AltLasError, messageOf } from "./errors.ts";
import { type Device, findDevices, wantsGpus } from "./gpu/devices.ts";
import { KnownGpus } from "./gpu/known-gpus.ts";
import { findPciGpus } from "./gpu/pci.ts";
import { GpuPool, type PoolParts } from "./gpu/pool.ts";
import { GpuMonitor } from "./gpu/telemetry/monitor.ts";
import { createServer, type ServerParts } from "./http/server.ts";
import { type Logger } from "./log.ts";
import { readMappings } from "./scheduler/mappings.ts";
import { loadOf } from "./scheduler/placement.ts";
import { type SchedulerSettings } from "./scheduler/scheduler.ts";
import { Tasks } from "./scheduler/tasks.ts";
import { SqliteStore } from "./store/sqlite.ts";
import { VERSION } from "./version.ts";

const NO_GPUS = { gpus: [], notes: [] };

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
 * @throws {AltLasError} when the configuration, the data directory or the address cannot be used; everything is released again then
 */
export async function startServer(config: Config, dataDir: string, log: Logger): Promise<RunningServer> {
  // Stops what has been started, last first: the workers, then the task book with the store, then HTTP.
  await using started = new AsyncDisposableStack();
  checkEnvironmentKey(process.env.ALT_LAS_API_KEY);
  makeDataDir(dataDir);
  const credentials = new Credentials({ config: config.auth, dataDir, log });
  const path = config.store.path ?? join(dataDir, "alt-las.db");
  const store = started.adopt(new SqliteStore({ path, log }), (opened) => opened.close());
  const monitor = started.adopt(new GpuMonitor({ interval: config.gpu.monitoring.interval_ms, log }), (running) =>
    running.stop(),
  );
  // The store first: it says when another server has this data directory, whose list of GPUs must not be touched then.
  const [stored, found] = await Promise.all([store.open(), wantsGpus(config) ? monitor.start() : NO_GPUS]);
  const known = KnownGpus.open(dataDir);
  const devices = await findDevices(config, {
    found,
    known,
    pciGpus: await findPciGpus(),
    environment: process.env,
    log,
  });
  warnOfMissing(config, devices, log);

  const { tasks, pool } = connect({ devices, config, log, monitor, known }, store);
  const app = started.adopt(serverOf({ config, credentials, log, tasks, pool }), closeServer);
  started.defer(() => tasks.close());
  started.defer(() => pool.stop());
  pool.start();
  tasks.restore(stored);
  if (stored.live.length > 0) log.info({ tasks: stored.live.length }, "took over unfinished tasks");
  await listen(app, config);
  // Last of all: a key made by a start that fails would be kept, and never shown to anybody.
  const firstKey = ensureFirstKey({ config: config.auth, dataDir, environmentKey: process.env.ALT_LAS_API_KEY });
  const url = urlOf(config, app.server.address() as AddressInfo);
  return { url, devices, firstKey, stop: stopper(config, tasks, started.move()) };
}

/** The task book and the GPUs, each knowing the other. */
function connect(parts: PoolParts, store: SqliteStore) {
  const { config, log } = parts;
  const tasks: Tasks = new Tasks({
    store,
    log,
    settings: schedulerSettings(config),
    run: (gpuId, task) => pool.run(gpuId, task),
    cancel: (gpuId, task) => pool.cancel(gpuId, task),
  });
  const pool = new GpuPool(parts, {
    changed: (facts) => tasks.scheduler.setGpu(facts),
    ended: (task, outcome) => tasks.finished(task, outcome),
    lost: (gpuId, reason) => tasks.scheduler.interrupted(gpuId, reason),
  });
  return { tasks, pool };
}

interface Parts extends Pick<ServerParts, "config" | "credentials" | "log"> {
  readonly tasks: Tasks;
  readonly pool: GpuPool;
}

function serverOf({ tasks, pool, ...rest }: Parts): FastifyInstance {
  const { scheduler } = tasks;
  return createServer({
    ...rest,
    tasks,
    gpus: () => pool.list((gpuId) => placedOn(tasks, gpuId)),
    drainGpu: (id, options) => pool.drain(id, options),
    resumeGpu: (id, by) => pool.resume(id, by),
    runningOn: (gpuId) => [...(scheduler.gpus.find(({ facts }) => facts.id === gpuId)?.running ?? [])],
    readiness: () => (tasks.canSave ? pool.readiness() : { ready: false, reason: "Tasks cannot be written to disk." }),
    draining: () => scheduler.draining,
    version: VERSION,
  });
}

async function listen(app: FastifyInstance, { server: { host, port } }: Config): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw new AltLasError("bad_config", `Cannot listen on ${host}:${port}: ${messageOf(error)}.`);
  }
}

/** Milliseconds that connections have to take their last answers. */
const LAST_ANSWERS = 1000;

/** By now every request has its answer; a connection on which none has come must not keep the server from ending. */
async function closeServer(app: FastifyInstance): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), LAST_ANSWERS);
  await app.close();
  clearTimeout(cut);
}

function stopper({ server }: Config, tasks: Tasks, started: AsyncDisposableStack): () => Promise<void> {
  const hurry = new AbortController();
  let stopping: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    await tasks.drain(server.drain_timeout, hurry.signal);
    await started.disposeAsync();
  };
  return () => {
    if (stopping !== null) hurry.abort();
    stopping ??= stop();
    return stopping;
  };
}

function makeDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new AltLasError(
      "bad_config",
      `The data directory ${JSON.stringify(dataDir)} cannot be made: ${messageOf(error)}.`,
    );
  }
}

function schedulerSettings({ gpu: { multi_gpu } }: Config): SchedulerSettings {
  return {
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
      if (devices.some((device) => device.id === id)) continue;
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
