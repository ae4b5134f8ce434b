/** Starts an agent, with the GPUs of its machine, and stops it. */
import { hostname } from "node:os";
import { AltLasError } from "../errors.ts";
import { makeDataDir } from "../common/data-folder.ts";
import type { Config } from "../config/config.ts";
import { findDevices, wantsGpus } from "../gpu/inventory/devices.ts";
import { KnownGpus } from "../gpu/inventory/known-gpus.ts";
import { findPciGpus } from "../gpu/inventory/pci.ts";
import { GpuPool, type PoolParts } from "../gpu/pool.ts";
import { checkPlaces } from "../gpu/served.ts";
import { GpuMonitor } from "../gpu/telemetry/monitor.ts";
import type { OpenChannel } from "../gpu/worker/channel.ts";
import { workerChannels } from "../gpu/worker/worker-channels.ts";
import type { Logger } from "../log/log.ts";
import { useOf } from "../models/commands.ts";
import { ModelRegistry } from "../models/registry.ts";
import { Agent } from "./agent.ts";
import type { Bus } from "./bus.ts";
import { MACHINE_NAME } from "./messages.ts";

export interface AgentPlace {
  readonly config: Config;
  readonly dataDir: string;
  readonly machine: string;
  readonly bus: Bus;
  readonly log: Logger;
  readonly openChannel?: OpenChannel;
  /** See `AgentParts`. */
  readonly beat?: number;
  readonly tells?: boolean;
}

export interface RunningAgent {
  readonly gpus: number;
  /** Aborted when it has to end, with the reason as an error. */
  readonly refused: AbortSignal;
  /** Takes no new tasks, waits for those that run for `server.drain_timeout`, and ends the workers. @param hurry ends the wait */
  stop(hurry: AbortSignal): Promise<void>;
}

/** Milliseconds between two looks whether all is done. */
const LOOK = 50;

/** The name of this machine where none is given. @throws {AltLasError} `bad_config` */
export function machineName(given: string | undefined): string {
  const name = given ?? hostname().split(".", 1)[0]!;
  if (MACHINE_NAME.test(name)) return name;
  const what = given === undefined ? "this machine's name cannot be used; give one" : `got "${given}"`;
  throw new AltLasError(
    "bad_config",
    `--name must be 1 to 63 letters, digits, _ and -, a letter or digit first; ${what}.`,
  );
}

/** @throws {AltLasError} what is wrong with the configuration, or with the data directory; everything is released again then */
export async function startAgent(place: AgentPlace): Promise<RunningAgent> {
  await using started = new AsyncDisposableStack();
  const { config, log, bus } = place;
  started.defer(() => bus.close());
  makeDataDir(place.dataDir);
  const { devices, monitor } = await findGpus(place, started);
  const refused = new AbortController();
  const { agent, models } = assemble(place, { devices, monitor }, (why) =>
    refused.abort(new AltLasError("conflict", why)),
  );
  started.defer(() => agent.stop());
  started.adopt(models, (one) => one.stop());
  await models.find();
  await agent.pool.planStart();
  started.defer(bus.watch({ up: () => agent.sayState(), down: () => log.warn("the connection to NATS is lost") }));
  agent.start();
  agent.pool.start();
  models.start();
  const all = started.move();
  return {
    gpus: devices.length,
    refused: refused.signal,
    stop: async (hurry) => {
      await drained(agent, config.server.drain_timeout, hurry);
      await all.disposeAsync();
    },
  };
}

type Gpus = Pick<PoolParts, "devices" | "monitor">;

async function findGpus({ config, dataDir, log }: AgentPlace, started: AsyncDisposableStack): Promise<Gpus> {
  const { monitoring, worker_environment: inherit } = config.gpu;
  const monitor = new GpuMonitor({ interval: monitoring.interval_ms, inherit, log });
  started.defer(() => monitor.stop());
  const found = wantsGpus(config) ? await monitor.start() : { gpus: [], notes: [] };
  const known = KnownGpus.open(dataDir);
  const { silentDrivers } = monitor;
  const sources = { found, known, pciGpus: await findPciGpus(), environment: process.env, silentDrivers, log };
  const devices = await findDevices(config, sources);
  checkPlaces(config.models, devices);
  return { devices, monitor };
}

function assemble(place: AgentPlace, { devices, monitor }: Gpus, refused: (why: string) => void) {
  const { config, dataDir, log, bus, machine, beat, tells = true, openChannel = workerChannels(log) } = place;
  const models: ModelRegistry = new ModelRegistry({
    config,
    dataDir,
    environment: process.env,
    log,
    changed: (now) => agent.pool.serve(now, !models.isConfigured),
    inUse: (name) => useOf(name, agent.pool.instances()),
  });
  const parts = { devices, config, log, monitor, known: DRAINED_BY_LEADER, models: models.served(), openChannel };
  const agent: Agent = new Agent({
    machine,
    bus,
    log,
    beat,
    tells,
    gpus: devices.map(({ id, key }) => ({ id, key })),
    openPool: (events) => new GpuPool(parts, events),
    refused,
  });
  return { agent, models };
}

/** Which GPUs are drained is known where the cluster is known. */
const DRAINED_BY_LEADER = { isDrained: () => false, setDrained: () => {} };

async function drained(agent: Agent, seconds: number, hurry: AbortSignal): Promise<void> {
  agent.drain();
  const end = performance.now() + seconds * 1000;
  while (!agent.isDone && !hurry.aborted && performance.now() < end)
    await new Promise((resolve) => void setTimeout(resolve, LOOK));
}
