/**
 * The memory of all cards during one look at what waits: what is there, what is on its way, and what older wishes count on. So a younger wish
 * takes nothing that an older one waits for.
 */
import type { Fleet } from "./fleet.ts";
import type { Instance } from "./placement.ts";
import { decideResidency, type Resident, type ResidencyDecision } from "./residency.ts";
import { placeName, residentOf, takesMemory } from "./residents.ts";
import type { Wish } from "./wishes.ts";

/** The memory of one card, or of a machine whose devices share it. */
interface Memory {
  /** By the ids of `residents`. */
  readonly instances: readonly Instance[];
  /** null: of one of them it is yet to be known what it takes. */
  readonly residents: readonly Resident[] | null;
}

/** Memory that older wishes count on. */
interface Claim {
  bytes: number;
  /** Instances that are to make room for them. */
  readonly going: Set<Instance>;
}

/** A decision and its steps, in instances instead of their ids. */
export interface Way {
  readonly instance: Instance;
  readonly decision: ResidencyDecision;
  /** Those that are unloaded now. */
  readonly evicted: readonly Instance[];
  /** Those that get nothing new. */
  readonly drained: readonly Instance[];
  /** Those that go when their time has come. */
  readonly going: readonly Instance[];
  /** Bytes that would be free with it. */
  readonly left: number;
}

export class MemoryPlans {
  readonly #fleet: Fleet;
  readonly #waits: ReadonlyMap<string, number>;
  readonly #now: number;
  readonly #without: Instance | null;
  readonly #memories = new Map<number, Memory>();
  readonly #claims = new Map<number, Claim>();

  /** @param now milliseconds of the server's clock @param without one that is to be gone */
  constructor(fleet: Fleet, wishes: readonly Wish[], now: number, without: Instance | null = null) {
    this.#fleet = fleet;
    this.#now = now;
    this.#without = without;
    const waits = new Map<string, number>();
    for (const wish of wishes)
      for (const model of modelsFor(wish)) waits.set(model, (waits.get(model) ?? 0) + wish.count);
    this.#waits = waits;
  }

  /** How to get a model to its place; null: what it takes, or what another one there takes, is yet to be known. */
  wayTo(instance: Instance, since: number): Way | null {
    const { card, facts } = instance;
    if (card.memory === null) {
      const decision: ResidencyDecision = instance.facts.state === "unloading" ? GOES_FIRST : { do: "load" };
      return { instance, decision, evicted: [], drained: [], going: [], left: Infinity };
    }
    const { instances, residents } = this.#memoryOf(instance);
    const needed = facts.residency.memory;
    if (needed === null || residents === null) return null;
    const claim = this.#claims.get(homeOf(instance));
    const wanted = { model: placeName(instance), memory: needed, waitingSince: since };
    const given = { residents, claimed: claim?.bytes ?? 0, card: card.memory };
    const decision = decideResidency({ ...given, wanted, now: this.#now });
    const named = (ids: readonly number[]): readonly Instance[] => ids.map((id) => instances[id]!);
    const taken = residents.reduce((sum, { memory }) => sum + memory, 0) + given.claimed + needed;
    return {
      instance,
      decision,
      evicted: decision.do === "evict" ? named(decision.ids) : [],
      drained: decision.do === "wait" ? named(decision.drain) : [],
      going: decision.do === "wait" ? named(decision.going) : [],
      left: card.memory.total - card.memory.reserved - taken,
    };
  }

  /** From now on the memory for this model is kept for it, and these make room. */
  claim({ instance, going }: Way): void {
    const home = homeOf(instance);
    const known = this.#claims.get(home) ?? { bytes: 0, going: new Set() };
    known.bytes += instance.facts.residency.memory ?? 0;
    for (const one of going) known.going.add(one);
    this.#claims.set(home, known);
    this.changed(instance);
  }

  /** The contents of its card have changed. */
  changed(instance: Instance): void {
    this.#memories.delete(homeOf(instance));
  }

  #memoryOf(instance: Instance): Memory {
    const home = homeOf(instance);
    let memory = this.#memories.get(home);
    if (memory === undefined) this.#memories.set(home, (memory = this.#read(instance)));
    return memory;
  }

  #read(instance: Instance): Memory {
    const sharers = instance.card.memory?.sharedBy ?? [instance.gpuId];
    const instances = sharers
      .flatMap((id) => this.#fleet.on(id))
      .filter((one) => one !== this.#without && takesMemory(one));
    const going = this.#claims.get(homeOf(instance))?.going;
    const residents = instances.map((one, id) => {
      const resident = residentOf(one, id, this.#waits.get(one.facts.modelName ?? "") ?? 0);
      return going?.has(one) === true && resident !== null ? { ...resident, state: "unloading" as const } : resident;
    });
    return { instances, residents: residents.every((one) => one !== null) ? residents : null };
  }
}

/**
 * The models for which tasks wait: the one that they name, else those that are there and may do them. Without the latter, what tasks that
 * name no model wait for would look as if nobody needed it, and would go and come back without end.
 */
function modelsFor({ model, instances }: Wish): Iterable<string> {
  if (model !== null) return [model];
  return new Set(instances.filter(takesMemory).flatMap(({ facts }) => facts.modelName ?? []));
}

/** A model that is leaving has to have left before it is loaded again. */
const GOES_FIRST = { do: "wait", drain: [], until: null, going: [], short: 0 } as const;

/** Names the memory that an instance is in. */
function homeOf({ gpuId, card: { memory } }: Instance): number {
  return memory?.sharedBy?.[0] ?? gpuId;
}
