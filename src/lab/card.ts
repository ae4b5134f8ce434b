/**
 * The models of one GPU that come and go: which are there, which are being loaded, one after the other as on a real card, and which leave as
 * nothing has used them for long. The scheduler decides what is loaded and unloaded; this does what the server's pool does.
 */
import type { GpuFacts, InstanceFacts, InstanceState } from "../gpu/facts.ts";
import { ANY_NUMBER, instanceFacts, type LabGpu, type LabModel } from "./fleet.ts";
import type { Machine } from "./machine.ts";

/** A model and how it is with it. Instances have the numbers of their places. */
interface Place {
  readonly model: LabModel;
  state: Extract<InstanceState, "cold" | "starting" | "ready" | "unloading">;
  /** Whether it was there before: what a load tells of a model stays known. */
  wasLoaded: boolean;
  running: number;
  /** When its state changes by itself, in milliseconds; Infinity: it does not. */
  at: number;
}

export class Card {
  readonly #id: number;
  readonly #gpu: LabGpu;
  readonly #machine: Pick<Machine, "forget">;
  /** null: as many tasks as its models have slots. */
  readonly #mostTasks: number | null;
  readonly #places: readonly Place[];
  /** Those that are to be loaded; the first one is being loaded. */
  readonly #loads: Place[] = [];
  #nextAt = Infinity;
  #reloads = 0;
  #loaded = 0;

  /** @param mostTasks tasks at once, of all its models together; null: any number, as the GPU lets them wait by itself */
  constructor(id: number, gpu: LabGpu, machine: Pick<Machine, "forget">, mostTasks: number | null) {
    this.#id = id;
    this.#gpu = gpu;
    this.#machine = machine;
    this.#mostTasks = mostTasks;
    this.#places = (gpu.models ?? []).map((model) => ({
      model,
      state: model.atStart ? "ready" : "cold",
      wasLoaded: model.atStart,
      running: 0,
      at: model.atStart && model.keepAlive !== null ? model.keepAlive * 1000 : Infinity,
    }));
    this.#plan();
  }

  /** When something happens by itself, in milliseconds; Infinity: nothing does. */
  get nextAt(): number {
    return this.#nextAt;
  }

  /** Loads that have ended, those of the start not among them. */
  get loads(): number {
    return this.#loaded;
  }

  /** Those of models that had been there before. */
  get reloads(): number {
    return this.#reloads;
  }

  /** Does what is due at `nextAt`. The facts have changed then. */
  step(): void {
    const now = this.#nextAt;
    const place = this.#places.find(({ at }) => at === now)!;
    place.at = Infinity;
    if (place.state === "starting") this.#hasLoaded(place, now);
    else if (place.state === "unloading") place.state = "cold";
    else this.#leave(place, now);
    this.#plan();
  }

  load(id: number, now: number): void {
    const place = this.#places[id]!;
    place.state = "starting";
    place.at = Infinity;
    this.#loads.push(place);
    if (this.#loads.length === 1) this.#begin(now);
    this.#plan();
  }

  /** Nothing runs there. */
  unload(id: number, now: number): void {
    this.#leave(this.#places[id]!, now);
    this.#plan();
  }

  starts(id: number): void {
    const place = this.#places[id]!;
    place.running++;
    place.at = Infinity;
    this.#plan();
  }

  ends(id: number, now: number): void {
    const place = this.#places[id]!;
    if (--place.running === 0) this.#isIdle(place, now);
    this.#plan();
  }

  facts(): GpuFacts {
    const memory = this.#gpu.memory ?? null;
    return {
      id: this.#id,
      memoryFree: null,
      othersUtilization: 0,
      mostTasks: this.#mostTasks,
      memory: memory === null ? null : { total: memory, reserved: 0 },
      instances: this.#places.map((place, id) => this.#factsOf(place, id)),
    };
  }

  #factsOf({ model, state, wasLoaded }: Place, id: number): InstanceFacts {
    const slots = this.#mostTasks === null ? ANY_NUMBER : model.slots;
    const known = instanceFacts({ ...model, slots });
    // A model that is larger than its card is not one that may be loaded there one day.
    const isTooLarge = state === "cold" && model.memory > (this.#gpu.memory ?? Infinity);
    return {
      ...known,
      id,
      state: isTooLarge ? "unfit" : state,
      // So much is known of one that was never loaded.
      ...(!wasLoaded && { can: null, context: null, kvBytesPerToken: 0, maxTokenBytes: Number.MAX_SAFE_INTEGER }),
      residency: {
        memory: model.memory,
        fileBytes: 0,
        loadSeconds: wasLoaded ? model.speed.loadSeconds : null,
        pinned: false,
      },
    };
  }

  #begin(now: number): void {
    const [place] = this.#loads;
    if (place !== undefined) place.at = now + place.model.speed.loadSeconds * 1000;
  }

  #hasLoaded(place: Place, now: number): void {
    this.#loads.shift();
    this.#loaded++;
    if (place.wasLoaded) this.#reloads++;
    place.state = "ready";
    place.wasLoaded = true;
    this.#isIdle(place, now);
    this.#begin(now);
  }

  #isIdle(place: Place, now: number): void {
    const { keepAlive } = place.model;
    place.at = keepAlive === null ? Infinity : now + keepAlive * 1000;
  }

  #leave(place: Place, now: number): void {
    place.state = "unloading";
    place.at = now;
    this.#machine.forget(this.#places.indexOf(place));
  }

  #plan(): void {
    this.#nextAt = this.#places.reduce((least, { at }) => Math.min(least, at), Infinity);
  }
}
