/**
 * Which models are loaded, and which make room for them, so that waiting tasks get theirs. It looks at all that waits, oldest first:
 *  1. A model that is there, or on its way, with free slots for its tasks is enough.
 *  2. Where all that have it are full, it is loaded on a further GPU if memory is free there; nothing is unloaded for that.
 *  3. Where none has it, it is loaded where memory is free, else where others can make room: see residency.ts, which decides for one card.
 *  4. A model for which others make room goes before older wishes: what has just left would else come back for its older tasks.
 *  5. The successor of an instance is loaded beside it if memory is free, else in its place when what runs there has ended.
 * Nothing else is remembered between two looks, but what an operator has asked for.
 */
import { isServing } from "../gpu/facts.ts";
import type { Effects } from "./effects.ts";
import { MemoryPlans, type Way } from "./memory-plans.ts";
import type { Instance } from "./placement.ts";
import { costOf, keyOf } from "./residents.ts";
import { MIN_RESIDENCY_MS } from "./residency.ts";
import { tasksOf } from "./waiting.ts";
import { type Wish, wishesOf, type WishParts } from "./wishes.ts";

export interface LoaderParts extends WishParts {
  readonly effects: Effects;
  /** The server's clock. */
  readonly now: () => number;
  /** Whether the server stops: nothing is loaded or unloaded then. */
  readonly isDraining: () => boolean;
}

/** Findings of one look so far. */
interface Look {
  readonly plans: MemoryPlans;
  /** Slots that are taken by wishes, by instance and by GPU. */
  readonly claimed: Map<Instance | number, number>;
  /** Instances that are about to be loaded, some of them later. */
  readonly coming: Set<Instance>;
  /** Those for which others make room, with the model that is wanted; null: any. */
  readonly awaited: Map<Instance, string | null>;
  /** Those that get nothing new. */
  readonly leaving: Set<Instance>;
}

/** The less, the better: what a way waits for. */
const RANKS = { nothing: 0, freeing: 1, eviction: 2, idle: 3, drain: 4, turn: 5, loading: 6 } as const;

export class Loader {
  readonly #parts: LoaderParts;
  /** Instances that get nothing new, so that another model can have their memory. */
  #leaving: ReadonlySet<Instance> = new Set();
  /** Instances for which others make room, with the model that is wanted; null: any. */
  #awaited: Look["awaited"] = new Map();
  /** Instances that an operator wants loaded, with the time of that wish. */
  readonly #asked = new Map<Instance, number>();
  /** Instances that an operator wants unloaded. */
  readonly #dismissed = new Set<Instance>();
  #next = Infinity;
  /** The turns of the fleet and of the waiting tasks at the last look; null: it has to look again whatever has happened. */
  #seen: { readonly fleet: number; readonly waiting: number } | null = null;

  constructor(parts: LoaderParts) {
    this.#parts = parts;
  }

  /** When to call `settle` again, by the server's clock; Infinity: when something has changed. */
  get next(): number {
    return this.#next;
  }

  /** An operator wants these loaded, or unloaded as soon as nothing runs there. */
  ask(instances: readonly Instance[], to: "load" | "unload"): void {
    this.#seen = null;
    for (const instance of instances) {
      if (to === "load") this.#asked.set(instance, this.#parts.now());
      else this.#asked.delete(instance);
      if (to === "unload" && isThere(instance)) this.#dismissed.add(instance);
      else this.#dismissed.delete(instance);
    }
  }

  /** Something else has changed than what waits, or the instances: a caller may run more. */
  lookAgain(): void {
    this.#seen = null;
  }

  /** Has models loaded and unloaded as things are now. @returns instances that take tasks again, as nobody needs their room any more */
  settle(): readonly Instance[] {
    const { fleet, isDraining } = this.#parts;
    if (!fleet.hasGuests || isDraining()) {
      this.#next = Infinity;
      return [];
    }
    return this.#isNew() ? this.#look() : [];
  }

  /** Whether a look may find something else than the last one did. With many tasks waiting most events change nothing. */
  #isNew(): boolean {
    const { fleet, waiting, now } = this.#parts;
    const before = this.#seen;
    this.#seen = { fleet: fleet.turns, waiting: waiting.turns };
    const isSame = before?.fleet === this.#seen.fleet && before.waiting === this.#seen.waiting;
    return !isSame || this.#next <= now();
  }

  #look(): readonly Instance[] {
    const { fleet, waiting, now } = this.#parts;
    this.#next = Infinity;
    const isAsked = this.#asked.size > 0 || this.#dismissed.size > 0 || fleet.replaced.size > 0;
    const isIdle = waiting.tasks === 0 && !isAsked;
    if (isIdle && this.#leaving.size === 0 && this.#awaited.size === 0) return [];
    const leaving = this.#dismiss();
    const wishes = this.#wishes();
    const plans = new MemoryPlans(fleet, wishes, now());
    const look: Look = { plans, claimed: new Map(), coming: new Set(), awaited: new Map(), leaving };
    for (const instance of fleet.replaced) this.#replace(instance, look);
    for (const wish of wishes) this.#grant(wish, look);
    this.#awaited = look.awaited;
    return this.#setLeaving(leaving);
  }

  /** @returns those that an operator wants to go, and that cannot go yet */
  #dismiss(): Set<Instance> {
    const leaving = new Set<Instance>();
    for (const instance of this.#dismissed) {
      if (!isThere(instance)) this.#dismissed.delete(instance);
      else if (instance.running.size > 0 || instance.facts.state === "starting") leaving.add(instance);
      else this.#unload(instance, "An operator had it unloaded.");
    }
    return leaving;
  }

  /** Has the successor of an instance loaded, which takes over when it is ready. Only the instance itself makes room for it. */
  #replace(old: Instance, look: Look): void {
    const { fleet, now } = this.#parts;
    const next = fleet.get({ gpuId: old.gpuId, id: old.facts.successor! });
    if (next.facts.state !== "cold" || !isThere(old) || this.#dismissed.has(old)) return;
    const beside = this.#wayFor(next, look.plans);
    if (beside === null) return;
    if (beside.decision.do === "load") return this.#go(beside, { since: now(), model: next.facts.modelName }, look);
    // Memory is about to be free, or is taken by what is being loaded.
    if (rankOf(beside) === RANKS.freeing || rankOf(beside) === RANKS.loading) return;
    const instead = this.#wayFor(next, new MemoryPlans(fleet, [], now(), old));
    if (instead?.decision.do === "wait" && instead.decision.until !== null) this.#lookAgainAt(instead.decision.until);
    if (instead === null || rankOf(instead) > RANKS.eviction) return;
    look.plans.claim({ ...instead, going: [old] });
    look.awaited.set(next, next.facts.modelName);
    if (old.running.size > 0 || old.facts.state === "starting") return void look.leaving.add(old);
    this.#unload(old, "Its successor needs its memory.");
    this.#asked.set(next, now());
  }

  /** null: there is none now. Nothing is loaded where others are in the way. */
  #wayFor(instance: Instance, plans: MemoryPlans, since = this.#parts.now()): Way | null {
    if (instance.facts.crowded !== null || this.#isHot(instance)) return null;
    const way = plans.wayTo(instance, since);
    return way === null || way.decision.do === "nothing" || way.decision.do === "impossible" ? null : way;
  }

  /** Those for which others make room first, then the oldest. */
  #wishes(): readonly Wish[] {
    const wishes = wishesOf(this.#parts);
    for (const [instance, since] of this.#asked) {
      const { state } = instance.facts;
      if (state === "cold" || state === "unloading")
        wishes.push({ entry: null, model: instance.facts.modelName, count: 1, since, instances: [instance] });
      // One whose file is being fetched counts as starting, and is cold when that is there.
      else if (state !== "starting") this.#asked.delete(instance);
    }
    const isAwaited = ({ instances, model }: Wish): boolean =>
      instances.some((one) => this.#awaited.get(one) === model);
    const first = new Set(this.#awaited.size === 0 ? [] : wishes.filter(isAwaited));
    const turn = (wish: Wish): number => (first.has(wish) ? 0 : 1);
    return wishes.toSorted((one, other) => turn(one) - turn(other) || one.since - other.since);
  }

  #grant(wish: Wish, look: Look): void {
    const { coming, claimed } = look;
    const serving = wish.instances.filter((one) => coming.has(one) || this.#serves(one, wish, look));
    const free = claim(serving, wish.count, claimed);
    if (serving.length > 0 && free >= wish.count) {
      // One task more, and the slots may not be enough.
      this.#seen = null;
      return;
    }
    const cold = wish.instances.filter((one) => isAway(one) && !coming.has(one) && this.#suits(one, wish));
    // Models that no task names are not loaded for those that take any, while one is there.
    const further =
      serving.length === 0 ? cold : cold.filter((one) => serving.some((other) => keyOf(one) === keyOf(other)));
    const way = this.#bestWay(wish, further, serving.length > 0, look);
    if (way === undefined) return;
    coming.add(way.instance);
    claim([way.instance], wish.count - free, claimed);
    this.#go(way, wish, look);
  }

  /** Whether an instance has the model, or is about to, and takes the first of the tasks, if not at once. */
  #serves(instance: Instance, wish: Wish, { leaving }: Look): boolean {
    const { state, crowded } = instance.facts;
    if (!isServing(state) || this.#dismissed.has(instance) || leaving.has(instance)) return false;
    // Load from others on its card, and its heat, may last for hours.
    if (state === "hot" || (crowded !== null && crowded !== "server_full")) return false;
    return this.#suits(instance, wish);
  }

  /** As far as is known: what its context is, may have been seen when it was loaded before. */
  #suits(instance: Instance, { entry }: Wish): boolean {
    return entry === null || this.#parts.eligibility.misfit(instance, tasksOf(entry)) === null;
  }

  /** @param onlyFree whether nothing may be unloaded for it */
  #bestWay(wish: Wish, cold: readonly Instance[], onlyFree: boolean, { plans }: Look): Way | undefined {
    let best: Way | undefined;
    for (const instances of inTurn(cold, wish.model)) {
      for (const instance of instances) {
        const way = this.#wayFor(instance, plans, wish.since);
        if (way === null || (onlyFree && rankOf(way) > RANKS.nothing)) continue;
        if (way.decision.do === "wait" && way.decision.until !== null) this.#lookAgainAt(way.decision.until);
        if (best === undefined || this.#compare(way, best) < 0) best = way;
      }
      // Of tasks that name no model the first one that can be loaded is.
      if (best !== undefined && rankOf(best) <= RANKS.eviction) break;
    }
    return best;
  }

  #isHot({ gpuId }: Instance): boolean {
    return this.#parts.fleet.on(gpuId).some(({ facts }) => facts.state === "hot");
  }

  #compare(one: Way, other: Way): number {
    const first = (value: (way: Way) => number): number => value(one) - value(other);
    return (
      first(rankOf) ||
      first(({ instance }) => (this.#awaited.has(instance) ? 0 : 1)) ||
      first(untilOf) ||
      first(({ evicted }) => evicted.reduce((sum, gone) => sum + costOf(gone, this.#parts.now()), 0)) ||
      first(({ instance }) => (hasTurn(instance) ? 0 : 1)) ||
      // Infinity for both is no difference.
      (one.left === other.left ? 0 : other.left - one.left) ||
      first(({ instance }) => instance.gpuId)
    );
  }

  #go(way: Way, { since, model }: Pick<Wish, "since" | "model">, { plans, awaited, leaving }: Look): void {
    const { instance, decision, evicted, drained } = way;
    const { fleet, effects, now } = this.#parts;
    if (decision.do === "load") {
      fleet.mark(instance, "starting");
      plans.changed(instance);
      return effects.load(instance);
    }
    for (const one of evicted) this.#unload(one, `Its memory is needed for ${nameOf(instance)}.`);
    for (const one of drained) leaving.add(one);
    const isMade = rankOf(way) <= RANKS.eviction || drained.length > 0;
    if (isMade) awaited.set(instance, model);
    // A younger wish may have the memory for a while, but it must not wait for ever.
    if (isMade || now() - since >= MIN_RESIDENCY_MS) plans.claim(way);
  }

  #lookAgainAt(time: number): void {
    this.#next = Math.min(this.#next, Math.max(time, this.#parts.now() + 1));
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

function rankOf({ decision, going }: Way): number {
  if (decision.do === "load") return RANKS.nothing;
  if (decision.do !== "wait") return RANKS.eviction;
  if (decision.short > 0) return RANKS.loading;
  if (decision.drain.length > 0) return RANKS.drain;
  if (decision.until === null) return RANKS.freeing;
  return going.some(({ running }) => running.size > 0) ? RANKS.turn : RANKS.idle;
}

function untilOf({ decision }: Way): number {
  return decision.do === "wait" ? (decision.until ?? 0) : 0;
}

/** Models in the order in which they are tried for tasks that name none: of those that can do it for sure, then of the others. */
function inTurn(cold: readonly Instance[], model: string | null): Iterable<readonly Instance[]> {
  if (model !== null) return [cold];
  const models = [...Map.groupBy(cold, keyOf).values()];
  return models.toSorted(([one], [other]) => (one!.facts.can === null ? 1 : 0) - (other!.facts.can === null ? 1 : 0));
}

/** Takes so many of the free slots of these, those of the ones that are loading too. @returns how many it got */
function claim(serving: readonly Instance[], count: number, claimed: Look["claimed"]): number {
  let got = 0;
  for (const instance of serving) {
    const { facts, gpuId, card, running, beside } = instance;
    if (facts.crowded !== null) continue;
    const own = claimed.get(instance) ?? 0;
    const onGpu = claimed.get(gpuId) ?? 0;
    const ofGpu = card.mostTasks === null ? Infinity : card.mostTasks - running.size - beside - onGpu;
    const more = Math.max(0, Math.min(facts.slots - running.size - own, ofGpu, count - got));
    claimed.set(instance, own + more).set(gpuId, onGpu + more);
    got += more;
  }
  return got;
}

/** Whether its model is not there, and may be loaded one day: where it has a successor, that is. */
function isAway({ facts: { state, successor } }: Instance): boolean {
  return (state === "cold" || state === "unloading") && successor === null;
}

function isThere({ facts: { state } }: Instance): boolean {
  return isServing(state) || state === "faulted";
}

/** Whether its GPU could take a further task now. */
function hasTurn({ card: { mostTasks }, running, beside }: Instance): boolean {
  return mostTasks === null || running.size + beside < mostTasks;
}

function nameOf({ facts: { modelName, model } }: Pick<Instance, "facts">): string {
  return modelName ?? model;
}
