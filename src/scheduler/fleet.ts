/**
 * The instances on all GPUs, and the tasks that run there. Each change updates the list of available instances, the counts of the others by
 * reason, and the extremes over all, so that no decision has to ask every instance. Nothing else changes any of this.
 */
import {
  type CardFacts,
  type GpuFacts,
  type InstanceFacts,
  type InstanceRef,
  isServing,
  mayServeAgain,
} from "../gpu/facts.ts";
import type { WhyNot } from "../reasons.ts";
import type { Task } from "../task.ts";
import { Member } from "./member.ts";
import { type Demand, type Suitable, Suitability } from "./demand.ts";
import { freeMemoryOf, type Instance, memoryNeed, placeOf, roomFor } from "./placement.ts";
import { Speeds } from "./speeds.ts";

/** Facts about an instance that are new or have changed. */
export interface Change {
  readonly instance: Instance;
  /** null: it is new. */
  readonly before: InstanceFacts | null;
}

export class Fleet {
  /** In `gpu_id` order, as is `#available`. */
  readonly #all: Member[] = [];
  /** By `gpu_id`, in the order of their ids. */
  readonly #byGpu = new Map<number, Member[]>();
  readonly #available: Member[] = [];
  readonly #unavailable = new Map<WhyNot, number>();
  readonly #reserved = new Set<Instance>();
  readonly #suitability = new Suitability(this.#all);
  readonly #speeds = new Speeds();
  /** The names by which requests call the models. */
  readonly #models = new Set<string>();
  readonly #now: () => number;
  /** Instances whose models may be unloaded. */
  #guests = 0;
  /** Instances whose successors can be loaded. */
  readonly #replaced = new Set<Member>();
  #turns = 0;
  /** Those on which nothing ran any more at some time since `turns` was asked last. */
  readonly #emptied = new Set<Member>();
  #revision = 0;
  #largestContext: number | null = null;
  #leastRoom = Infinity;
  #mostRoom = -Infinity;

  /** @param now the server's clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether there are models that come and go. */
  get hasGuests(): boolean {
    return this.#guests > 0;
  }

  /** Those whose place another one is to take. */
  get replaced(): ReadonlySet<Instance> {
    return this.#replaced;
  }

  /** Whether some instances are known to be faster than others. */
  get isUneven(): boolean {
    return this.#speeds.isUneven;
  }

  /** In `gpu_id` order. */
  get all(): readonly Instance[] {
    return this.#all;
  }

  /** Of all GPUs, also those without an instance, in order. */
  get gpuIds(): readonly number[] {
    return [...this.#byGpu.keys()].toSorted((one, other) => one - other);
  }

  /** The available ones, which take some task that may run beside others, in `gpu_id` order. Placing a task changes the list. */
  get available(): readonly Instance[] {
    return this.#available;
  }

  /** How many are not available, by reason. */
  get unavailable(): ReadonlyMap<WhyNot, number> {
    return this.#unavailable;
  }

  /** Those that are reserved for a task. */
  get reserved(): ReadonlySet<Instance> {
    return this.#reserved;
  }

  /** Tokens that fit into the largest slot; null: not known. */
  get largestContext(): number | null {
    return this.#largestContext;
  }

  /** Bytes of text that fit into every instance. */
  get leastRoom(): number {
    return this.#leastRoom;
  }

  /** Bytes of text that fit into some instance that may serve; -Infinity: there is none. */
  get mostRoom(): number {
    return this.#mostRoom;
  }

  /** The names of the models that were loaded. */
  get models(): ReadonlySet<string> {
    return this.#models;
  }

  /** Grows when what may ever run somewhere has changed. */
  get revision(): number {
    return this.#revision;
  }

  /** Grows when something is known about instances that was not, or when one has become idle, since this was asked last. */
  get turns(): number {
    for (const { running } of this.#emptied) if (running.size === 0) this.#turns++;
    this.#emptied.clear();
    return this.#turns;
  }

  /** The instances that can do what a task asks, as far as is known; null: all of them. */
  suitableFor(demand: Demand): Suitable | null {
    return this.#suitability.of(demand);
  }

  /** The instances on a GPU, in the order of their ids; none: nothing is loaded there, or there is no such GPU. */
  on(gpuId: number): readonly Instance[] {
    return this.#byGpu.get(gpuId) ?? NONE;
  }

  /** @throws {Error} there is no such instance, which is a bug of the caller */
  get(ref: InstanceRef): Instance {
    return this.#member(ref);
  }

  /** Where a task runs. @throws {Error} it runs nowhere, which is a bug of the caller */
  of(task: Task): Instance {
    for (const member of this.#byGpu.get(task.gpuId ?? -1) ?? NONE) if (member.running.has(task)) return member;
    throw new Error(`task ${task.id} does not run on GPU ${task.gpuId}`);
  }

  /** Whether one of a GPU's instances serves. */
  isServing(gpuId: number | null): boolean {
    return gpuId !== null && this.on(gpuId).some(({ facts }) => isServing(facts.state));
  }

  /**
   * Takes over the facts of a GPU. An instance that the facts do not have any more is removed.
   * @throws {Error} a task still runs on a removed one, which is a bug of the caller
   */
  tell({ instances, ...card }: GpuFacts): readonly Change[] {
    this.#turns++;
    if (!this.#byGpu.has(card.id)) this.#byGpu.set(card.id, []);
    const changes = instances.map((facts) => this.#tellOf(card, facts));
    const gone = this.#byGpu.get(card.id)!.filter(({ id }) => !instances.some((facts) => facts.id === id));
    for (const member of gone) {
      changes.push(this.#tellOf(card, { ...member.facts, state: "drained" }));
      this.#remove(member);
    }
    const [member] = this.#byGpu.get(card.id)!;
    if (member !== undefined) this.#shareSlots(member);
    for (const one of this.#byGpu.get(card.id)!)
      if (one.facts.successor !== null) this.#replaced.add(one);
      else this.#replaced.delete(one);
    const isOther = changes.some(({ instance, before }) => before === null || isForOthers(before, instance.facts));
    if (isOther || gone.length > 0) this.#measure();
    return changes;
  }

  /** Without its worker an instance can start nothing, whatever the last facts said: it counts as `starting` until new facts come. */
  losesWorker(ref: InstanceRef): void {
    const member = this.#member(ref);
    if (member.facts.state !== "ready") return;
    member.facts = { ...member.facts, state: "starting" };
    this.#changed(member);
  }

  /** Its model is about to be loaded or unloaded: it counts as this until new facts come. */
  mark(ref: InstanceRef, state: "starting" | "unloading"): void {
    const member = this.#member(ref);
    this.#turns++;
    member.facts = { ...member.facts, state };
    this.#changed(member);
  }

  /** Whether an instance takes nothing new, so that another model can have its memory. It may be gone already. */
  setLeaving(ref: InstanceRef, isLeaving: boolean): void {
    const member = this.#byGpu.get(ref.gpuId)?.find(({ id }) => id === ref.id);
    if (member === undefined || member.isLeaving === isLeaving) return;
    member.isLeaving = isLeaving;
    this.#changed(member);
  }

  /** Gives a task one of the instance's slots. @param work tokens of it that are expected */
  occupy(ref: InstanceRef, task: Task, work: number): void {
    const member = this.#member(ref);
    if (this.#speeds.placed(work)) for (const one of this.#all) one.rate();
    member.running.add(task, work);
    member.freeMemory -= memoryNeed(task, member.facts);
    this.#changed(member);
    this.#shareSlots(member);
  }

  /** A task has ended. @returns whether something is to be learned of it */
  get isTurn(): boolean {
    return this.#speeds.isTurn(this.#all.length);
  }

  /** A task has ended there that still has its slot. @param seconds that it took @param work tokens of it */
  learn({ pace, running }: Pick<Instance, "pace" | "running">, seconds: number, work: number): void {
    if (work < 1) return;
    pace.learn(running.size, seconds / work);
    if (this.#speeds.learned(this.#all)) for (const one of this.#all) one.rate();
  }

  /** Gives the slot back. @throws {Error} the task does not run there, which is a bug of the caller */
  vacate(ref: InstanceRef, task: Task): void {
    const member = this.#member(ref);
    if (!member.running.delete(task)) throw new Error(`task ${task.id} does not run on GPU ${ref.gpuId}`);
    member.freeMemory += memoryNeed(task, member.facts);
    if (this.#guests > 0) {
      member.lastUsedAt = this.#now();
      if (member.running.size === 0) this.#emptied.add(member);
    }
    this.#changed(member);
    this.#shareSlots(member);
  }

  /** Reserves an instance for a task; null: for none. */
  reserve(ref: InstanceRef, task: Task | null): void {
    const member = this.#member(ref);
    member.reservedFor = task;
    if (task === null) this.#reserved.delete(member);
    else this.#reserved.add(member);
    this.#changed(member);
  }

  #member({ gpuId, id }: InstanceRef): Member {
    for (const member of this.#byGpu.get(gpuId) ?? NONE) if (member.id === id) return member;
    throw new Error(`there is no instance ${id} on GPU ${gpuId}`);
  }

  #tellOf(card: CardFacts, facts: InstanceFacts): Change {
    const known = this.#byGpu.get(card.id)!.find(({ id }) => id === facts.id);
    if (known === undefined) return { instance: this.#add(card, facts), before: null };
    const before = known.facts;
    known.card = card;
    known.facts = facts;
    if (facts.state === "ready" && before.state !== "ready" && before.state !== "hot") known.isLoaded(this.#now());
    known.freeMemory = freeMemoryOf(known);
    this.#changed(known, true);
    return { instance: known, before };
  }

  #add(card: CardFacts, facts: InstanceFacts): Member {
    const member = new Member(card, facts, this.#now(), this.#speeds);
    if (!facts.residency.pinned) this.#guests++;
    insert(this.#byGpu.get(card.id)!, member);
    insert(this.#all, member);
    member.rate();
    this.#enter(member);
    return member;
  }

  #remove(member: Member): void {
    if (member.running.size > 0) throw new Error(`tasks still run on instance ${member.id} of GPU ${member.gpuId}`);
    if (member.reservedFor !== null) this.reserve(member, null);
    if (!member.facts.residency.pinned) this.#guests--;
    this.#replaced.delete(member);
    for (const list of [this.#byGpu.get(member.gpuId)!, this.#all]) list.splice(list.indexOf(member), 1);
    this.#leave(member, member.whyNot);
  }

  /** The others on its GPU learn what runs there, where they share its slots. */
  #shareSlots({ gpuId, card }: Member): void {
    if (card.mostTasks === null) return;
    const here = this.#byGpu.get(gpuId)!;
    const running = here.reduce((sum, one) => sum + one.running.size, 0);
    for (const one of here) {
      const beside = running - one.running.size;
      if (one.beside === beside) continue;
      one.beside = beside;
      this.#changed(one);
    }
  }

  /** @param facts whether its facts are others */
  #changed(member: Member, facts = false): void {
    const before = member.whyNot;
    if (facts) member.rate();
    else member.settle();
    if (member.whyNot === before) return;
    this.#leave(member, before);
    this.#enter(member);
  }

  #enter(member: Member): void {
    if (member.whyNot === null) insert(this.#available, member);
    else this.#count(member.whyNot, 1);
  }

  /** @param whyNot as it was */
  #leave(member: Member, whyNot: WhyNot | null): void {
    if (whyNot === null) this.#available.splice(placeOf(this.#available, member), 1);
    else this.#count(whyNot, -1);
  }

  #count(why: WhyNot, change: 1 | -1): void {
    const count = (this.#unavailable.get(why) ?? 0) + change;
    if (count === 0) this.#unavailable.delete(why);
    else this.#unavailable.set(why, count);
  }

  #measure(): void {
    this.#revision++;
    this.#models.clear();
    this.#largestContext = null;
    this.#leastRoom = Infinity;
    this.#mostRoom = -Infinity;
    for (const { facts } of this.#all) {
      if (facts.retired) continue;
      const room = roomFor(facts);
      this.#leastRoom = Math.min(this.#leastRoom, room);
      if (mayServeAgain(facts.state)) this.#mostRoom = Math.max(this.#mostRoom, room);
      if (facts.context !== null) this.#largestContext = Math.max(this.#largestContext ?? 0, facts.context);
      if (facts.modelName !== null) this.#models.add(facts.modelName);
    }
    this.#suitability.renew();
  }
}

const NONE: readonly Member[] = [];

/** Whether other tasks may ever run there than before. */
function isForOthers(before: InstanceFacts, now: InstanceFacts): boolean {
  return (
    before.modelName !== now.modelName ||
    before.can !== now.can ||
    before.retired !== now.retired ||
    before.context !== now.context ||
    before.maxTokenBytes !== now.maxTokenBytes ||
    mayServeAgain(before.state) !== mayServeAgain(now.state)
  );
}

function insert(members: Member[], member: Member): void {
  members.splice(placeOf(members, member), 0, member);
}
