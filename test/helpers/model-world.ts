/**
 * A scheduler over GPUs whose models come and go, and a pool that loads and unloads them when the test says so. The pool keeps a ledger of its
 * own, and holds each load and each unload against it.
 */
import assert from "node:assert/strict";
import { type CardMemory, type InstanceFacts, type InstanceRef, type InstanceState } from "../../src/gpu/facts.ts";
import { type Need } from "../../src/request.ts";
import { type SchedulerSettings } from "../../src/scheduler/effects.ts";
import { isFinal, type Task } from "../../src/task.ts";
import { facts, gpuOf, World } from "./scheduling.ts";

export interface ModelPlan {
  readonly name: string;
  /** Bytes. */
  readonly memory: number;
  readonly slots: number;
  readonly context: number;
  readonly can: ReadonlySet<Need>;
  readonly loadSeconds: number;
}

export interface GpuPlan {
  /** Bytes; null: nobody can tell. */
  readonly total: number | null;
  /** Tasks that run there at once. */
  readonly mostTasks: number | null;
  /** Names of the models that it may hold. */
  readonly models: readonly string[];
  /** Ids of the GPUs whose models are in the same memory. */
  readonly sharedBy?: readonly number[];
}

/** A model on a GPU, as the pool sees it. */
export interface Place {
  readonly gpuId: number;
  readonly id: number;
  readonly model: ModelPlan;
  state: Extract<InstanceState, "cold" | "starting" | "ready" | "unloading" | "unfit" | "faulted">;
  /** Whether it was loaded before, so that what it can do is known. */
  wasLoaded: boolean;
  /** Whether what it takes is known. */
  isReckoned: boolean;
  /** Loads of it. */
  loads: number;
}

/** A GPU, as the pool sees it. */
export interface Card {
  readonly id: number;
  readonly plan: GpuPlan;
  places: Place[];
  reserved: number;
  crowded: InstanceFacts["crowded"];
  isHot: boolean;
  drain: "no" | "draining" | "drained";
  isLost: boolean;
}

/** States in which a model takes memory. */
const TAKES: ReadonlySet<InstanceState> = new Set(["starting", "ready", "unloading", "faulted"]);

export class ModelWorld extends World {
  readonly cards: readonly Card[];
  readonly tasks: Task[] = [];
  /** Unloads, with what they were for. */
  /** `reserved`: bytes that others took when it was asked for, by what a card on the same memory had told last. */
  readonly unloads: { readonly place: Place; readonly why: string; readonly reserved: number }[] = [];
  /** Loads of all models. */
  loadCount = 0;
  /** What the scheduler wants done, and the pool has not heard yet. */
  #wants: (() => void)[] = [];

  constructor(
    gpus: readonly GpuPlan[],
    models: readonly ModelPlan[],
    settings: Partial<SchedulerSettings> = {},
    seed = 1,
  ) {
    super([], settings, seed);
    this.cards = gpus.map((plan, id) => ({
      id,
      plan,
      reserved: 0,
      crowded: null,
      isHot: false,
      drain: "no",
      isLost: false,
      places: models.filter(({ name }) => plan.models.includes(name)).map((model, index) => placeOf(id, index, model)),
    }));
    this.onLoad = (ref) => this.#wanted(ref);
    this.onUnload = (ref, why) => this.#unwanted(ref, why);
    for (const card of this.cards) this.told(card);
  }

  /** All places. */
  get places(): readonly Place[] {
    return this.cards.flatMap(({ places }) => places);
  }

  /** Tells the scheduler how things are on a GPU, and does what it wants. */
  told(card: Card): void {
    const { id, plan } = card;
    const gpu = gpuOf({ ...facts(id), mostTasks: plan.mostTasks, memory: memoryOf(card) });
    this.scheduler.setGpu({ ...gpu, instances: card.places.map((place) => factsOf(card, place)) });
    this.obey();
  }

  /** Does what the scheduler wants done, and what follows from that. */
  obey(): void {
    for (let round = 0; this.#wants.length > 0; round++) {
      assert.ok(round < 200, "the scheduler wants the same again and again");
      const wants = this.#wants;
      this.#wants = [];
      for (const want of wants) want();
    }
  }

  runningOn(place: Place): readonly Task[] {
    const instance = this.scheduler.instances.find(({ gpuId, id }) => gpuId === place.gpuId && id === place.id);
    return [...(instance?.running ?? [])];
  }

  /** Bytes that are taken in the memory of a GPU. */
  takenOn(card: Card): number {
    return this.#sharersOf(card)
      .flatMap((one) => one.places.filter((place) => takesMemory(one, place)))
      .reduce((sum, { model }) => sum + model.memory, 0);
  }

  /** Bytes that are free there; Infinity: nobody can tell. */
  freeOn(card: Card): number {
    const { total } = card.plan;
    return total === null ? Infinity : total - card.reserved - this.takenOn(card);
  }

  #sharersOf({ id, plan }: Card): readonly Card[] {
    return (plan.sharedBy ?? [id]).map((one) => this.cards[one]!);
  }

  #placeOf({ gpuId, id }: InstanceRef): Place | undefined {
    return this.cards[gpuId]!.places.find((place) => place.id === id);
  }

  #wanted(ref: InstanceRef): void {
    const place = this.#placeOf(ref)!;
    const card = this.cards[place.gpuId]!;
    assert.equal(place.state, "cold", `${nameOf(place)} is loaded, which is ${place.state}`);
    assert.ok(
      !card.isLost && card.drain === "no" && card.crowded === null,
      `${nameOf(place)} is loaded where it cannot be`,
    );
    assert.ok(
      place.isReckoned || card.plan.total === null,
      `${nameOf(place)} is loaded although nobody knows its size`,
    );
    const free = this.freeOn(card);
    assert.ok(place.model.memory <= free, `${nameOf(place)} is loaded into ${free}`);
    place.state = "starting";
    place.loads++;
    this.loadCount++;
    this.#wants.push(() => this.told(card));
  }

  #unwanted(ref: InstanceRef, why: string): void {
    const place = this.#placeOf(ref)!;
    assert.deepEqual(this.runningOn(place), [], `${nameOf(place)} is unloaded while it works`);
    assert.ok(
      place.state === "ready" || place.state === "faulted",
      `${nameOf(place)} is unloaded, which is ${place.state}`,
    );
    place.state = "unloading";
    const card = this.cards[place.gpuId]!;
    const reserved = Math.min(...this.#sharersOf(card).map((sharer) => sharer.reserved));
    this.unloads.push({ place, why, reserved });
    this.#wants.push(() => this.told(card));
  }

  // --- what happens to models and GPUs ---------------------------------------------------------------------------

  becomes(place: Place, state: Place["state"]): void {
    place.state = state;
    if (state === "ready") place.wasLoaded = true;
    this.told(this.cards[place.gpuId]!);
  }

  /** The worker of a model dies; it is started again, or its GPU has a fault. */
  crashes(place: Place, state: "starting" | "faulted"): void {
    const ref = { gpuId: place.gpuId, id: place.id };
    this.becomes(place, state);
    this.scheduler.interrupted(ref, state === "starting" ? "worker_crash" : "gpu_lost");
    this.obey();
  }

  /** Its card is gone, with all that ran there. */
  isLost(card: Card): void {
    card.isLost = true;
    this.told(card);
    for (const place of card.places) this.#restart(place, () => this.scheduler.interrupted(place, "gpu_lost"));
    this.obey();
  }

  isBack(card: Card): void {
    card.isLost = false;
    this.told(card);
  }

  /** No task runs there any more: the workers of a card that is drained end, and start again with the end of the drain. */
  drains(card: Card): void {
    const isBusy = card.places.some((place) => this.runningOn(place).length > 0);
    const drain = isBusy ? "draining" : "drained";
    if (drain === card.drain) return;
    card.drain = drain;
    if (drain === "drained") for (const place of card.places) this.#restart(place, () => {});
    this.told(card);
  }

  resumes(card: Card): void {
    card.drain = "no";
    this.told(card);
  }

  #restart(place: Place, interrupt: () => void): void {
    interrupt();
    if (place.state === "ready" || place.state === "faulted") place.state = "starting";
  }

  /** Ends a task that runs. */
  ends(task: Task): void {
    const card = this.cards[task.gpuId!]!;
    this.complete(task);
    this.obey();
    if (card.drain === "draining") this.drains(card);
  }

  /**
   * Leaves the world in peace: loads and tasks end, and time passes by alarms only. Nothing is told that does not happen by itself.
   * @returns tasks that wait for ever
   */
  rest(): readonly Task[] {
    for (let step = 0; step < 3000; step++) {
      const task = this.tasks.find(({ status }) => status === "running");
      const place = this.places.find(
        (one) => one.state === "starting" || one.state === "unloading" || one.state === "faulted",
      );
      this.now += 10;
      if (place !== undefined) this.becomes(place, NEXT[place.state as keyof typeof NEXT]);
      else if (task !== undefined) this.ends(task);
      else if (this.alarmAt < Infinity) this.#alarm();
      else break;
    }
    return this.tasks.filter(({ status }) => !isFinal(status));
  }

  #alarm(): void {
    this.now = Math.max(this.now, this.alarmAt);
    this.alarmAt = Infinity;
    this.scheduler.tick();
    this.obey();
  }

  /** Lets time pass, with the alarms of that time. */
  passes(seconds: number): void {
    const end = this.now + seconds * 1000;
    while (this.alarmAt <= end) this.#alarm();
    this.now = end;
  }
}

/** What becomes of a model by itself. */
const NEXT = { starting: "ready", unloading: "cold", faulted: "starting" } as const;

function placeOf(gpuId: number, id: number, model: ModelPlan): Place {
  return { gpuId, id, model, state: "cold", wasLoaded: false, isReckoned: true, loads: 0 };
}

function takesMemory({ drain, isLost }: Card, { state }: Place): boolean {
  return drain !== "drained" && !isLost && TAKES.has(state);
}

function memoryOf({ plan: { total, sharedBy }, reserved }: Card): CardMemory | null {
  if (total === null) return null;
  return { total, reserved, ...(sharedBy !== undefined && { sharedBy }) };
}

function factsOf(card: Card, place: Place): InstanceFacts {
  const own = gpuOf(facts(0)).instances[0]!;
  const { model, wasLoaded, isReckoned } = place;
  const memory = isReckoned ? model.memory : null;
  return {
    ...own,
    id: place.id,
    model: model.name,
    modelName: model.name,
    can: wasLoaded ? model.can : null,
    context: wasLoaded ? model.context : null,
    slots: model.slots,
    state: stateOf(card, place),
    reason: "It is so.",
    crowded: card.crowded,
    residency: { memory, fileBytes: model.memory, loadSeconds: wasLoaded ? model.loadSeconds : null, pinned: false },
  };
}

function stateOf({ isLost, drain, isHot, plan }: Card, { state, model, isReckoned }: Place): InstanceState {
  if (isLost) return "lost";
  if (state === "cold" && isReckoned && model.memory > (plan.total ?? Infinity)) return "unfit";
  if (state === "unfit" || state === "faulted") return state;
  if (drain !== "no") return state === "cold" ? "drained" : drain;
  return state === "ready" && isHot ? "hot" : state;
}

export function nameOf({ gpuId, model }: Place): string {
  return `${model.name} on GPU ${gpuId}`;
}
