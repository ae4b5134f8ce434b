/**
 * The GPUs and what runs there. Which of them take something, how many do not and why, and what follows from all together is kept up to
 * date with each change, so that no decision has to look at every GPU. Nobody else changes any of this.
 */
import { type GpuFacts, isServing, mayServeAgain } from "../gpu/status.ts";
import { type WhyNot } from "../reasons.ts";
import { type Task } from "../task.ts";
import { freeMemoryOf, type Gpu, isHeld, loadOf, obstacle, roomFor } from "./placement.ts";

export class Fleet {
  /** In `gpu_id` order, as is `#open`. */
  readonly #all: Member[] = [];
  readonly #byId = new Map<number, Member>();
  readonly #open: Member[] = [];
  readonly #shut = new Map<WhyNot, number>();
  readonly #kept = new Set<Gpu>();
  #largestContext: number | null = null;
  #leastRoom = Infinity;
  #mostRoom = -Infinity;

  /** In `gpu_id` order. */
  get all(): readonly Gpu[] {
    return this.#all;
  }

  /** Those that take tasks which may run beside others, in `gpu_id` order. It changes with what is placed. */
  get open(): readonly Gpu[] {
    return this.#open;
  }

  /** How many do not, by why. */
  get shut(): ReadonlyMap<WhyNot, number> {
    return this.#shut;
  }

  /** Those that are kept for a task. */
  get kept(): ReadonlySet<Gpu> {
    return this.#kept;
  }

  /** Tokens that fit into the largest slot; null: not known. */
  get largestContext(): number | null {
    return this.#largestContext;
  }

  /** Bytes of text for which every GPU has room. */
  get leastRoom(): number {
    return this.#leastRoom;
  }

  /** Bytes of text for which some GPU that may serve has room; -Infinity: there is none. */
  get mostRoom(): number {
    return this.#mostRoom;
  }

  find(id: number): Gpu | undefined {
    return this.#byId.get(id);
  }

  /** @throws {Error} there is no such GPU, which is a bug of the caller */
  get(id: number): Gpu {
    return this.#member(id);
  }

  isServing(id: number | null): boolean {
    const gpu = id === null ? undefined : this.#byId.get(id);
    return gpu !== undefined && isServing(gpu.facts.state);
  }

  /** Learns of a GPU, or of a change to one. */
  tell(facts: GpuFacts): void {
    const known = this.#byId.get(facts.id);
    const before = known?.facts;
    if (known === undefined) this.#add(facts);
    else {
      known.facts = facts;
      this.#changed(known);
    }
    if (before === undefined || isOtherRoom(before, facts)) this.#measure();
  }

  /** Gives a task one of the GPU's slots. */
  occupy(id: number, task: Task): void {
    const gpu = this.#member(id);
    gpu.running.add(task);
    this.#changed(gpu);
  }

  /** Gives the slot back. @throws {Error} the task does not run there, which is a bug of the caller */
  vacate(id: number, task: Task): void {
    const gpu = this.#member(id);
    if (!gpu.running.delete(task)) throw new Error(`task ${task.id} does not run on GPU ${id}`);
    this.#changed(gpu);
  }

  /** Keeps a GPU for a task, or no more for any. */
  keep(id: number, task: Task | null): void {
    const gpu = this.#member(id);
    gpu.keptFor = task;
    if (task === null) this.#kept.delete(gpu);
    else this.#kept.add(gpu);
    this.#changed(gpu);
  }

  #member(id: number): Member {
    const gpu = this.#byId.get(id);
    if (gpu === undefined) throw new Error(`there is no GPU ${id}`);
    return gpu;
  }

  #add(facts: GpuFacts): void {
    const gpu = new Member(facts);
    this.#byId.set(facts.id, gpu);
    insert(this.#all, gpu);
    gpu.settle();
    this.#enter(gpu);
  }

  #changed(gpu: Member): void {
    const before = gpu.shut;
    gpu.settle();
    if (gpu.shut === before) return;
    if (before === null) this.#open.splice(placeOf(this.#open, gpu.facts.id), 1);
    else this.#count(before, -1);
    this.#enter(gpu);
  }

  #enter(gpu: Member): void {
    if (gpu.shut === null) insert(this.#open, gpu);
    else this.#count(gpu.shut, 1);
  }

  #count(why: WhyNot, change: 1 | -1): void {
    const count = (this.#shut.get(why) ?? 0) + change;
    if (count === 0) this.#shut.delete(why);
    else this.#shut.set(why, count);
  }

  #measure(): void {
    this.#largestContext = null;
    this.#leastRoom = Infinity;
    this.#mostRoom = -Infinity;
    for (const { facts } of this.#all) {
      const room = roomFor(facts);
      this.#leastRoom = Math.min(this.#leastRoom, room);
      if (mayServeAgain(facts.state)) this.#mostRoom = Math.max(this.#mostRoom, room);
      if (facts.context !== null) this.#largestContext = Math.max(this.#largestContext ?? 0, facts.context);
    }
  }
}

/** A GPU, and what follows from what is known of it. */
class Member implements Gpu {
  facts: GpuFacts;
  readonly running = new Set<Task>();
  keptFor: Task | null = null;
  shut: WhyNot | null = null;
  load = 0;
  freeMemory = 0;

  constructor(facts: GpuFacts) {
    this.facts = facts;
  }

  /** Works out what follows from a change. */
  settle(): void {
    this.shut = this.keptFor !== null || isHeld(this) ? "reserved" : obstacle(this);
    this.load = loadOf(this);
    this.freeMemory = freeMemoryOf(this);
  }
}

function isOtherRoom(before: GpuFacts, now: GpuFacts): boolean {
  return (
    before.context !== now.context ||
    before.maxTokenBytes !== now.maxTokenBytes ||
    mayServeAgain(before.state) !== mayServeAgain(now.state)
  );
}

function insert(gpus: Member[], gpu: Member): void {
  gpus.splice(placeOf(gpus, gpu.facts.id), 0, gpu);
}

/** The first place whose `gpu_id` is not below `id`. */
function placeOf(gpus: readonly Gpu[], id: number): number {
  let low = 0;
  let high = gpus.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (gpus[middle]!.facts.id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
