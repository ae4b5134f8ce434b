/** Wires the parts together, starts them in order, and stops them in reverse. */
import { isDeepStrictEqual } from "node:util";
import type { FastifyInstance } from "fastify";
import { announcer } from "./webhooks/announcements.ts";
import { AuditLog } from "./audit/audit-log.ts";
import { takeCommandRows } from "./audit/command-rows.ts";
import { reloadBySignal } from "./audit/signals.ts";
import type { Credentials } from "./auth/credentials.ts";
import { withCredentials } from "./auth/open-credentials.ts";
import { givenKey, type WayIn, wayIn } from "./auth/first-key.ts";
import { removeLeftovers } from "./backup/leftovers.ts";
import { type Config, LiveSettings, type LiveUsers, type ReloadReport } from "./config/config.ts";
import { controlRoutes } from "./control-routes.ts";
import { ControlServer } from "./control/server.ts";
import { makeDataDir } from "./common/data-folder.ts";
import { Files } from "./files/files.ts";
import { filesAndBatches } from "./files-and-batches.ts";
import { type Device, findDevices, wantsGpus } from "./gpu/inventory/devices.ts";
import { KnownGpus } from "./gpu/inventory/known-gpus.ts";
import { findPciGpus } from "./gpu/inventory/pci.ts";
import type { AnyPool } from "./gpu/any-pool.ts";
import { GpuPool, type PoolEvents, type PoolParts } from "./gpu/pool.ts";
import { checkPlaces } from "./gpu/served.ts";
import { GpuMonitor } from "./gpu/telemetry/monitor.ts";
import type { OpenChannel } from "./gpu/worker/channel.ts";
import { workerChannels } from "./gpu/worker/worker-channels.ts";
import type { Cluster, ClusterLead, ClusterPlace } from "./cluster/open-cluster.ts";
import { close, listen, type Listening } from "./http/listen.ts";
import { readinessOf } from "./http/readiness.ts";
import { createServer, followLogLevel, type PlainParts } from "./http/server.ts";
import type { ClusterMember } from "./http/server-parts.ts";
import { type Logger, setLevel } from "./log/log.ts";
import type { Metrics } from "./observe/metrics/metrics.ts";
import { metricSources } from "./metric-sources.ts";
import { observe } from "./observe/observe.ts";
import { placedOn } from "./scheduler/placement.ts";
import type { EventRing } from "./observe/event-ring.ts";
import { ModelCatalog } from "./models/catalog.ts";
import { useOf } from "./models/commands.ts";
import { refuseOwnPlaces } from "./models/pull-rules.ts";
import { type ModelEntry, ModelRegistry } from "./models/registry.ts";
import { countAfter, countPast } from "./tasks/past-use.ts";
import { schedulerSettings, textsOf, warnOfMissing } from "./tasks/scheduler-settings.ts";
import { tellTakenOver } from "./tasks/taken-over.ts";
import { stopper } from "./tasks/stopper.ts";
import { TaskBook } from "./tasks/task-book.ts";
import { Retention } from "./store/retention.ts";
import { retentionSettings } from "./store/retention-settings.ts";
import type { Opened } from "./store/store.ts";
import { databaseOf, storeOf, type ServerStore } from "./store/server-store.ts";
import { TextsInMemory } from "./store/texts-in-memory.ts";
import { Timekeeper } from "./store/timekeeper.ts";
import { VERSION } from "./common/version.ts";
import { believeAuthority } from "./common/own-authority.ts";
import { beginVersion, type Upgrade } from "./upgrade/upgrade.ts";
import { Webhooks } from "./webhooks/webhooks.ts";

/** A server that answers. */
export interface RunningServer extends WayIn, Listening {
  readonly devices: readonly Device[];
  /** Those by name, as they were when it began to answer. */
  readonly models: readonly ModelEntry[];
  /** The new name of a damaged task database, which is in quarantine; null: it was sound. */
  readonly quarantinedTo: string | null;
  /** The changes of this version for the configuration, at its first start on data of an earlier one; null: it is not that start. */
  readonly upgrade: Upgrade | null;
  /** Aborted when the store is lost: nothing can be stored or read any more, and the process has to end with a failure. */
  readonly lost: AbortSignal;
  /** Whether another server leads the cluster, and this one stands by; absent: it does not. */
  readonly standsBy?: boolean;
  /** Sentences of drivers that are installed and list no GPU. */
  readonly driverNotes: readonly string[];
  /**
   * Reads the configuration again and takes over what may change while the server runs.
   * @throws {AltLasError} what is wrong with it; nothing has changed then
   */
  reload(): ReloadReport;
  /**
   * Takes no new tasks, waits for the running ones for `server.drain_timeout`, writes everything, and resolves when all is released. A
   * second call ends the wait.
   */
  stop(): Promise<void>;
}

/** The parts of a server that begins to lead a cluster of several. */
export interface Lead extends Pick<ClusterLead, "bus"> {
  /** It is open: the database is this server's. */
  readonly store: ServerStore;
  readonly member: ClusterMember;
  /** Has it take requests, where it did not lead before; null: it begins to listen. */
  readonly listen: ((app: FastifyInstance) => Promise<Listening>) | null;
}

/**
 * Starts a server; resolves when it answers, while models may still be loading.
 * @param openChannel starts its workers
 * @param read reads the configuration again, as it was read for this start
 * @param lead absent: it is the only one
 * @throws {AltLasError} when the configuration, the data directory or the address cannot be used; everything is released again then
 */
export async function startServer(
  given: Config,
  dataDir: string,
  log: Logger,
  openChannel: OpenChannel = workerChannels(log),
  read: () => Config = () => given,
  lead?: Lead,
): Promise<RunningServer> {
  // Stops what has been started, last first: the workers, then the task book with the store, then HTTP.
  await using started = new AsyncDisposableStack();
  givenKey();
  makeDataDir(dataDir);
  believeAuthority(given.tls.ca);
  const events = await observe(log, started);
  const live = new LiveSettings({ config: given, read, dataDir, log });
  const { config } = live;
  // A logger that was made with the level of the configuration; else its owner has chosen another one.
  if (config.log.level !== given.log.level) setLevel(log, config.log.level);
  const begun = beginVersion(dataDir, databaseOf(config.store, dataDir));
  const audit = new AuditLog({ enabled: config.audit.enabled, log });
  const place = { config, live, dataDir, log, events, audit, lead };
  const ground = await withCredentials(place, started, () => open(place, started));
  if (lead !== undefined) ground.credentials.keep(lead.member.kept);
  const server = assemble({ ...place, ...ground, openChannel }, started);
  live.use(usersOf({ ...place, ...ground, ...server }));
  const listening = await begin({ ...place, ...ground, ...server }, started);
  return {
    ...listening,
    devices: ground.devices,
    models: server.models.entries(),
    // Last of all: a key made by a start that fails would be stored, and never shown.
    ...(await wayIn(ground.credentials.accounts, { hadTasks: ground.stored.lastSeq > 0, log })),
    quarantinedTo: ground.stored.quarantinedTo,
    upgrade: begun({ config, users: ground.credentials.userCount, sourceOf: (path) => live.sourceOf(path) }, log),
    driverNotes: ground.driverNotes,
    lost: ground.lost,
    reload: () => reloadBySignal(() => live.reload(), audit),
    stop: stopper(config, server.tasks, started.move()),
  };
}

/** The place where a server runs. */
interface Place {
  /** As it was at the start. */
  readonly config: Config;
  readonly live: LiveSettings;
  readonly dataDir: string;
  readonly log: Logger;
  readonly events: EventRing;
  readonly audit: AuditLog;
  readonly lead: Lead | undefined;
}

/** The parts that all others need. */
interface Ground extends Pick<PoolParts, "devices" | "monitor"> {
  readonly credentials: Credentials;
  readonly store: ServerStore;
  /** The same, with what is in memory only. */
  readonly texts: TextsInMemory;
  readonly stored: Opened;
  readonly databasePath: string;
  readonly time: Timekeeper;
  readonly known: KnownGpus;
  /** null: `metrics.enabled` is false. */
  readonly metricsClass: typeof Metrics | null;
  readonly driverNotes: readonly string[];
  /** null: the GPUs are those of this machine. */
  readonly cluster: Cluster | null;
  /** Aborted when nothing can be stored any more, or another server leads the cluster. */
  readonly lost: AbortSignal;
}

type Found = Omit<Ground, "credentials">;

/** Opens the store, and finds the devices. */
async function open({ config, dataDir, log, lead }: Place, started: AsyncDisposableStack): Promise<Found> {
  const databasePath = databaseOf(config.store, dataDir);
  const own = lead?.store ?? (await storeOf(config.store, dataDir, log));
  const store = started.adopt(own, (running) => running.close());
  const { monitoring, worker_environment: inherit } = config.gpu;
  const monitor = started.adopt(new GpuMonitor({ interval: monitoring.interval_ms, inherit, log }), (running) =>
    running.stop(),
  );
  const ownGpus = config.cluster.nats === undefined;
  // The store first: it says when another server has this data directory, whose list of GPUs must not be touched then.
  const [stored, found, observed] = await Promise.all([
    store.open(),
    ownGpus && wantsGpus(config) ? monitor.start() : { gpus: [], notes: [] },
    // At the start, not at the first scrape: what happens until then would not be counted.
    config.metrics.enabled ? import("./observe/metrics/metrics.ts") : null,
  ]);
  const time = new Timekeeper({ store, past: stored.past, retention: config.tasks.retention * 1000, log });
  await removeLeftovers(databasePath);
  const known = KnownGpus.open(dataDir);
  const { silentDrivers } = monitor;
  const sources = { found, known, pciGpus: await findPciGpus(), environment: process.env, silentDrivers, log };
  const devices = ownGpus ? await findDevices(config, sources) : [];
  const cluster = await openClusterOf({ config, dataDir, log, store, lead, now: () => time.clock.now() }, started);
  if (ownGpus) warnOfMissing(config, devices, log);
  checkPlaces(config.models, devices);
  return {
    store,
    texts: new TextsInMemory(store),
    stored,
    databasePath,
    monitor,
    time,
    known,
    devices,
    metricsClass: observed?.Metrics ?? null,
    driverNotes: silentDrivers,
    cluster,
    lost: cluster === null ? store.lost : AbortSignal.any([store.lost, cluster.superseded]),
  };
}

async function openClusterOf(place: ClusterPlace, started: AsyncDisposableStack): Promise<Cluster | null> {
  if (place.config.cluster.nats === undefined) return null;
  const { openCluster } = await import("./cluster/open-cluster.ts");
  return started.adopt(await openCluster(place), (one) => one.close());
}

/** Makes all parts, and says in which order they stop. */
function assemble(parts: Place & Ground & Pick<PoolParts, "openChannel">, started: AsyncDisposableStack) {
  const { config, live, dataDir, credentials, events, log, store, driverNotes, metricsClass, audit } = parts;
  const { clock } = parts.time;
  const { allow_private: allowPrivate, pause_after: pauseAfter, ...lists } = config.webhooks;
  const webhooks = new Webhooks({ outbox: store.outbox, clock, allowPrivate, pauseAfter, ...lists, live, log });
  const { tasks, pool, models } = connect(parts, webhooks);
  const uploads = new Files({ store, dataDir, clock, live, users: () => credentials.userCount, log });
  const { files, batchFiles } = filesAndBatches(uploads, { ...parts, store: parts.texts, tasks });
  const shown = { config, live, credentials, driverNotes, events, audit, auditRows: audit, log };
  const http = {
    ...shown,
    tasks,
    pool,
    models,
    webhooks,
    files,
    uploads,
    batchFiles,
    usage: store.usage,
    forget: async (user: string) =>
      (await import("./forget/server.ts")).forgetOnServer({ ...parts, tasks, batchFiles, uploads, webhooks }, user),
    lost: parts.lost,
    cluster: parts.cluster ?? undefined,
    member: parts.lead?.member,
  };
  const metrics =
    metricsClass && started.adopt(new metricsClass(metricSources(parts, http)), (running) => running.stop());
  const app = started.adopt(serverOf({ ...http, metrics: metrics ? () => metrics.scrape() : undefined }), close);
  // This closes the store, so all parts that need it have to stop before.
  started.defer(() => tasks.close());
  started.defer(() => parts.lead?.member.kept.close());
  audit.use({ store, clock });
  started.defer(() => audit.close());
  started.adopt(parts.time, (running) => running.stop());
  started.adopt(uploads, (running) => running.stop());
  started.adopt(batchFiles, (running) => running.stop());
  for (const part of [webhooks, pool, models]) started.defer(() => part.stop());
  const retention = started.adopt(retentionOf(parts, uploads), (running) => running.stop());
  return { webhooks, tasks, pool, models, uploads, batchFiles, app, retention };
}

/** Starts all parts, and takes requests. */
async function begin(
  parts: Place & Ground & ReturnType<typeof assemble>,
  started: AsyncDisposableStack,
): Promise<Listening> {
  const { config, dataDir, log, stored, retention } = parts;
  await parts.models.find();
  await parts.pool.planStart();
  parts.pool.start();
  parts.models.start();
  await countPast(parts);
  parts.tasks.restore(stored);
  parts.pool.restored?.();
  parts.webhooks.start();
  parts.time.start();
  void parts.uploads.start(stored.past.recorded === null);
  await parts.batchFiles.start();
  retention.start();
  tellTakenOver(stored, log);
  const at: Pick<Listening, "addresses"> = { addresses: [] };
  started.adopt(await ControlServer.listen(dataDir, controlRoutes({ ...parts, at }), log), (one) => one?.close());
  started.defer(parts.credentials.watch());
  started.defer(takeCommandRows(dataDir, parts.audit, log));
  started.defer(parts.known.watch(log));
  return Object.assign(at, await (parts.lead?.listen?.(parts.app) ?? listen(parts.app, config.server, log)));
}

/** The task book and the GPUs, each knowing the other. */
function connect(parts: Place & Ground & PoolParts, webhooks: Webhooks) {
  const { config, live, dataDir, log, texts, credentials } = parts;
  const { clock } = parts.time;
  const tasks: TaskBook = new TaskBook({
    store: texts,
    textsOf: (of) => textsOf(live.config, of),
    refuseTexts: (news) => texts.refuseIfFull(news),
    log,
    settings: { ...schedulerSettings(config), isShared: () => credentials.userCount > 1 },
    clock,
    timeout: config.tasks.timeout ?? null,
    cancelTimeout: config.tasks.cancel_timeout,
    run: (instance, task, request, sink) => pool.run(instance, task, request, sink),
    adopt: parts.cluster === null ? undefined : (task, sink) => pool.adopt!(task, sink),
    machines: parts.cluster === null ? undefined : () => pool,
    cancel: (gpuId, task) => pool.cancel(gpuId, task),
    load: (instance) => pool.load(instance),
    unload: (instance, why) => pool.unload(instance, why),
    modelMeantBy: (asked) => pool.modelMeantBy(asked),
    modelOfTaskType: (type) => pool.modelOfTaskType(type),
    webhooks: { ...announcer(clock), wake: () => webhooks.wake() },
  });
  const models: ModelRegistry = new ModelRegistry({
    config,
    dataDir,
    environment: process.env,
    log,
    changed: (now) => pool.serve(now, !models.isConfigured),
    inUse: (name) => useOf(name, pool.instances()),
  });
  const events: PoolEvents = {
    changed: (facts) => tasks.scheduler.setGpu(facts),
    lost: (instance, reason, sentence) => tasks.scheduler.interrupted(instance, reason, sentence),
    wanted: (instances) => tasks.scheduler.ask(instances, "load"),
  };
  const pool: AnyPool = parts.cluster?.openPool(events) ?? new GpuPool({ ...parts, models: models.served() }, events);
  return { tasks, pool, models };
}

/** The parts that take over changes while the server runs. All was checked by then, and nothing of it can fail in its middle. */
function usersOf(parts: Place & Ground & ReturnType<typeof assemble>): LiveUsers {
  const { devices, log, models, pool, tasks, app } = parts;
  const apply = (next: Config, before: Config): void => {
    if (next.log.level !== before.log.level) {
      setLevel(log, next.log.level);
      followLogLevel(app, log);
    }
    pool.limit(next);
    warnOfMissing(next, devices, log, before);
    countAfter(parts, () => tasks.scheduler.configure(schedulerSettings(next)));
  };
  return {
    check: (next) => checkPlaces(next.models, devices),
    refuse: refuseOwnPlaces,
    apply: (next, before) => {
      if (!isDeepStrictEqual(modelsIn(next), modelsIn(before))) models.configure(next);
      apply(next, before);
    },
    reload: (next, before) => {
      models.configure(next);
      pool.tryAgain();
      apply(next, before);
      return { certificate: app.renewCertificate() };
    },
  };
}

function modelsIn({ models, models_from_cache, models_allow_urls }: Config) {
  return { models, models_from_cache, models_allow_urls };
}

function retentionOf({ config, live, texts, time, log, dataDir }: Place & Ground, files: Files): Retention {
  return new Retention({ store: texts, files, time, log, dataDir, ...retentionSettings(config, live) });
}

interface Parts extends PlainParts {
  readonly tasks: TaskBook;
  readonly pool: AnyPool;
  readonly models: ModelRegistry;
  readonly webhooks: Webhooks;
  readonly lost: AbortSignal;
  readonly member: ClusterMember | undefined;
}

function serverOf({ tasks, pool, models, lost, ...rest }: Parts): FastifyInstance {
  const { scheduler } = tasks;
  return createServer({
    ...rest,
    tasks,
    lost,
    gpus: () => pool.list((gpuId) => placedOn(scheduler.instances, gpuId)),
    models: () => pool.models(),
    countTokens: (request, { model, taskType }) => pool.countTokens(request, model ?? pool.modelOfTaskType(taskType)),
    catalog: new ModelCatalog({
      pool,
      scheduler,
      gpuIds: () => pool.gpuIds,
      registry: models,
      allowUrls: () => models.allowsUrls,
    }),
    drainGpu: (id, options) => pool.drain(id, options),
    resumeGpu: (id, by) => pool.resume(id, by),
    runningOn: (id) => scheduler.instances.flatMap(({ gpuId, running }) => (gpuId === id ? [...running] : [])),
    readiness: () => readinessOf({ tasks, pool, models, lost, ...rest }),
    draining: () => scheduler.draining,
    version: VERSION,
  });
}
