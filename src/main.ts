/** Wires the parts together, starts them in order, and stops them in reverse. */
import { type AddressInfo } from "node:net";
import { join } from "node:path";
import { type FastifyInstance } from "fastify";
import { announcer } from "./webhooks/announcements.ts";
import { Credentials } from "./auth/credentials.ts";
import { absentCredentials } from "./auth/file.ts";
import { checkEnvironmentKey, ensureFirstKey } from "./auth/first-key.ts";
import { type Clock } from "./common/clock.ts";
import { BACKUP_ROUTE, beginBackup, removeLeftovers } from "./backup/backup.ts";
import { type Config } from "./config/config.ts";
import { type ControlRoutes, ControlServer } from "./control/server.ts";
import { makeDataDir } from "./common/data-folder.ts";
import { messageOf } from "./errors.ts";
import { type Device, findDevices, wantsGpus } from "./gpu/inventory/devices.ts";
import { KnownGpus } from "./gpu/inventory/known-gpus.ts";
import { findPciGpus } from "./gpu/inventory/pci.ts";
import { GpuPool, type PoolParts } from "./gpu/pool.ts";
import { type Readiness } from "./gpu/status.ts";
import { GpuMonitor } from "./gpu/telemetry/monitor.ts";
import { type OpenChannel } from "./gpu/worker/channel.ts";
import { forkChannel } from "./gpu/worker/fork-channel.ts";
import { listen } from "./http/listen.ts";
import { createServer, type ServerParts } from "./http/server.ts";
import { type Logger } from "./log/log.ts";
import { loadOf } from "./scheduler/placement.ts";
import { KEYS_LIVE } from "./tasks/idempotency.ts";
import { schedulerSettings, warnOfMissing } from "./tasks/scheduler-settings.ts";
import { TaskBook } from "./tasks/task-book.ts";
import { Retention, type RetentionOptions } from "./store/retention.ts";
import { SqliteStore } from "./store/sqlite/sqlite.ts";
import { Timekeeper } from "./store/timekeeper.ts";
import { VERSION } from "./common/version.ts";
import { Webhooks } from "./webhooks/webhooks.ts";

const NO_GPUS = { gpus: [], notes: [] };

/** A server that answers. */
export interface RunningServer {
  /** Like `http://127.0.0.1:8642`. */
  readonly url: string;
  readonly devices: readonly Device[];
  /** The admin's key, when this start made it; it is shown nowhere else. */
  readonly firstKey: string | null;
  /** That credentials.json was gone at the start, as the beginning of a sentence; null: it was there, or never had been. */
  readonly absentCredentials: string | null;
  /** Where a damaged task database was moved to; null: it was sound. */
  readonly movedAside: string | null;
  /** Aborted when the store is lost: nothing can be stored or read any more, and the process has to end with a failure. */
  readonly lost: AbortSignal;
  /** What drivers said that are installed and have no GPU to offer. */
  readonly driverNotes: readonly string[];
  /**
   * Takes no new tasks, waits for the running ones for `server.drain_timeout`, writes everything, and resolves when all is released.
   * Calling it again hurries: it waits no longer.
   */
  stop(): Promise<void>;
}

/**
 * Starts a server; resolves when it answers, while models may still be loading.
 * @param openChannel starts its workers
 * @throws {AltLasError} when the configuration, the data directory or the address cannot be used; everything is released again then
 */
export async function startServer(
  config: Config,
  dataDir: string,
  log: Logger,
  openChannel: OpenChannel = forkChannel,
): Promise<RunningServer> {
  // Stops what has been started, last first: the workers, then the task book with the store, then HTTP.
  await using started = new AsyncDisposableStack();
  checkEnvironmentKey(process.env.ALT_LAS_API_KEY);
  makeDataDir(dataDir);
  const credentials = new Credentials({ config: config.auth, dataDir, log });
  const path = config.store.path ?? join(dataDir, "alt-las.db");
  const cacheBytes = config.store.cache_bytes;
  const store = started.adopt(new SqliteStore({ path, cacheBytes, log }), (opened) => opened.close());
  const { monitoring, worker_environment: inherit } = config.gpu;
  const monitor = started.adopt(new GpuMonitor({ interval: monitoring.interval_ms, inherit, log }), (running) =>
    running.stop(),
  );
  // The store first: it says when another server has this data directory, whose list of GPUs must not be touched then.
  const [stored, found] = await Promise.all([store.open(), wantsGpus(config) ? monitor.start() : NO_GPUS]);
  const time = new Timekeeper({ store, past: stored.past, retention: config.tasks.retention * 1000, log });
  await removeLeftovers(path);
  const known = KnownGpus.open(dataDir);
  const devices = await findDevices(config, {
    found,
    known,
    pciGpus: await findPciGpus(),
    environment: process.env,
    silentDrivers: monitor.silentDrivers,
    log,
  });
  warnOfMissing(config, devices, log);
  const driverNotes = monitor.silentDrivers;

  const { allow_private: allowPrivate } = config.webhooks;
  const { clock } = time;
  const webhooks = new Webhooks({ outbox: store.outbox, clock, allowPrivate, log });
  const gpus = { devices, config, log, monitor, known, openChannel };
  const { tasks, pool } = connect(gpus, { store, webhooks, credentials, clock });
  const app = started.adopt(
    serverOf({ config, credentials, driverNotes, log, tasks, pool, webhooks, lost: store.lost }),
    closeServer,
  );
  // Which closes the store, so that whoever needs it has to stop before.
  started.defer(() => tasks.close());
  started.adopt(time, (running) => running.stop());
  started.defer(() => webhooks.stop());
  started.defer(() => pool.stop());
  const retention = started.adopt(retentionOf(config, { store, time, log, dataDir }), (running) => running.stop());
  pool.start();
  tasks.restore(stored);
  webhooks.start();
  time.start();
  retention.start();
  if (stored.live.length > 0) log.info({ tasks: stored.live.length }, "took over unfinished tasks");
  // What commands on this machine may ask; each entry is a line, and its work is done elsewhere.
  const commands: ControlRoutes = {
    "POST /sweep": (_body, signal) => retention.sweepNow(signal),
    [BACKUP_ROUTE]: (_body, signal) => beginBackup({ copier: store, databasePath: path, dataDir }, signal),
  };
  started.adopt(await ControlServer.listen(dataDir, commands, log), (control) => control?.close());
  started.defer(credentials.watch());
  started.defer(known.watch(log));
  await listen(app, config.server);
  // Last of all: a key made by a start that fails would be kept, and never shown to anybody.
  const absence = config.auth.enabled ? absentCredentials(dataDir, config.auth, stored.lastSeq > 0) : null;
  if (absence !== null) log.warn(`${absence}: only a copy brings them back.`);
  const firstKey = ensureFirstKey({ config: config.auth, dataDir, environmentKey: process.env.ALT_LAS_API_KEY });
  const url = urlOf(config, app.server.address() as AddressInfo);
  const { movedAside } = stored;
  const stop = stopper(config, tasks, started.move());
  return { url, devices, firstKey, absentCredentials: absence, movedAside, driverNotes, lost: store.lost, stop };
}

interface ConnectedParts {
  readonly store: SqliteStore;
  readonly webhooks: Webhooks;
  readonly credentials: Credentials;
  readonly clock: Clock;
}

/** The task book and the GPUs, each knowing the other. */
function connect(parts: PoolParts, { store, webhooks, credentials, clock }: ConnectedParts) {
  const { config, log } = parts;
  const tasks: TaskBook = new TaskBook({
    store,
    log,
    settings: { ...schedulerSettings(config), isShared: () => credentials.userCount > 1 },
    clock,
    timeout: config.tasks.timeout ?? null,
    cancelTimeout: config.tasks.cancel_timeout,
    run: (gpuId, task, request, sink) => pool.run(gpuId, task, request, sink),
    cancel: (gpuId, task) => pool.cancel(gpuId, task),
    webhooks: { ...announcer(clock), wake: () => webhooks.wake() },
  });
  const pool = new GpuPool(parts, {
    changed: (facts) => tasks.scheduler.setGpu(facts),
    lost: (gpuId, reason, sentence) => tasks.scheduler.interrupted(gpuId, reason, sentence),
  });
  return { tasks, pool };
}

function retentionOf(
  { tasks }: Config,
  parts: Pick<RetentionOptions, "store" | "time" | "log" | "dataDir">,
): Retention {
  const { retention, max_stored } = tasks;
  return new Retention({ ...parts, retention: retention * 1000, maxStored: max_stored ?? null, keysLive: KEYS_LIVE });
}

interface Parts extends Pick<ServerParts, "config" | "credentials" | "driverNotes" | "log" | "webhooks"> {
  readonly tasks: TaskBook;
  readonly pool: GpuPool;
  readonly lost: AbortSignal;
}

function serverOf({ tasks, pool, lost, ...rest }: Parts): FastifyInstance {
  const { scheduler } = tasks;
  return createServer({
    ...rest,
    tasks,
    lost,
    gpus: () => pool.list((gpuId) => placedOn(tasks, gpuId)),
    drainGpu: (id, options) => pool.drain(id, options),
    resumeGpu: (id, by) => pool.resume(id, by),
    runningOn: (gpuId) => [...(scheduler.gpus.find(({ facts }) => facts.id === gpuId)?.running ?? [])],
    readiness: () => readinessOf({ tasks, pool, lost, credentials: rest.credentials }),
    draining: () => scheduler.draining,
    version: VERSION,
  });
}

/** Whether a task sent now could finish, and could be sent at all. */
function readinessOf({
  tasks,
  pool,
  lost,
  credentials,
}: Pick<Parts, "tasks" | "pool" | "lost" | "credentials">): Readiness {
  if (lost.aborted) return { ready: false, reason: messageOf(lost.reason) };
  if (!tasks.canSave) return { ready: false, reason: "Tasks cannot be written to disk." };
  const { trouble } = credentials;
  if (trouble?.isShut) return { ready: false, reason: trouble.sentence };
  const { ready, reason } = pool.readiness();
  return { ready, reason: reason ?? trouble?.sentence ?? null };
}

/** Milliseconds that connections have to take their last answers. */
const LAST_ANSWERS = 1000;

/** By now every request has its answer; a connection on which none has come must not keep the server from ending. */
async function closeServer(app: FastifyInstance): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), LAST_ANSWERS);
  await app.close();
  clearTimeout(cut);
}

function stopper({ server }: Config, tasks: TaskBook, started: AsyncDisposableStack): () => Promise<void> {
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

function placedOn(tasks: TaskBook, gpuId: number): { taskCount: number; load: number } {
  const gpu = tasks.scheduler.gpus.find(({ facts }) => facts.id === gpuId);
  return gpu === undefined ? { taskCount: 0, load: 0 } : { taskCount: gpu.running.size, load: loadOf(gpu) };
}

function urlOf({ server }: Config, { address, family, port }: AddressInfo): string {
  const everywhere = address === "0.0.0.0" || address === "::";
  const host = everywhere ? "127.0.0.1" : family === "IPv6" ? `[${address}]` : address;
  return `${server.tls.cert === undefined ? "http" : "https"}://${host}:${port}`;
}
