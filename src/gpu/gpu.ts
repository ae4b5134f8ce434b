/**
 * One gpu_id: a card, or several that hold one model together, and the instances on it. Events of drivers and operators go to its `Health`,
 * which alone decides its state. The instances start and end their workers by that.
 */
import { wallTime } from "../common/clock.ts";
import { wordsOf } from "../reasons.ts";
import type { Output } from "../output.ts";
import type { Request } from "../request.ts";
import type { RunSink, Task } from "../task.ts";
import { Health } from "./card/health.ts";
import type { Reading } from "./card/readings.ts";
import { describeXid, sentenceOfXid } from "./card/xid.ts";
import { deviceTraits, isToldByWorker } from "./device-kinds.ts";
import { factsOf, type GpuView, statusOf } from "./gpu-view.ts";
import type { InstanceEngine, InstanceEvents, InstanceSettings } from "./instance/instance-parts.ts";
import { Instance } from "./instance/instance.ts";
import type { LossReason } from "./instance/lifecycle.ts";
import type { DeviceLimits } from "./inventory/device-limits.ts";
import type { Device } from "./inventory/devices.ts";
import { ModelEvents } from "./model-events.ts";
import { type CardMemory, type ExternalLoad, type GpuFacts, type GpuState, isServing } from "./facts.ts";
import { tellOfGpu } from "./gpu-events.ts";
import type { ServedModel } from "./served.ts";
import type { GpuStatus } from "./status.ts";
import { type Served, Succession } from "./succession.ts";
import { Crowding } from "./card/external-load.ts";
import type { GpuEvent } from "./telemetry/telemetry.ts";
import type { Usage } from "./worker/worker.ts";

/** Events that a GPU tells the pool. */
export interface GpuEvents extends Pick<InstanceEvents, "changed" | "started"> {
  /** Everything that still ran on one of its instances is cut off. @param sentence what has happened; null: the reason says it all */
  lost(reason: LossReason, sentence: string | null, instance: number): void;
  /** An instance is to be loaded, as soon as there is room. */
  wanted(instance: Instance): void;
}

export interface GpuOptions extends Omit<InstanceSettings, "memoryBudget" | "beside"> {
  readonly device: Device;
  /** The memory in which models may be now; null: nobody can tell. */
  readonly memory: (reading: Reading | null) => CardMemory | null;
  /** Bytes that the worker of an instance may take when it starts now; null: not known. */
  readonly memoryBudget: (instance: Instance) => Promise<number | null>;
}

/** Milliseconds after which an old reading is ignored. */
const READING_EXPIRES = 30_000;

export class Gpu {
  /** Only its limits ever change. */
  device: Device;
  readonly #options: GpuOptions;
  readonly #events: GpuEvents;
  readonly #health: Health;
  /** In the order of their ids. */
  #instances: readonly Instance[] = [];
  #nextId = 0;
  readonly #succession: Succession;
  #isStarted = false;
  readonly #crowding: Crowding;
  readonly #xids: Record<string, number> = {};
  #reading: Reading | null = null;
  /** Milliseconds on the monotonic clock. */
  #readAt = 0;
  /** Milliseconds on the monotonic clock when its card came back last. */
  #appearedAt = -Infinity;
  #crowded: ExternalLoad | null = null;
  #loggedState: GpuState = "starting";
  readonly #modelEvents: ModelEvents;
  #deadlineTimer: NodeJS.Timeout | undefined;

  constructor(options: GpuOptions, events: GpuEvents) {
    const { device } = options;
    this.device = device;
    this.#options = options;
    this.#events = events;
    this.#crowding = new Crowding(device.thresholds);
    this.#modelEvents = new ModelEvents(options.log, (event, why, model) => this.#health.note(event, why, { model }));
    this.#succession = new Succession(options.log, {
      idle: (instance, why) => void this.#end(instance, why),
      wanted: (instance) => events.wanted(instance),
    });
    this.#health = new Health({
      now: () => performance.now(),
      wall: wallTime,
      maxTemperature: device.maxTemperature,
      changed: () => this.#onHealth(),
      noted: (event, about) => tellOfGpu(device.id, event, about),
    });
  }

  /** Other limits hold from now on. Tasks that run stay, also where fewer may run; more slots than an instance was loaded with take a load. */
  limit(limits: DeviceLimits): void {
    const { slots, thresholds } = limits;
    this.device = { ...this.device, slots, thresholds };
    this.#crowding.set(thresholds);
    for (const { stay, tasks } of this.#instances) stay.refit(limits, tasks);
    this.#events.changed();
  }

  /** Gives it an instance. @param served the model that it has by name; null: one of its own */
  add(engine: InstanceEngine, served: ServedModel | null): Instance {
    const id = this.#nextId++;
    const instance: Instance = new Instance(
      {
        ...this.#options,
        id,
        engine,
        served,
        health: this.#health.add(),
        isAvailable: () => this.isUp,
        memoryBudget: () => this.#options.memoryBudget(instance),
        beside: () => this.#instances.filter((one) => one !== instance && one.isWanted).length,
      },
      {
        ...this.#events,
        left: () => this.#onLeft(instance),
        lost: (reason, sentence) => this.#onLost(instance, reason, sentence),
        used: (usage, before) => {
          this.#modelEvents.beat(instance, usage);
          this.#onUsed(usage, before);
        },
        noteRoom: (event, why) => this.#noteRoom(event, why),
      },
    );
    this.#instances = [...this.#instances, instance];
    if (this.#isStarted) this.#begin(instance);
    return instance;
  }

  /**
   * Takes over the models that it may hold. Instances of those that are gone are retired; those that need another worker get successors.
   * @param engineFor null: for its own
   */
  serve(served: Pick<Served, "models" | "hasOwn">, engineFor: (model: ServedModel | null) => InstanceEngine): void {
    this.#succession.serve(this.#instances, {
      ...served,
      isUp: this.isUp,
      add: (model) => this.add(engineFor(model), model),
    });
    this.#events.changed();
  }

  /** Successors that could not be loaded are tried again. */
  tryAgain(): void {
    this.#succession.tryAgain();
  }

  /** Whether its card is there and no operator has taken it out. */
  get isUp(): boolean {
    return this.#isStarted && !this.#health.isLost && !this.#health.isDraining;
  }

  get isStarted(): boolean {
    return this.#isStarted;
  }

  get succession(): Pick<Succession, "isSuccessor" | "whyRetired"> {
    return this.#succession;
  }

  async #end(instance: Instance, why: string): Promise<void> {
    if (instance.isWanted || instance.use !== "none") await instance.end(why);
    this.#options.log.info({ model: instance.modelName, why }, "model gone");
    this.#instances = this.#instances.filter((one) => one !== instance);
    this.#succession.forget(instance);
    this.#health.remove(instance.health);
    this.#events.changed();
    await instance.stop();
  }

  /** Starts the workers of what is to be there, unless they cannot serve. @param drained why an operator took it out before this start; null: nobody did @param load models by name that are to be there */
  start(drained: string | null, load: readonly Instance[] = []): void {
    const { lost } = this.device;
    this.#isStarted = true;
    if (drained !== null) this.#health.drain(drained, false);
    if (lost !== null) this.#health.vanish(lost);
    for (const instance of this.#instances) this.#begin(instance);
    for (const instance of load) instance.load();
    this.#health.begin();
  }

  #begin(instance: Instance): void {
    if (this.device.unfit !== null) instance.health.refuse(this.device.unfit);
    instance.launch();
  }

  /** Ends its workers. Calling it twice is harmless. */
  async stop(): Promise<void> {
    clearTimeout(this.#deadlineTimer);
    await Promise.all(this.#instances.map((instance) => instance.stop()));
  }

  // --- tasks -----------------------------------------------------------------------------------------------------

  /** Gives a task to the worker of one of its instances. @param sink hears of it, unless `lost` is told before it has ended */
  run(instance: number, task: Task, request: Request | Promise<Request>, sink: RunSink): Output {
    return this.instance(instance).run(task, request, sink);
  }

  /** Has a task stopped: its sink hears of the end, or `lost` is told when its worker fails before. */
  cancel(task: Task): void {
    for (const instance of this.#instances) instance.cancel(task);
  }

  get #tasks(): number {
    return this.#instances.reduce((sum, { tasks }) => sum + tasks, 0);
  }

  // --- what it looks like ----------------------------------------------------------------------------------------

  /** In the order of their ids. */
  get instances(): readonly Instance[] {
    return this.#instances;
  }

  /** @throws {Error} it has no such instance, which is a bug of the caller */
  instance(id: number): Instance {
    for (const instance of this.#instances) if (instance.id === id) return instance;
    throw new Error(`GPU ${this.device.id} has no instance ${id}`);
  }

  /** Whether each of its instances has loaded its model or failed to, once at least. */
  get settled(): boolean {
    return this.#instances.every(({ life }) => life.settled);
  }

  get state(): GpuState {
    return this.#health.state;
  }

  facts(): GpuFacts {
    return factsOf(this.#view());
  }

  status(): Omit<GpuStatus, "taskCount" | "load"> {
    return statusOf(this.#view());
  }

  #view(): GpuView {
    const reading = this.#current();
    return {
      device: this.device,
      health: this.#health,
      instances: this.#instances,
      succession: this.#succession,
      reading,
      memory: this.#options.memory(reading),
      crowded: this.#crowded,
      xids: this.#xids,
    };
  }

  /** The reading, unless it is too old: the last figures of a dead driver must not decide for ever whether a GPU is crowded. */
  #current(): Reading | null {
    return performance.now() - this.#readAt > READING_EXPIRES ? null : this.#reading;
  }

  // --- what the drivers say --------------------------------------------------------------------------------------

  /** Its figures are new. */
  read(reading: Reading): void {
    this.#reading = reading;
    this.#readAt = performance.now();
    this.#judge(reading.othersMemory, reading.othersUtilization, reading.temperature);
    if (this.#health.isLost && this.device.unfit === null) this.#appear();
    for (const instance of this.#instances) instance.learnOverhead();
    this.#events.changed();
  }

  /** Its card is gone. */
  vanish(why: string): void {
    if (this.#health.isLost) return;
    this.#health.vanish(why);
    for (const instance of this.#instances) instance.lose("gpu_lost", why);
  }

  /** The driver reports an error of its card. */
  report(event: GpuEvent): void {
    if (event.type === "double_bit_ecc") {
      const why = "The driver reports a memory error that could not be corrected (double-bit ECC).";
      this.#health.note("double_bit_ecc", why);
      return this.#fail(why);
    }
    const why = sentenceOfXid(event.xid);
    this.#xids[event.xid] = (this.#xids[event.xid] ?? 0) + 1;
    this.#health.note("xid", why);
    this.#options.log.warn({ xid: event.xid }, why);
    const { action } = describeXid(event.xid);
    if (action === "reset") this.#fail(`${why} The card needs a reset.`);
    if (action === "restart")
      for (const instance of this.#instances) instance.replace(`${why} Its worker is being replaced.`);
  }

  #fail(why: string): void {
    for (const instance of this.#instances) instance.fail(why);
  }

  /** Its card is there again. A card that comes and goes is not followed each time. */
  #appear(): void {
    const now = performance.now();
    const flaps = now - this.#appearedAt < this.#options.timing.healthyAfter;
    this.#appearedAt = now;
    this.#health.appear();
    for (const instance of this.#instances) instance.cardIsBack(flaps);
  }

  /** @param memory share that others take @param utilization share that others use @param temperature degrees; null: not known */
  #judge(memory: number | null, utilization: number | null, temperature: number | null): void {
    const crowded = this.#crowding.update(performance.now(), memory, utilization);
    if (crowded !== this.#crowded) this.#onCrowded(crowded);
    this.#health.temperature(temperature);
  }

  // --- what an operator says -------------------------------------------------------------------------------------

  /**
   * Takes no new tasks. When no task runs there its workers end, so that the card can be serviced.
   * @param deadlineSeconds after which running tasks go back into the queue; null: never @param by the user who wants it
   */
  drain(why: string, deadlineSeconds: number | null, by?: string): void {
    this.#health.drain(why, this.#tasks > 0, by);
    clearTimeout(this.#deadlineTimer);
    for (const instance of this.#instances) instance.releaseIfIdle();
    if (this.#tasks === 0 || deadlineSeconds === null) return;
    this.#deadlineTimer = setTimeout(() => {
      for (const instance of this.#instances) if (instance.tasks > 0) instance.lose("gpu_drained", null);
    }, deadlineSeconds * 1000);
  }

  /** Ends a drain, and tries again at once when it is faulted or unfit. */
  resume(why: string, by?: string): void {
    clearTimeout(this.#deadlineTimer);
    if (!isServing(this.state)) this.#health.note("resumed", why, { by });
    if (this.#health.isDraining) this.#health.resume(why);
    for (const instance of this.#instances) instance.resume();
  }

  // --- what its instances say ------------------------------------------------------------------------------------

  /** Nothing ever runs on one that placement does not know. */
  #onLost(instance: Instance, reason: LossReason, sentence: string | null): void {
    if (!this.#succession.isHidden(instance)) this.#events.lost(reason, sentence, instance.id);
  }

  #onLeft(from: Instance): void {
    // Listeners that are told next must find it: tasks are given back after they have left.
    if (this.#succession.whyRetired(from) !== null) queueMicrotask(() => this.#succession.letGo(from));
    if (!this.#health.isDraining) return;
    if (this.#tasks === 0) {
      clearTimeout(this.#deadlineTimer);
      this.#health.idle();
    }
    for (const instance of this.#instances) instance.releaseIfIdle();
  }

  /** Without a driver all figures come from the workers. */
  #onUsed(usage: Usage | null, before: Usage | null): void {
    if (usage === null) {
      if (isToldByWorker(this.device)) this.#reading = null;
      return;
    }
    const reading = deviceTraits(this.device).reading(this.device, usage, before);
    if (reading !== null) return this.read(reading);
    // The last figures must not keep it crowded for ever when no new ones come.
    if (this.#current() === null) this.#judge(null, null, null);
    this.#events.changed();
  }

  #onCrowded(crowded: ExternalLoad | null): void {
    this.#crowded = crowded;
    const why = crowded === null ? "Others leave it enough room again." : `It gets no new tasks: ${wordsOf(crowded)}.`;
    this.#noteRoom(crowded === null ? "free" : "crowded", why);
  }

  #noteRoom(event: "crowded" | "free", why: string): void {
    this.#health.note(event, why);
    this.#options.log.info(why);
  }

  #onHealth(): void {
    const { state, reason } = this.#health;
    if (state !== this.#loggedState) {
      const serious = state === "unfit" || state === "faulted" || state === "lost";
      this.#options.log[serious ? "error" : "info"]({ state, reason }, "GPU state changed");
    }
    this.#loggedState = state;
    this.#modelEvents.look(this.#instances);
    this.#succession.settle();
    this.#events.changed();
  }
}
