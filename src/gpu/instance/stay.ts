/** The stay of a model on a GPU: its file, the memory that it takes, how long it took to load, and since when nothing has used it. */
import type { DeviceLimits } from "../inventory/device-limits.ts";
import { wallTime } from "../../common/clock.ts";
import type { EngineInfo } from "../../engine/engine.ts";
import { type Estimate, takenBy } from "../../engine/estimate.ts";
import type { CardMemory, Residency } from "../facts.ts";
import { engineOn, isSameFile, type ServedModel } from "../served.ts";
import type { InstanceEngine, InstanceOptions } from "./instance-parts.ts";

/** By how much more is reckoned with after a load that found too little memory. */
const MORE = 1.25;

const IDLE = "No task has used the model for as long as its keep_alive says.";

export interface StayEvents {
  /** Its residency has changed. */
  changed(): void;
  /** Nothing has used the model for `keep_alive` seconds. @param why one sentence */
  idle(why: string): void;
  /** Nothing runs there, and its worker has fewer slots than it is to have. */
  outgrown(): void;
}

export class Stay {
  readonly #options: Pick<InstanceOptions, "device" | "estimate" | "footprint">;
  readonly #events: StayEvents;
  #served: ServedModel | null;
  #engine: InstanceEngine;
  #estimate: Estimate | null = null;
  /** Bytes; null: it was not loaded yet. */
  #measured: number | null = null;
  /** Memory that its engine takes, as it planned; null: it did not plan. */
  #planned: EngineInfo["memory"] = null;
  #measuredOverhead: number | null = null;
  /** The last load: when it began, on the monotonic clock, and the slots that it was asked for. */
  #load = { began: 0, slots: Infinity };
  #loadSeconds: number | null = null;
  #lastUsedAt: number | null = null;
  #idleTimer: NodeJS.Timeout | undefined;
  /** Milliseconds on the monotonic clock; null: a task uses its model, or that is not there. */
  #idleSince: number | null = null;
  /** Resolves when it is known what its present file takes, as far as that can be known. */
  reckoned: Promise<void>;

  constructor({ engine, served, ...options }: InstanceOptions, events: StayEvents) {
    this.#options = options;
    this.#events = events;
    this.#engine = engine;
    this.#served = served;
    this.reckoned = this.#reckon();
  }

  /** null: its device's own. */
  get served(): ServedModel | null {
    return this.#served;
  }

  /** The options that are known before the model is loaded. */
  get engine(): InstanceEngine {
    return this.#engine;
  }

  get residency(): Residency {
    const file = this.#served?.file ?? null;
    return {
      // A file that is yet to be fetched takes nothing.
      memory: file?.state === "fetching" ? 0 : (this.#measured ?? this.#estimate?.wanted ?? null),
      fileBytes: file?.state === "there" ? file.bytes : 0,
      loadSeconds: this.#loadSeconds,
      pinned: this.#served === null,
    };
  }

  /** As it would be there: a model that wants more than it can ever have gets a smaller context or fewer slots, if that is enough for it. */
  residencyIn(room: CardMemory | null): Residency {
    const { residency } = this;
    if (room === null || this.#measured !== null || this.#estimate === null || residency.memory === 0) return residency;
    const most = Math.max(this.#estimate.least, room.total - room.reserved);
    return { ...residency, memory: Math.min(this.#estimate.wanted, most) };
  }

  /** Unix milliseconds when a task last began or ended there; null: none has. */
  get lastUsedAt(): number | null {
    return this.#lastUsedAt;
  }

  /** Bytes beside weights and KV cache, for the plan of the next load; null: not known. */
  get measuredOverhead(): number | null {
    return this.#measuredOverhead;
  }

  /** Its settings have changed; or its file has come, has changed its place, or is gone. */
  update(served: ServedModel): void {
    const before = this.#served;
    this.#served = served;
    if (before?.settings.keep_alive !== served.settings.keep_alive) this.#watch();
    if (isSameFile(before?.file, served.file)) return;
    this.#engine = { ...this.#engine, model: engineOn(this.#options.device, served).model };
    this.reckoned = this.#reckon();
  }

  /** Other limits hold for its next load. With more slots than its worker has, that comes as soon as nothing runs there. */
  refit({ slots, thresholds }: DeviceLimits, tasks: number): void {
    const wanted = { slots: this.#served?.settings.slots ?? slots, memoryShare: thresholds.memory };
    if (this.#engine.slots === wanted.slots && this.#engine.memoryShare === wanted.memoryShare) return;
    this.#engine = { ...this.#engine, ...wanted };
    this.reckoned = this.#reckon();
    if (tasks === 0 && this.#isOutgrown) this.#events.outgrown();
  }

  get #isOutgrown(): boolean {
    return this.#load.slots < this.#engine.slots;
  }

  /** A worker begins to load it. */
  loading(): void {
    this.#load = { began: performance.now(), slots: this.#engine.slots };
  }

  /** Its model is there. */
  loaded({ memory }: EngineInfo): void {
    this.#loadSeconds = Math.round(performance.now() - this.#load.began) / 1000;
    this.#planned = memory;
    if (memory !== null) this.#measured = takenBy(this.#engine, memory);
    this.used(0);
  }

  /** The driver's figures are new. */
  measure(): void {
    const footprint = this.#options.footprint();
    if (footprint === null) return;
    this.#measured = footprint;
    if (this.#planned === null) return;
    this.#measuredOverhead = Math.max(0, footprint - this.#planned.weights - this.#planned.kvCache);
  }

  /** Less memory than it needs was free, whatever was reckoned. */
  needsMore(): void {
    this.#measured = null;
    if (this.#estimate === null) return;
    const { wanted, least } = this.#estimate;
    this.#estimate = { wanted: Math.ceil(wanted * MORE), least: Math.ceil(least * MORE) };
  }

  /** A task has begun or ended there. @param tasks that run there now */
  used(tasks: number): void {
    this.#lastUsedAt = wallTime();
    this.#idleSince = tasks === 0 ? performance.now() : null;
    this.#watch();
    // The slot that is free may be filled at once.
    if (tasks === 0 && this.#isOutgrown) queueMicrotask(() => this.#events.outgrown());
  }

  /** Nothing is there any more that could be idle. */
  ends(): void {
    this.#idleSince = null;
    this.#watch();
  }

  #watch(): void {
    clearTimeout(this.#idleTimer);
    const seconds = this.#served?.settings.keep_alive;
    if (seconds === undefined || this.#idleSince === null) return;
    const left = Math.max(0, this.#idleSince + seconds * 1000 - performance.now());
    this.#idleTimer = setTimeout(() => this.#events.idle(IDLE), left);
  }

  async #reckon(): Promise<void> {
    const engine = this.#engine;
    const isThere = this.#served !== null && this.#served.file?.state !== "fetching";
    const estimate = isThere ? await this.#options.estimate(engine).catch(() => null) : null;
    if (engine !== this.#engine) return;
    this.#estimate = estimate ?? (isThere ? this.#unread : null);
    this.#events.changed();
  }

  /** A file that cannot be read counts with its size: so its load is tried, and says what is wrong, instead of being waited for. */
  get #unread(): Estimate {
    const { fileBytes } = this.residency;
    return { wanted: fileBytes, least: fileBytes };
  }
}
