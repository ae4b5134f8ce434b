/** All GPUs, and the cards under them. */
import type { Logger } from "pino";
import { wallTime } from "../common/clock.ts";
import type { Config } from "../config/config.ts";
import { type Estimate, estimateOf } from "../engine/estimate.ts";
import { AltLasError } from "../errors.ts";
import { Mutex } from "../common/mutex.ts";
import type { Output } from "../output.ts";
import type { Request, TextRequest } from "../request.ts";
import type { RunSink, Task } from "../task.ts";
import { deviceTraits } from "./device-kinds.ts";
import { limitsOf } from "./inventory/device-limits.ts";
import type { Device } from "./inventory/devices.ts";
import type { KnownGpus } from "./inventory/known-gpus.ts";
import { Cards, FIRST_FIGURES } from "./card/cards.ts";
import { combine } from "./card/readings.ts";
import { budgetOf, roomOn } from "./card/room.ts";
import type { GpuFacts, InstanceRef } from "./facts.ts";
import { ModelNames, modelsOf, type ModelStatus } from "./models.ts";
import { engineOptions } from "./engine-options.ts";
import { isPlacedAlike, isThere, keyOf, mayHold, type ServedModel } from "./served.ts";
import { planStarts } from "./starts.ts";
import { Startup } from "./startup.ts";
import type { GpuStatus, InstanceStatus, Readiness } from "./status.ts";
import { countTokens } from "./token-count.ts";
import { Gpu } from "./gpu.ts";
import type { InstanceEngine } from "./instance/instance-parts.ts";
import type { Instance } from "./instance/instance.ts";
import type { LossReason } from "./instance/lifecycle.ts";
import { DEFAULT_TIMING, type LifecycleTiming } from "./instance/pauses.ts";
import type { GpuMonitor } from "./telemetry/monitor.ts";
import type { OpenChannel } from "./worker/channel.ts";
import type { Snapshot } from "./telemetry/telemetry.ts";

/** Events that the pool tells the scheduler. */
export interface PoolEvents {
  /** Something about a GPU changed that placement may depend on. */
  changed(facts: GpuFacts): void;
  /** Tasks that still ran on an instance are cut off. */
  lost(instance: InstanceRef, reason: LossReason, sentence: string | null): void;
  /** The models of these are to be loaded, as soon as there is room. */
  wanted(instances: readonly InstanceRef[]): void;
}

export interface PoolParts {
  readonly devices: readonly Device[];
  readonly config: Config;
  readonly log: Logger;
  readonly monitor: Pick<GpuMonitor, "subscribe">;
  readonly known: Pick<KnownGpus, "isDrained" | "setDrained">;
  /** Starts the workers. */
  readonly openChannel: OpenChannel;
  /** Models by name; none: each device has its own. */
  readonly models?: readonly ServedModel[];
  /** Bytes that a model would take on a device; null: nobody can tell. */
  readonly estimate?: (engine: InstanceEngine) => Promise<Estimate | null>;
  readonly timing?: LifecycleTiming;
  /** Of this machine. */
  readonly cores?: number;
}

/** How an operator wants a GPU drained. */
export interface DrainOptions {
  readonly deadlineSeconds: number | null;
  /** The user who asks. */
  readonly by: string;
}

export class GpuPool {
  readonly #gpus = new Map<number, Gpu>();
  readonly #names = new ModelNames();
  readonly #cards = new Cards((uuid) => this.#on(uuid));
  /** The last facts that the scheduler got of each GPU, as text, so that it gets nothing twice. */
  readonly #told = new Map<number, string>();
  readonly #parts: PoolParts;
  readonly #events: PoolEvents;
  /** Workers on one card load their models one after the other: each must see the memory that the one before has left free. */
  readonly #loading = new Mutex();
  /** By their keys, in the order of the configuration. */
  #models: ReadonlyMap<string, ServedModel> = new Map();
  /** Instances that are loaded when their GPUs start. */
  readonly #toLoad = new Set<Instance>();
  readonly #startup = new Startup();
  /** The models that were known when the start was planned. */
  #planned: ReadonlyMap<string, ServedModel> = new Map();
  #waiting: NodeJS.Timeout | undefined;
  #started = false;

  constructor(parts: PoolParts, events: PoolEvents) {
    this.#parts = parts;
    this.#events = events;
    for (const device of parts.devices) this.#add(device);
    this.serve(parts.models ?? []);
    parts.monitor.subscribe((snapshot) => this.#onSnapshot(snapshot));
  }

  /**
   * Plans which models are loaded at the start, and where.
   * @throws {AltLasError} `bad_config`, with both numbers, for models that fit nowhere
   */
  async planStart(): Promise<void> {
    this.#planned = this.#models;
    const { load, misfits } = await planStarts([...this.#gpus.values()], [...this.#models.values()]);
    if (misfits.length > 0) throw new AltLasError("bad_config", misfits.join("\n"));
    for (const instance of load) this.#toLoad.add(instance);
    this.#startup.begin(this.#models.values(), load);
  }

  /** Tells the GPUs to `events` and starts their workers, those with cards once their figures are known. Calling it twice is harmless. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    for (const { device } of this.#gpus.values()) {
      this.#tell(device.id);
      if (!isMonitored(device)) this.#start(device);
    }
    void this.#loadNew(this.#planned);
    this.#waiting = setTimeout(() => this.#startMonitored(), FIRST_FIGURES);
    if (this.#cards.areKnown) this.#startMonitored();
  }

  /**
   * Takes over the models that may be on GPUs from now on. New ones get their instances; those that are gone finish what runs; one that needs
   * another worker, as its source or its slots have changed, gets a successor (succession.ts); files that have come or gone are told. None
   * of them fails a task that runs.
   * @param hasOwn whether each device has a model of its own
   */
  serve(models: readonly ServedModel[], hasOwn = this.#parts.config.models.length === 0): void {
    const before = this.#models;
    this.#models = new Map(models.map((model) => [keyOf(model.settings), model]));
    this.#names.serve(models);
    this.#startup.follow(this.#models);
    for (const gpu of this.#gpus.values()) {
      const { device } = gpu;
      const mine = [...this.#models].filter(([, { settings }]) => mayHold(device, settings));
      gpu.serve({ models: new Map(mine), hasOwn }, (model) => engineOptions(device, model, this.#parts));
    }
    if (this.#started) void this.#loadNew(before);
  }

  /** Takes over the slots and thresholds of another configuration. */
  limit(config: Pick<Config, "gpu">): void {
    for (const gpu of this.#gpus.values()) gpu.limit(limitsOf(gpu.device.own, config));
  }

  /** Successors that could not be loaded are tried again. */
  tryAgain(): void {
    for (const gpu of this.#gpus.values()) gpu.tryAgain();
  }

  /** Loads those of `load: start` that have come since, or may be on other GPUs now. */
  async #loadNew(before: ReadonlyMap<string, ServedModel>): Promise<void> {
    const isNew = (model: ServedModel): boolean => {
      const old = before.get(keyOf(model.settings));
      return !isThere(old) || !isPlacedAlike(old!, model);
    };
    const gpus = [...this.#gpus.values()];
    const models = [...this.#models.values()].filter(isNew);
    const { load, misfits } = await planStarts(gpus, models);
    for (const sentence of misfits) this.#parts.log.warn(`${sentence} It is loaded when it is wanted.`);
    for (const gpu of gpus)
      for (const instance of gpu.instances) if (load.includes(instance)) this.#want(gpu, instance);
    this.#startup.planned(models, load);
  }

  /** The scheduler makes room for it, where there is a GPU that takes anything now. */
  #want(gpu: Gpu, instance: Instance): void {
    if (!gpu.isStarted) this.#toLoad.add(instance);
    else if (!gpu.isUp) instance.load();
    else queueMicrotask(() => this.#askFor(gpu, instance));
  }

  #askFor({ device, instances }: Gpu, instance: Instance): void {
    if (instances.includes(instance)) this.#events.wanted([{ gpuId: device.id, id: instance.id }]);
  }

  /** Loads the model of an instance, unless it is there or on its way. */
  load(ref: InstanceRef): void {
    this.#instance(ref)?.load();
    this.#tellAgain(ref.gpuId);
  }

  /** Unloads the model of an instance, unless a task runs there. @param why one sentence */
  unload(ref: InstanceRef, why: string): void {
    this.#instance(ref)?.unload(why);
    this.#tellAgain(ref.gpuId);
  }

  /** Before an operator has models loaded: see `Instance.prepare`. */
  async prepare(refs: readonly InstanceRef[]): Promise<void> {
    await Promise.all(refs.map((ref) => this.#instance(ref)?.prepare()));
  }

  /**
   * Gives a task to the worker of an instance.
   * @param request a promise: it takes its slot at once, and begins when that is there
   * @param sink hears of it, unless `lost` is told before it has ended
   */
  run({ gpuId, id }: InstanceRef, task: Task, request: Request | Promise<Request>, sink: RunSink): Output {
    return this.#gpus.get(gpuId)!.run(id, task, request, sink);
  }

  /** Has a task stopped: its sink hears of the end, or `lost` is told when its worker fails before. */
  cancel(gpuId: number, task: Task): void {
    this.#gpus.get(gpuId)!.cancel(task);
  }

  /** Drains a GPU, also over restarts of the server: running tasks finish, and it gets no new ones. @throws {AltLasError} `not_found` */
  drain(gpuId: number, { deadlineSeconds, by }: DrainOptions): void {
    const gpu = this.#gpu(gpuId);
    this.#parts.known.setDrained(gpu.device.key, { by, at: wallTime() });
    gpu.drain(`Drained by ${by}.`, deadlineSeconds, by);
  }

  /** Ends a drain, and has a GPU that is faulted or unfit tried again at once. @throws {AltLasError} `not_found` */
  resume(gpuId: number, by: string): void {
    const gpu = this.#gpu(gpuId);
    this.#parts.known.setDrained(gpu.device.key, null);
    gpu.resume(`Resumed by ${by}.`, by);
  }

  /** In `gpu_id` order. @param loadOf what the scheduler has placed on a GPU */
  list(loadOf: (gpuId: number) => Pick<GpuStatus, "taskCount" | "load">): GpuStatus[] {
    return [...this.#gpus.values()].map((gpu) => ({
      ...gpu.status(),
      ...loadOf(gpu.device.id),
    }));
  }

  /** All that can be asked for: see `modelsOf`. */
  models(): readonly ModelStatus[] {
    const staying = Array.from(this.#gpus.values(), ({ device, instances, succession }) => ({
      device,
      instances: instances.filter((one) => succession.whyRetired(one) === null),
    }));
    return modelsOf(staying, [...this.#models.values()], this.#names);
  }

  get gpuIds(): readonly number[] {
    return [...this.#gpus.keys()];
  }

  /** Of all GPUs, in `gpu_id` order. */
  instances(): readonly InstanceStatus[] {
    return [...this.#gpus.values()].flatMap((gpu) => gpu.status().instances);
  }

  /** See `countTokens`. @param model as a request calls it */
  countTokens(request: TextRequest, model: string | null): Promise<number | null> {
    const instances = [...this.#gpus.values()].flatMap((gpu) => gpu.instances);
    return countTokens(instances, request, model === null ? null : this.modelMeantBy(model));
  }

  /** See `ModelNames`. */
  modelMeantBy(asked: string): string {
    return this.#names.meantBy(asked);
  }

  /** See `ModelNames`. */
  modelOfTaskType(type: string): string | null {
    return this.#names.ofTaskType(type);
  }

  /** See `Startup`. */
  readiness(): Readiness {
    return this.#startup.readiness([...this.#gpus.values()], this.#models);
  }

  /** Ends the workers. Calling it twice is harmless. */
  async stop(): Promise<void> {
    clearTimeout(this.#waiting);
    this.#cards.stop();
    await Promise.all([...this.#gpus.values()].map((gpu) => gpu.stop()));
  }

  #add(device: Device): void {
    const { config, log, openChannel, timing = DEFAULT_TIMING } = this.#parts;
    if (isMonitored(device)) for (const uuid of device.uuids) this.#cards.add(uuid);
    const gpu: Gpu = new Gpu(
      {
        device,
        memory: (reading) => roomOn({ device: gpu.device, reading, all: this.#alike(device) }),
        ...this.#cards.under(device.uuids),
        estimate: this.#parts.estimate ?? estimateOf,
        healthCheckInterval: config.gpu.health_check_interval,
        stallTimeout: config.gpu.stall_timeout,
        cancelTimeout: config.tasks.cancel_timeout,
        inherit: config.gpu.worker_environment,
        openChannel,
        memoryBudget: (instance) => this.#memoryBudget(gpu.device, instance),
        loading: this.#loading,
        timing,
        names: this.#names,
        log: log.child({ gpu: device.id }),
      },
      {
        changed: () => this.#tell(device.id),
        lost: (reason, sentence, id) => this.#events.lost({ gpuId: device.id, id }, reason, sentence),
        started: (pid) => void this.#cards.started(device.uuids, pid),
        wanted: (instance) => this.#want(gpu, instance),
      },
    );
    this.#gpus.set(device.id, gpu);
  }

  #start(device: Device): void {
    const drained = this.#parts.known.isDrained(device.key);
    const gpu = this.#gpu(device.id);
    const load = gpu.instances.filter((instance) => this.#toLoad.delete(instance));
    gpu.start(drained ? "Drained before the server was restarted." : null, load);
  }

  #startMonitored(): void {
    clearTimeout(this.#waiting);
    if (this.#waiting === undefined) return;
    this.#waiting = undefined;
    for (const { device } of this.#gpus.values()) if (isMonitored(device)) this.#start(device);
  }

  #gpu(gpuId: number): Gpu {
    const gpu = this.#gpus.get(gpuId);
    if (gpu !== undefined) return gpu;
    const ids = [...this.#gpus.keys()].join(", ");
    throw new AltLasError("not_found", `There is no GPU ${gpuId}; there are ${ids}.`);
  }

  /** undefined: it is not there any more. */
  #instance({ gpuId, id }: InstanceRef): Instance | undefined {
    return this.#gpus.get(gpuId)!.instances.find((one) => one.id === id);
  }

  /** Those of the same kind. */
  #alike({ kind }: Device): readonly Gpu[] {
    return [...this.#gpus.values()].filter(({ device }) => device.kind === kind);
  }

  /** Also what was told: whoever asks for a change must learn that there was none. */
  #tellAgain(gpuId: number): void {
    this.#told.delete(gpuId);
    this.#tell(gpuId);
  }

  #tell(gpuId: number): void {
    if (!this.#started) return;
    const facts = this.#gpus.get(gpuId)!.facts();
    const told = JSON.stringify(facts, withSets);
    if (told === this.#told.get(gpuId)) return;
    this.#told.set(gpuId, told);
    this.#events.changed(facts);
  }

  // --- what the drivers say --------------------------------------------------------------------------------------

  #onSnapshot({ samples, lost, events }: Snapshot): void {
    const readings = this.#cards.read(samples);
    for (const gpu of this.#gpus.values()) {
      const { uuids } = gpu.device;
      const gone = lost.find(({ uuid }) => uuids.includes(uuid));
      if (gone !== undefined) gpu.vanish(gone.reason);
      for (const event of events) if (uuids.includes(event.uuid)) gpu.report(event);
      const cards = uuids.map((uuid) => readings.get(uuid)).filter((card) => card !== undefined);
      if (cards.length === uuids.length) gpu.read(combine(cards));
    }
    if (this.#started) this.#startMonitored();
  }

  #on(uuid: string): readonly Instance[] {
    return this.#instances(({ uuids }) => uuids.includes(uuid));
  }

  #instances(isMeant: (device: Device) => boolean): readonly Instance[] {
    return [...this.#gpus.values()].flatMap(({ device, instances }) => (isMeant(device) ? instances : []));
  }

  /** The free bytes of a card, without what the others need that are yet to load there. */
  async #memoryBudget(device: Device, about: Instance): Promise<number | null> {
    const { isMachine, hasCards } = deviceTraits(device);
    const { memory } = device.thresholds;
    if (isMachine) {
      const all = this.#instances((one) => deviceTraits(one).isMachine);
      return budgetOf(process.availableMemory() * memory, about, all);
    }
    if (!hasCards) return null;
    const free = await this.#cards.free(device.uuids);
    const shares = free.map((bytes, place) =>
      bytes === null ? null : budgetOf(bytes * memory, about, this.#on(device.uuids[place]!)),
    );
    return shares.reduce((sum, share) => (sum === null || share === null ? null : sum + share), 0);
  }
}

/** Of a set JSON would only say that it is an object. */
function withSets(_key: string, value: unknown): unknown {
  return value instanceof Set ? [...value] : value;
}

/** Whether a driver tells about it. */
function isMonitored({ vendor }: Device): boolean {
  return vendor === "nvidia" || vendor === "amd";
}
