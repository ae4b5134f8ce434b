/** The physical cards under all GPUs: their latest figures, the work of this server's workers there, and the memory left for models. */
import type { InstanceSettings } from "../instance/instance-parts.ts";
import type { Instance } from "../instance/instance.ts";
import { visiblePids } from "../telemetry/own-pids.ts";
import type { GpuSample } from "../telemetry/telemetry.ts";
import { OthersMeter, type OwnUse } from "./external-load.ts";
import { CardEnergy, type Energy, JointEnergy } from "./energy.ts";
import type { CardReading } from "./readings.ts";

/** Milliseconds to wait for figures of the cards: without them nobody knows how much memory a model may take. */
export const FIRST_FIGURES = 5000;

/** Of the bytes that a worker has held, the share that must be free again; others may take memory meanwhile. */
const FREED_SHARE = 0.5;
/** Figures that are looked at for that. */
const FREED_LOOKS = 10;

/** A physical card, or a part of one that the driver treats as one. */
interface Card {
  readonly meter: OthersMeter;
  readonly energy: CardEnergy;
  sample: GpuSample | null;
  /** Milliseconds on the monotonic clock. */
  sampledAt: number;
  /** Whether a worker of ours has run there; its memory may still show in the figures. */
  used: boolean;
}

/** The workers of this server that are on a card. */
type WorkersOn = (uuid: string) => readonly Pick<Instance, "use" | "idleFor" | "pids">[];

export class Cards {
  readonly #cards = new Map<string, Card>();
  readonly #workersOn: WorkersOn;
  /** By process id of a worker, every number under which the kernel knows it. */
  readonly #numbers = new Map<number, readonly number[]>();
  #stopped = false;
  /** Callers that wait for figures taken after now. */
  #waiters: { snapshots: number; readonly wake: () => void }[] = [];

  constructor(workersOn: WorkersOn) {
    this.#workersOn = workersOn;
  }

  add(uuid: string): void {
    if (this.#cards.has(uuid)) return;
    this.#cards.set(uuid, {
      meter: new OthersMeter(),
      energy: new CardEnergy(),
      sample: null,
      sampledAt: 0,
      used: false,
    });
  }

  /** Whether a driver has told of one of them. */
  get areKnown(): boolean {
    return this.#cards.values().some(({ sample }) => sample !== null);
  }

  /** A worker process has been started on these. */
  async started(uuids: readonly string[], pid: number): Promise<void> {
    for (const uuid of uuids) if (this.#cards.has(uuid)) this.#cards.get(uuid)!.used = true;
    this.#numbers.set(pid, [pid]);
    this.#numbers.set(pid, await visiblePids(pid));
  }

  /** Takes over new figures of the drivers. @returns those of the cards that are known here, by UUID */
  read(samples: readonly GpuSample[]): ReadonlyMap<string, CardReading> {
    for (const waiter of this.#waiters) if (--waiter.snapshots === 0) waiter.wake();
    return new Map(samples.flatMap((sample) => this.#readCard(sample)));
  }

  /** Bytes that are free on each of these; null: the driver does not tell, or its last figures are too old. */
  async free(uuids: readonly string[]): Promise<readonly (number | null)[]> {
    if (uuids.some((uuid) => this.#cards.get(uuid)?.used)) await this.#figuresAfterNow();
    return uuids.map((uuid) => this.#freeOn(uuid));
  }

  /**
   * To be called before a worker that holds so many bytes ends. The function that it returns is called when the worker has ended, and
   * resolves when figures measured after that show the memory free, or when that takes too long: a driver may be slow to take memory back
   * from a process.
   */
  watchFreed(uuids: readonly string[], bytes: number): () => Promise<void> {
    const before = this.#freeOnAll(uuids);
    return async () => {
      if (before === null) return;
      for (let looks = 0; looks < FREED_LOOKS && !this.#stopped; looks++) {
        await this.free(uuids);
        const now = this.#freeOnAll(uuids);
        if (now === null || now - before >= bytes * FREED_SHARE) return;
      }
    };
  }

  /** Bytes that a worker takes of these; null: there are none, it is not alone there, or its share is not known. */
  footprint(uuids: readonly string[]): number | null {
    if (uuids.length === 0 || uuids.some((uuid) => this.#workersOn(uuid).length > 1)) return null;
    const each = uuids.map((uuid) => this.#cards.get(uuid)?.meter.footprint ?? null);
    return each.reduce((sum, bytes) => (sum === null || bytes === null ? null : sum + bytes), 0);
  }

  /**
   * The part of them that the instances of a GPU with these need. The energy that instances take of one card adds up to what that takes, also where
   * they belong to several GPUs.
   */
  under(uuids: readonly string[]): Pick<InstanceSettings, "memoryFreed" | "footprint"> & { readonly energy: Energy } {
    return {
      memoryFreed: (bytes) => this.watchFreed(uuids, bytes),
      footprint: () => this.footprint(uuids),
      energy: new JointEnergy(uuids.flatMap((uuid) => this.#cards.get(uuid)?.energy ?? [])),
    };
  }

  /** Ends all waits for figures. */
  stop(): void {
    this.#stopped = true;
    for (const { wake } of this.#waiters) wake();
  }

  #readCard(sample: GpuSample): [string, CardReading][] {
    const card = this.#cards.get(sample.uuid);
    if (card === undefined) return [];
    card.sample = sample;
    card.sampledAt = performance.now();
    card.energy.read(sample.power, card.sampledAt);
    return [[sample.uuid, { sample, others: card.meter.update(sample, this.#ownUse(sample.uuid)) }]];
  }

  /** The use of a card by this server's workers. */
  #ownUse(uuid: string): OwnUse {
    const here = this.#workersOn(uuid).filter(({ use }) => use !== "none");
    const workers = here.length === 0 ? "none" : here.every(({ use }) => use === "loaded") ? "loaded" : "loading";
    const idleFor = Math.min(...here.map((worker) => worker.idleFor));
    const pids = here.flatMap((worker) => worker.pids.flatMap((pid) => this.#numbers.get(pid) ?? [pid]));
    return { pids: new Set(pids), workers, idleFor };
  }

  /** null: the figures of one are missing. */
  #freeOnAll(uuids: readonly string[]): number | null {
    const each = uuids.map((uuid) => this.#freeOn(uuid));
    return each.reduce((sum, free) => (sum === null || free === null ? null : sum + free), 0);
  }

  #freeOn(uuid: string): number | null {
    const card = this.#cards.get(uuid);
    if (card === undefined || performance.now() - card.sampledAt > FIRST_FIGURES) return null;
    return card.sample?.memoryFree ?? null;
  }

  /** Resolves when there are figures that were measured after now, or when none have come for a while. */
  #figuresAfterNow(): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiters = this.#waiters.filter((one) => one !== waiter);
        resolve();
      };
      const timer = setTimeout(wake, FIRST_FIGURES);
      // The first one to come may have been measured before.
      const waiter = { snapshots: 2, wake };
      this.#waiters.push(waiter);
    });
  }
}
