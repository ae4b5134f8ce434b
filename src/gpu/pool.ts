/** All GPUs: their workers and what telemetry says of them. */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { type Logger } from "pino";
import { type Config } from "../config.ts";
import { type EngineOptions } from "../engine/engine.ts";
import { messageOf } from "../errors.ts";
import { type Outcome, type Task } from "../task.ts";
import { type Device } from "./devices.ts";
import { type GpuFacts, type GpuStatus, type Readiness } from "./status.ts";
import { CpuTelemetry } from "./telemetry/cpu.ts";
import { NvidiaTelemetry } from "./telemetry/nvidia.ts";
import { SimulatedTelemetry } from "./telemetry/simulated.ts";
import { type Reading, type Telemetry, type Watched } from "./telemetry/telemetry.ts";
import { DEFAULT_TIMING, GpuWorker, type WorkerTiming } from "./worker.ts";

/** The model that is served when none is configured. */
export const DEMO_MODEL = fileURLToPath(new URL("../../models/demo.gguf", import.meta.url));

/** What the pool tells the scheduler. */
export interface PoolEvents {
  /** Something about a GPU changed that placement may depend on. */
  changed(facts: GpuFacts): void;
  ended(task: Task, outcome: Outcome): void;
  /** A GPU's worker is gone, with everything that ran there. */
  lost(gpuId: number): void;
}

/** Milliseconds after which a reading that is not renewed counts for nothing. */
const READING_EXPIRES = 30_000;
const NO_READINGS: ReadonlyMap<string, Reading> = new Map();

interface Member {
  readonly device: Device;
  readonly worker: GpuWorker;
  reading: Reading | null;
  /** Milliseconds on the monotonic clock when it was read. */
  readAt: number;
  /** The last facts that were told, as text, so that nothing is told twice. */
  told: string;
}

export class GpuPool {
  readonly #members = new Map<number, Member>();
  readonly #config: Config;
  readonly #log: Logger;
  readonly #events: PoolEvents;
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(
    devices: readonly Device[],
    config: Config,
    log: Logger,
    events: PoolEvents,
    timing: WorkerTiming = DEFAULT_TIMING,
  ) {
    this.#config = config;
    this.#log = log;
    this.#events = events;
    const cpuDevices = devices.filter(({ kind }) => kind === "cpu").length;
    for (const device of devices) this.#add(device, engineOptions(device, cpuDevices, config), timing);
  }

  /** Tells the GPUs to `events`, starts their workers and the sampling. Calling it twice is harmless. */
  start(): void {
    for (const member of this.#members.values()) {
      this.#tell(member);
      if (member.device.unusable === null) member.worker.start();
    }
    if (this.#timers.size > 0) return;
    this.#watch(new CpuTelemetry(), "cpu");
    this.#watch(new NvidiaTelemetry(), "nvidia");
    this.#watch(new SimulatedTelemetry(), "simulated");
  }

  run(gpuId: number, task: Task): void {
    this.#members.get(gpuId)!.worker.run(task);
  }

  cancel(gpuId: number, task: Task): void {
    this.#members.get(gpuId)!.worker.cancel(task);
  }

  /** In `gpu_id` order. @param loadOf what the scheduler has placed on a GPU */
  list(loadOf: (gpuId: number) => Pick<GpuStatus, "taskCount" | "load">): GpuStatus[] {
    return [...this.#members.values()].map((member) => ({
      ...statusOf(member, this.#slots(member)),
      ...loadOf(member.device.id),
    }));
  }

  /** Ready means that a task sent now could finish: every GPU has loaded or failed to, and one at least is ready. */
  readiness(): Readiness {
    const members = [...this.#members.values()];
    const starting = members.filter((member) => stateOf(member) === "starting");
    if (starting.length > 0)
      return { ready: false, reason: `${starting.length} of ${members.length} GPUs are still loading.` };
    if (members.some((member) => stateOf(member) === "ready")) return { ready: true, reason: null };
    // Anybody may ask for this, so it names no file and no reason.
    return { ready: false, reason: "No GPU can run tasks; GET /api/v1/gpus says why." };
  }

  /** Stops sampling and ends the workers. Calling it twice is harmless. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all([...this.#members.values()].map(({ worker }) => worker.stop()));
  }

  #add(device: Device, engine: EngineOptions, timing: WorkerTiming): void {
    const log = this.#log.child({ gpu: device.id });
    const worker = new GpuWorker(
      { gpuId: device.id, engine, environment: device.environment, log, timing },
      {
        changed: () => this.#tell(member),
        ended: (task, outcome) => this.#events.ended(task, outcome),
        lost: () => this.#events.lost(device.id),
      },
    );
    const member: Member = { device, worker, reading: null, readAt: 0, told: "" };
    this.#members.set(device.id, member);
  }

  #slots({ worker }: Member): number {
    return worker.info?.slots ?? this.#config.gpu.multi_gpu.max_concurrent_tasks_per_gpu;
  }

  #tell(member: Member): void {
    const facts = factsOf(member, this.#slots(member));
    const told = JSON.stringify(facts);
    if (told === member.told) return;
    member.told = told;
    this.#events.changed(facts);
  }

  /** Samples one vendor's devices until the pool stops. */
  #watch(telemetry: Telemetry, vendor: Device["vendor"]): void {
    const members = [...this.#members.values()].filter(
      ({ device }) => device.vendor === vendor && device.unusable === null,
    );
    if (members.length === 0) return;
    const next = async (): Promise<void> => {
      await this.#sample(telemetry, members);
      if (this.#stopped) return;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        void next();
      }, telemetry.interval);
      this.#timers.add(timer);
    };
    void next();
  }

  async #sample(telemetry: Telemetry, members: readonly Member[]): Promise<void> {
    const readings = await telemetry.sample(members.map(watchedOf)).catch((error: unknown) => {
      this.#log.warn({ reason: messageOf(error) }, "telemetry failed");
      return NO_READINGS;
    });
    const now = performance.now();
    for (const member of members) {
      const reading = readings.get(member.device.uuid);
      if (reading !== undefined) member.readAt = now;
      // A gap is bridged, but what a dead driver said last must not keep a GPU shut, or open, for ever.
      if (reading !== undefined || now - member.readAt > READING_EXPIRES) member.reading = reading ?? null;
      this.#tell(member);
    }
  }
}

/** Cores are shared out among the CPU devices, and one is left for the server. */
function engineOptions(device: Device, cpuDevices: number, { engine, gpu }: Config): EngineOptions {
  const share = Math.max(1, Math.floor((availableParallelism() - 1) / Math.max(1, cpuDevices)));
  return {
    kind: device.kind === "simulated" ? "simulated" : "llama",
    model: engine.model ?? DEMO_MODEL,
    context: engine.context ?? null,
    slots: gpu.multi_gpu.max_concurrent_tasks_per_gpu,
    backend: device.backend,
    threads: device.kind === "cpu" ? (engine.threads ?? share) : 1,
    simulated: engine.simulated,
  };
}

function stateOf({ device, worker }: Member): GpuStatus["status"] {
  return device.unusable === null ? worker.state : "unusable";
}

function reasonOf({ device, worker }: Member): string | null {
  return device.unusable ?? worker.reason;
}

function watchedOf({ device, worker }: Member): Watched {
  return {
    uuid: device.uuid,
    usage: worker.usage,
    loaded: worker.state === "ready",
    // Asked after the reading: a task that began meanwhile is in the reading, and must not be taken for somebody else's.
    get idleFor() {
      return worker.idleFor;
    },
  };
}

function factsOf(member: Member, slots: number): GpuFacts {
  const { device, worker, reading } = member;
  const { info } = worker;
  return {
    id: device.id,
    state: stateOf(member),
    reason: reasonOf(member),
    slots,
    context: info?.context ?? null,
    kvBytesPerToken: info?.kvBytesPerToken ?? 0,
    maxTokenBytes: info?.maxTokenBytes ?? Number.MAX_SAFE_INTEGER,
    memoryFree: reading?.memoryFree ?? null,
    othersMemory: reading?.othersMemory ?? 0,
    othersUtilization: reading?.othersUtilization ?? 0,
  };
}

function statusOf(member: Member, slots: number): Omit<GpuStatus, "taskCount" | "load"> {
  const { device, worker, reading } = member;
  return {
    id: device.id,
    name: device.name,
    kind: device.kind,
    uuid: device.uuid,
    status: stateOf(member),
    reason: reasonOf(member),
    since: worker.since,
    utilization: reading?.utilization ?? null,
    memoryUsed: reading?.memoryUsed ?? null,
    memoryTotal: reading?.memoryTotal ?? device.memoryTotal,
    slots,
    model: worker.info?.model ?? null,
    context: worker.info?.context ?? null,
    pid: worker.pid,
    restarts: worker.restarts,
  };
}
