/**
 * Which models are loaded, and which make room for them, so that waiting tasks get theirs. It looks at all that waits, oldest first:
 *  1. A model that is there, or on its way, with free slots for its tasks is enough.
 *  2. Where all that have it are full, it is loaded on a further GPU if memory is free there; nothing is unloaded for that.
 *  3. Where none has it, it is loaded where memory is free, else where others can make room: see residency.ts, which decides for one card.
 * Nothing is remembered between two looks but who makes room, and what an operator has asked for.
 */
import { type InstanceRef, isServing } from "../gpu/facts.ts";
import { type Callers } from "./callers.ts";
import { demandOf } from "./demand.ts";
import { type Effects } from "./effects.ts";
import { type Eligibility } from "./eligibility.ts";
import { type Fleet } from "./fleet.ts";
import { type Instance } from "./placement.ts";
import { type Entry, firstOf, tasksOf, type Waiting } from "./waiting.ts";
import { costOf, keyOf, residentsOn, type Waits } from "./residents.ts";
import { decideResidency, type ResidencyDecision } from "./residency.ts";

export interface LoaderParts {
  readonly fleet: Fleet;
  readonly waiting: Waiting;
  readonly eligibility: Eligibility;
  readonly callers: Callers;
  readonly effects: Effects;
  /** The server's clock. */
  readonly now: () => number;
}

/** Tasks that wait for the same, or an operator who does. */
interface Wish {
  /** The first of the tasks; null: an operator's. */
  readonly entry: Entry | null;
  /** Entries that wait. */
  readonly count: number;
  /** Milliseconds of the server's clock. */
  readonly since: number;
  /** All that may serve it. */
  readonly instances: readonly Instance[];
}

/** A way to get a model onto a GPU. */
interface Way {
  readonly instance: Instance;
  readonly decision: Exclude<ResidencyDecision, { do: "nothing" | "impossible" }>;
}

/** The least first: nothing has to go, idle ones have to go, memory is about to be free, busy ones have to finish first. */
function rankOf({ decision }: Way): number {
  if (decision.do === "load") return 0;
  if (decision.do === "evict") return 1;
  return decision.drain.length === 0 && decision.until === null ? 2 : 3;
}

export class Loader {
  readonly #parts: LoaderParts;
  /** Instances that get nothing new, so that another model can have their memory. */
  #leaving: ReadonlySet<Instance> = new Set();
  /** Instances that an operator wants loaded, with the time of that wish. */
  readonly #asked = new Map<Instance, number>();
  /** Instances that an operator wants unloaded. */
  readonly #dismissed = new Set<Instance>();
  #next = Infinity;

  constructor(parts: LoaderParts) {
    this.#parts = parts;
  }

  /** When to call `settle` again, by the server's clock; Infinity: when something has changed. */
  get next(): number {
    return this.#next;
  }

  /** An operator wants these loaded, or unloaded as soon as nothing runs there. */
  ask(instances: readonly Instance[], to: "load" | "unload"): void {
    for (const instance of instances) {
      if (to === "load") this.#asked.set(instance, this.#parts.now());
      else this.#asked.delete(instance);
      if (to === "unload" && isThere(instance)) this.#dismissed.add(instance);
      else this.#dismissed.delete(instance);
    }
  }

  /** Has models loaded and unloaded as things are now. @returns instances that take tasks again, as nobody needs their room any more */
  settle(): readonly Instance[] {
    const { fleet, waiting } = this.#parts;
    this.#next = Infinity;
    const isIdle = waiting.tasks === 0 && this.#asked.size === 0 && this.#dismissed.size === 0;
    if (!fleet.hasGuests || (isIdle && this.#leaving.size === 0)) return [];
    const leaving = new Set<Instance>();
    this.#dismiss(leaving);
    const wishes = this.#wishes();
    const waits = countByModel(wishes);
    const claimed = new Map<Instance, number>();
    for (const wish of wishes) this.#grant(wish, waits, claimed, leaving);
    return this.#setLeaving(leaving);
  }

  #dismiss(leaving: Set<Instance>): void {
    for (const instance of this.#dismissed) {
      if (!isThere(instance)) this.#dismissed.delete(instance);
      else if (instance.running.size > 0 || instance.facts.state === "starting") leaving.add(instance);
      else this.#unload(instance, "An operator had it unloaded.");
    }
  }

  /** The oldest first. */
  #wishes(): readonly Wish[] {
    const { callers, waiting } = this.#parts;
    const wishes: Wish[] = [];
    for (const { front, count } of waiting.fronts()) {
      const task = firstOf(front);
      if (callers.of(task).isCapped) continue;
      const instances = this.#instancesFor(front);
      wishes.push({ entry: front, count, since: task.waitsSince, instances });
    }
    for (const [instance, since] of this.#asked) {
      if (instance.facts.state === "cold" || instance.facts.state === "unloading")
        wishes.push({ entry: null, count: 1, since, instances: [instance] });
      else this.#asked.delete(instance);
    }
    return wishes.toSorted((one, other) => one.since - other.since);
  }

  #instancesFor(entry: Entry): readonly Instance[] {
    const { fleet, eligibility } = this.#parts;
    const demand = demandOf(tasksOf(entry));
    const all = fleet.suitableFor(demand)?.instances ?? fleet.all;
    return all.filter((instance) => eligibility.isAllowed(instance, firstOf(entry), demand));
  }

  #grant(wish: Wish, waits: Waits, claimed: Map<Instance, number>, leaving: Set<Instance>): void {
    const serving = wish.instances.filter((instance) => this.#serves(instance, wish));
    const room = claim(serving, wish.count, claimed);
    if (serving.length > 0 && room >= wish.count) return;
    const cold = wish.instances.filter(({ facts: { state } }) => state === "cold" || state === "unloading");
    // Models that no task names are not loaded for those that take any, while one is there.
    const further =
      serving.length === 0 ? cold : cold.filter((one) => serving.some((other) => isSameModel(one, other)));
    const way = this.#bestWay(wish, further, waits, serving.length > 0);
    if (way !== undefined) this.#go(way, leaving);
  }

  /** Whether an instance has the model, or is about to, and may do the first of the tasks. */
  #serves(instance: Instance, { entry }: Wish): boolean {
    if (!isServing(instance.facts.state) || this.#dismissed.has(instance)) return false;
    return entry === null || this.#parts.eligibility.misfit(instance, tasksOf(entry)) === null;
  }

  /** @param onlyFree whether nothing may be unloaded for it */
  #bestWay(wish: Wish, cold: readonly Instance[], waits: Waits, onlyFree: boolean): Way | undefined {
    const names = wish.entry === null || firstOf(wish.entry).model !== null;
    // Of tasks that name no model the first one in the configuration is loaded that can be.
    const models = names ? [cold] : Map.groupBy(cold, ({ id }) => id).values();
    let best: Way | undefined;
    for (const instances of models) {
      const ways = instances.flatMap((instance) => this.#wayTo(instance, wish, waits));
      const possible = onlyFree ? ways.filter((way) => rankOf(way) === 0) : ways;
      const [first] = possible.toSorted((one, other) => this.#compare(one, other));
      if (first !== undefined && (best === undefined || rankOf(first) < rankOf(best))) best = first;
      if (best !== undefined && rankOf(best) <= 1) break;
    }
    return best;
  }

  #wayTo(instance: Instance, { since }: Wish, waits: Waits): Way[] {
    const { card, facts } = instance;
    const { memory } = facts.residency;
    if (facts.crowded !== null) return [];
    if (facts.state === "unloading") return [{ instance, decision: WAIT }];
    if (card.memory === null) return [{ instance, decision: { do: "load" } }];
    const residents = residentsOn(this.#parts.fleet.on(instance.gpuId), waits);
    // What it takes, or what another one that loads takes, is yet to be known.
    if (memory === null || residents === null) return [{ instance, decision: WAIT }];
    const wanted = { model: keyOf(instance), memory, waitingSince: since };
    const decision = decideResidency({ card: card.memory, residents, wanted, now: this.#parts.now() });
    return decision.do === "nothing" || decision.do === "impossible" ? [] : [{ instance, decision }];
  }

  #compare(one: Way, other: Way): number {
    const rank = rankOf(one) - rankOf(other);
    if (rank !== 0) return rank;
    const cost = this.#costOf(one) - this.#costOf(other);
    if (cost !== 0) return cost;
    return freeFor(other) - freeFor(one) || one.instance.gpuId - other.instance.gpuId;
  }

  /** What the models that have to go would cost to bring back. */
  #costOf({ instance, decision }: Way): number {
    if (decision.do !== "evict") return 0;
    const gone = this.#parts.fleet.on(instance.gpuId).filter(({ id }) => decision.ids.includes(id));
    return gone.reduce((sum, one) => sum + costOf(one, this.#parts.now()), 0);
  }

  #go({ instance, decision }: Way, leaving: Set<Instance>): void {
    const { fleet, effects, now } = this.#parts;
    const here = fleet.on(instance.gpuId);
    switch (decision.do) {
      case "load":
        fleet.mark(instance, "starting");
        return effects.load(instance);
      case "evict":
        for (const one of here)
          if (decision.ids.includes(one.id)) this.#unload(one, `Its memory is needed for ${nameOf(instance)}.`);
        return;
      case "wait":
        for (const one of here) if (decision.drain.includes(one.id)) leaving.add(one);
        if (decision.until !== null) this.#next = Math.min(this.#next, Math.max(decision.until, now() + 1));
    }
  }

  #unload(instance: Instance, why: string): void {
    this.#parts.fleet.mark(instance, "unloading");
    this.#parts.effects.unload(instance, why);
  }

  #setLeaving(leaving: ReadonlySet<Instance>): readonly Instance[] {
    const back = [...this.#leaving].filter((instance) => !leaving.has(instance));
    for (const instance of back) this.#parts.fleet.setLeaving(instance, false);
    for (const instance of leaving) this.#parts.fleet.setLeaving(instance, true);
    this.#leaving = leaving;
    return back.filter(isThere);
  }
}

const WAIT = { do: "wait", drain: [], until: null } as const;

function countByModel(wishes: readonly Wish[]): Waits {
  const counts = new Map<string, number>();
  for (const { entry, count } of wishes) {
    const model = entry === null ? null : firstOf(entry).model;
    if (model !== null) counts.set(model, (counts.get(model) ?? 0) + count);
  }
  return counts;
}

/** Takes so many of the free slots of these, those of the ones that are loading too. @returns how many it got */
function claim(serving: readonly Instance[], count: number, claimed: Map<Instance, number>): number {
  let got = 0;
  for (const instance of serving) {
    const taken = claimed.get(instance) ?? 0;
    const free = Math.max(0, instance.facts.slots - instance.running.size - taken);
    const more = Math.min(free, count - got);
    claimed.set(instance, taken + more);
    got += more;
  }
  return got;
}

function isThere({ facts: { state } }: InstanceRef & Pick<Instance, "facts">): boolean {
  return isServing(state) || state === "faulted";
}

function isSameModel({ facts: one }: Instance, { facts: other }: Instance): boolean {
  return one.modelName === other.modelName;
}

function nameOf({ facts: { modelName, model } }: Instance): string {
  return modelName ?? model;
}

function freeFor({ instance: { card } }: Way): number {
  return card.memory === null ? Infinity : card.memory.total - card.memory.reserved;
}
