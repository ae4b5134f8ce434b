/**
 * Many models on few GPUs: how often the model that a task names is there, against two other orders in which models could make room. All three
 * run on the same scheduler, by a clock of their own, so hours pass in seconds.
 */
import { unset } from "../src/common/clock.ts";
import { type GpuFacts, type InstanceFacts, type InstanceRef, type InstanceState } from "../src/gpu/facts.ts";
import { completionOf } from "../src/request.ts";
import { type Effects } from "../src/scheduler/effects.ts";
import { Scheduler } from "../src/scheduler/scheduler.ts";
import { newTask, type Task } from "../src/task.ts";
import { seeded } from "../test/helpers/seeded.ts";
import { type Extent, median, percentile, type Row, rounded, type Section } from "./report.ts";
import { COMPLETED, factsOf, SETTINGS } from "./scheduler.ts";

const GIB = 2 ** 30;
const GPUS = 8;
const MODELS = 20;
const SLOTS = 8;
/** Bytes of a GPU for models. */
const CARD = 16 * GIB;
/** Bytes a second that a model is loaded with, and seconds that each load takes beside. */
const LOADING = { rate: 2 * GIB, start: 1 };
/** Seconds that it takes until the memory of an unloaded model is free. */
const UNLOADING = 0.5;
/** Tasks a second, and their mean seconds. */
const ARRIVALS = 2;
const TASK_SECONDS = 3;

/** `cost`: the cheapest to bring back, as the server does it; `LRU`: the one idle for longest; `clairvoyant`: the one needed last. */
const ORDERS = ["cost", "LRU", "clairvoyant"] as const;
type Order = (typeof ORDERS)[number];

interface Model {
  readonly name: string;
  readonly memory: number;
  readonly loadSeconds: number;
}

interface Arrival {
  readonly at: number;
  readonly model: string;
  readonly seconds: number;
}

/** A model on a GPU. */
interface Place extends InstanceRef {
  readonly model: Model;
  state: InstanceState;
  usedAt: number;
}

interface Found {
  readonly hits: number;
  /** Seconds. */
  readonly waits: readonly number[];
  readonly loads: number;
  readonly minutes: number;
}

export async function models({ quick }: Extent): Promise<Section> {
  const seconds = quick ? 1200 : 7200;
  const all = modelsOf();
  const arrivals = arrivalsOf(all, seconds, seeded(1));
  const found = new Map(ORDERS.map((order) => [order, new Simulation(all, arrivals, order).run()]));
  const [cost, lru, clairvoyant] = ORDERS.map((order) => found.get(order)!);
  return {
    name: "models",
    about:
      `${MODELS} models of 4 to 14 GiB by Zipf's law on ${GPUS} GPUs with ${CARD / GIB} GiB each, ${ARRIVALS} tasks a second of ${TASK_SECONDS} s ` +
      `on average, for ${seconds / 60} minutes of a clock of its own. A hit is a task whose model is ready somewhere when it comes.`,
    rows: [...found].map(([order, one]) => rowOf(order, one)),
    bars: [
      { what: "misses: ratio to clairvoyant", measured: missesOf(cost!) / missesOf(clairvoyant!), atMost: 1.8 },
      { what: "misses: ratio to LRU", measured: missesOf(cost!) / missesOf(lru!), atMost: 1.1 },
      { what: "p99 waiting: ratio to clairvoyant", measured: p99(cost!) / p99(clairvoyant!), atMost: 1.3 },
      { what: "loads: ratio to LRU", measured: cost!.loads / lru!.loads, atMost: 1.1 },
    ],
  };
}

function missesOf({ hits, waits }: Found): number {
  return Math.max(1, waits.length - hits);
}

function p99({ waits }: Found): number {
  return Math.max(0.1, percentile(waits, 0.99));
}

function rowOf(order: Order, { hits, waits, loads, minutes }: Found): Row {
  return {
    "what makes room": order,
    tasks: waits.length,
    "hit rate %": rounded((hits / waits.length) * 100, 1),
    "waiting p50 s": rounded(median(waits), 2),
    "waiting p99 s": rounded(percentile(waits, 0.99), 2),
    "loads a minute": rounded(loads / minutes, 1),
  };
}

/** 4 to 14 GiB, in no order of their popularity. */
function modelsOf(): Model[] {
  return Array.from({ length: MODELS }, (_, index) => {
    const memory = (4 + ((index * 7) % 11)) * GIB;
    return { name: `model-${index}`, memory, loadSeconds: LOADING.start + memory / LOADING.rate };
  });
}

/** Poisson arrivals of exponential lengths; the model of rank r is wanted in proportion to 1 ÷ r. */
function arrivalsOf(all: readonly Model[], seconds: number, random: () => number): Arrival[] {
  const shares = all.map((_, index) => 1 / (index + 1));
  const sum = shares.reduce((total, share) => total + share, 0);
  const draw = (): Model => {
    let left = random() * sum;
    return all.find((_, index) => (left -= shares[index]!) <= 0) ?? all.at(-1)!;
  };
  const exponential = (mean: number): number => -mean * Math.log(1 - random());
  const arrivals: Arrival[] = [];
  for (let at = exponential(1 / ARRIVALS); at < seconds; at += exponential(1 / ARRIVALS))
    arrivals.push({ at: at * 1000, model: draw().name, seconds: exponential(TASK_SECONDS) });
  return arrivals;
}

/** GPUs that load, unload and run as fast as the clock is turned. */
class Simulation {
  readonly #order: Order;
  readonly #arrivals: readonly Arrival[];
  readonly #scheduler: Scheduler;
  readonly #places: readonly (readonly Place[])[];
  /** What is to happen, by time. */
  readonly #events: { readonly at: number; readonly happens: () => void }[] = [];
  /** When each model is wanted again: its arrivals that are yet to come, the last first. */
  readonly #toCome = new Map<string, number[]>();
  readonly #seconds = new Map<Task, number>();
  readonly #waits: number[] = [];
  #now = 0;
  #alarm = Infinity;
  #hits = 0;
  #loads = 0;

  constructor(all: readonly Model[], arrivals: readonly Arrival[], order: Order) {
    this.#order = order;
    this.#arrivals = arrivals;
    for (const { at, model } of arrivals.toReversed())
      this.#toCome.set(model, [...(this.#toCome.get(model) ?? []), at]);
    this.#places = Array.from({ length: GPUS }, (_, gpuId) =>
      all.map((model, id): Place => ({ gpuId, id, model, state: "cold", usedAt: 0 })),
    );
    const effects: Effects = {
      run: (instance, task) => this.#run(instance, task),
      cancel: () => {},
      load: (ref) => this.#load(this.#place(ref)),
      unload: (ref) => this.#unload(this.#place(ref)),
      changed: () => {},
      alarm: (at) => void (this.#alarm = at),
    };
    this.#scheduler = new Scheduler(
      SETTINGS,
      effects,
      unset(() => this.#now),
      seeded(2),
    );
    this.#tellAll();
  }

  run(): Found {
    let next = 0;
    for (;;) {
      const arrival = this.#arrivals[next];
      const event = this.#events[0];
      const at = Math.min(arrival?.at ?? Infinity, event?.at ?? Infinity, this.#alarm);
      if (at === Infinity) break;
      this.#now = Math.max(this.#now, at);
      // The model that is wanted next changes with each event; nobody needs it but while tasks wait.
      if (this.#order === "clairvoyant" && this.#scheduler.queueSize > 0) this.#tellAll();
      if (event?.at === at) this.#events.shift()!.happens();
      else if (arrival?.at === at) this.#submit(arrival, ++next);
      else this.#tick();
    }
    return { hits: this.#hits, waits: this.#waits, loads: this.#loads, minutes: this.#now / 60_000 };
  }

  #tick(): void {
    this.#alarm = Infinity;
    this.#scheduler.tick();
  }

  #submit({ model, seconds, at }: Arrival, seq: number): void {
    this.#toCome.get(model)!.pop();
    if (this.#places.flat().some((place) => place.model.name === model && place.state === "ready")) this.#hits++;
    const task = newTask({
      ...LIKE_ALL,
      request: completionOf("hello"),
      id: `task-${seq}`,
      seq,
      model,
      createdAt: at,
      createdClock: at,
    });
    this.#seconds.set(task, seconds);
    if (this.#order === "clairvoyant") this.#tellAll();
    this.#scheduler.submit([task], "single");
  }

  #run(ref: InstanceRef, task: Task): void {
    const place = this.#place(ref);
    this.#waits.push((this.#now - task.createdClock) / 1000);
    this.#after(this.#seconds.get(task)!, () => {
      this.#seconds.delete(task);
      place.usedAt = this.#now;
      this.#scheduler.finished(task, COMPLETED);
    });
  }

  #load(place: Place): void {
    this.#loads++;
    place.state = "starting";
    this.#after(0, () => this.#tell(place.gpuId));
    this.#after(place.model.loadSeconds, () => {
      place.state = "ready";
      place.usedAt = this.#now;
      this.#tell(place.gpuId);
    });
  }

  #unload(place: Place): void {
    place.state = "unloading";
    this.#after(UNLOADING, () => {
      place.state = "cold";
      this.#tell(place.gpuId);
    });
  }

  #after(seconds: number, happens: () => void): void {
    const at = this.#now + seconds * 1000;
    const place = this.#events.findLastIndex((event) => event.at <= at) + 1;
    this.#events.splice(place, 0, { at, happens });
  }

  #place({ gpuId, id }: InstanceRef): Place {
    return this.#places[gpuId]![id]!;
  }

  #tellAll(): void {
    for (let gpuId = 0; gpuId < GPUS; gpuId++) this.#tell(gpuId);
  }

  #tell(gpuId: number): void {
    const instances = this.#places[gpuId]!.map((place) => this.#factsOf(place));
    const card = { id: gpuId, memoryFree: null, othersUtilization: 0, mostTasks: SLOTS };
    this.#scheduler.setGpu({ ...card, memory: { total: CARD, reserved: 0 }, instances } satisfies GpuFacts);
  }

  #factsOf(place: Place): InstanceFacts {
    const { id, model, state } = place;
    const residency = {
      memory: model.memory,
      fileBytes: model.memory,
      loadSeconds: this.#costOf(place),
      pinned: false,
    };
    return { ...INSTANCE!, id, model: model.name, modelName: model.name, state, residency };
  }

  /** The seconds of loading that give the order: the server divides them by the time for which a model was idle. */
  #costOf({ model, usedAt }: Place): number {
    if (this.#order === "cost") return model.loadSeconds;
    if (this.#order === "LRU") return 1;
    const wanted = this.#toCome.get(model.name)?.at(-1) ?? Infinity;
    return Math.max(1, this.#now - usedAt) / Math.max(1, wanted - this.#now) / 1e6;
  }
}

const LIKE_ALL = {
  user: "ada",
  taskType: "text_generation",
  priority: "normal",
  strategy: "least_loaded",
  timeoutSeconds: null,
  pinnedGpuId: null,
  batchId: null,
  wholeBatch: false,
  webhook: null,
  retryOf: null,
} as const;

const [INSTANCE] = factsOf(0).instances;
