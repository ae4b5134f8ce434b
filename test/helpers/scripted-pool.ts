/**
 * A pool of GPUs on a machine that is made up: which workers it starts for which models is written down, and the test says when a load is
 * done. A scheduler places tasks on what is there; none of them runs anywhere.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext } from "node:test";
import { pino } from "pino";
import { parseConfig } from "../../src/config/config.ts";
import { type EngineInfo, type EngineOptions } from "../../src/engine/engine.ts";
import { type FailureCode } from "../../src/engine/failures.ts";
import { type Device, findDevices } from "../../src/gpu/inventory/devices.ts";
import { KnownGpus } from "../../src/gpu/inventory/known-gpus.ts";
import { GpuPool, type PoolParts } from "../../src/gpu/pool.ts";
import { type GpuIdentity, type GpuSample, type Snapshot } from "../../src/gpu/telemetry/telemetry.ts";
import { type ChannelEvents, type OpenChannel } from "../../src/gpu/worker/channel.ts";
import { Changes } from "./changes.ts";
import { World } from "./scheduling.ts";

/** A worker that has been told to load a model. */
export class ScriptedLoad {
  readonly gpuId: number;
  readonly engine: EngineOptions;
  state: "loading" | "loaded" | "ended" = "loading";
  readonly #device: Device;
  readonly #events: ChannelEvents;

  constructor(device: Device, engine: EngineOptions, events: ChannelEvents) {
    this.gpuId = device.id;
    this.engine = engine;
    this.#device = device;
    this.#events = events;
  }

  /** @param changes what the worker says otherwise */
  done(changes: Partial<EngineInfo> = {}): void {
    this.state = "loaded";
    this.#events.message({ type: "loaded", info: { ...infoOf(this.#device, this.engine), ...changes }, gpus: null });
  }

  refuse(code: FailureCode): void {
    this.#events.message({ type: "refused", code, sentence: `It says ${code}.` });
  }

  end(): void {
    this.state = "ended";
    setImmediate(() => this.#events.closed({ how: "exit code 0", stderr: "" }));
  }
}

function infoOf({ uuids, kind, backend }: Device, { model, context, slots }: EngineOptions): EngineInfo {
  return {
    model,
    modelName: model,
    capabilities: ["completion"],
    honours: [],
    hasChatTemplate: false,
    context: context ?? 4096,
    slots,
    memoryNote: null,
    memory: null,
    kvBytesPerToken: 0,
    maxTokenBytes: 10,
    devices: kind === "gpu" ? uuids : [],
    device: "made up",
    backend: String(backend),
    settings: [],
  };
}

export interface PoolSetting extends Pick<PoolParts, "models" | "estimate" | "cores" | "timing"> {
  /** YAML. */
  readonly config: string;
  readonly gpus?: readonly GpuIdentity[];
}

export class ScriptedPool {
  readonly devices: readonly Device[];
  readonly pool: GpuPool;
  readonly world = new World([]);
  /** In the order in which they began. */
  readonly loads: ScriptedLoad[] = [];
  readonly #changes = new Changes();
  #look: (snapshot: Snapshot) => void = () => {};

  private constructor({ config: yaml, gpus: _gpus, ...parts }: PoolSetting, devices: readonly Device[]) {
    this.devices = devices;
    this.pool = new GpuPool(
      {
        ...parts,
        devices,
        config: parseConfig(yaml, "c.yaml"),
        log: pino({ level: "silent" }),
        monitor: { subscribe: (listener) => void (this.#look = listener) },
        known: { isDrained: () => false, setDrained: () => {} },
        openChannel: this.#open,
      },
      {
        changed: (facts) => {
          this.world.scheduler.setGpu(facts);
          this.#changes.tell();
        },
        lost: () => {},
        wanted: (instances) => this.world.scheduler.ask(instances, "load"),
      },
    );
  }

  static async of(t: TestContext, setting: PoolSetting): Promise<ScriptedPool> {
    const folder = mkdtempSync(join(tmpdir(), "alt-las-pool-"));
    t.after(() => rmSync(folder, { recursive: true }));
    const devices = await findDevices(parseConfig(setting.config, "c.yaml"), {
      found: { gpus: setting.gpus ?? [], notes: [] },
      silentDrivers: [],
      pciGpus: [],
      environment: {},
      known: KnownGpus.open(folder),
      log: { warn: () => {} },
      probe: async () => ({ backend: "cuda", names: [], memoryTotal: 0, cudaFault: null }),
    });
    const made = new ScriptedPool(setting, devices);
    t.after(() => made.pool.stop());
    return made;
  }

  /**
   * The drivers tell what is free on each card, and what it takes. @param free bytes, by UUID; others are as good as empty @param power watts,
   * by UUID; of others nobody measures it
   */
  look(free: Readonly<Record<string, number>> = {}, power: Readonly<Record<string, number>> = {}): void {
    const samples = this.devices
      .flatMap(({ uuids }) => uuids)
      .map((uuid): GpuSample => {
        const memoryTotal = 24 * 2 ** 30;
        const memoryFree = free[uuid] ?? memoryTotal;
        const nothing = { utilization: null, temperature: null, powerLimit: null, energy: null };
        const rest = { throttle: null, processes: [], ecc: null };
        return {
          ...nothing,
          ...rest,
          uuid,
          power: power[uuid] ?? null,
          memoryTotal,
          memoryFree,
          memoryUsed: memoryTotal - memoryFree,
        };
      });
    this.#look({ samples, lost: [], events: [] });
  }

  /** Starts the pool, and has every model loaded at once. */
  async startAll(count: number): Promise<this> {
    this.pool.start();
    for (let done = 0; done < count; done++) {
      await this.until(() => {
        this.look();
        return this.loads.length > done;
      });
      this.loads[done]!.done();
    }
    return this;
  }

  /** Has `until` look again. */
  again(): void {
    this.#changes.tell();
  }

  until(holds: () => boolean): Promise<void> {
    return this.#changes.until(holds);
  }

  readonly #open: OpenChannel = ({ gpuId }, events) => {
    const device = this.devices.find(({ id }) => id === gpuId)!;
    let load: ScriptedLoad | null = null;
    return {
      pid: null,
      send: (message) => {
        if (message.type === "stop") load?.end();
        if (message.type !== "load") return;
        load = new ScriptedLoad(device, message.engine, events);
        this.loads.push(load);
        this.#changes.tell();
      },
      kill: () => load?.end(),
    };
  };
}
