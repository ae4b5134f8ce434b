/**
 * Which instances probably have the beginning of a prompt in their KV cache. The model is an engine whose slots have a cache each. It gives
 * a task to the free slot with most of its prompt, else to the slot that has been free for longest. The result is a guess, and only good
 * for a preference: engines may do otherwise, and equal hashes pass for equal texts.
 */
import { InFlight, takeOut } from "../common/in-flight.ts";
import { BLOCK, type Chain } from "../request.ts";
import type { Task } from "../task.ts";
import { promptWork } from "./pace.ts";

/** Blocks that are remembered of the free slots of one instance. */
const MOST_BLOCKS = 512;
/** The most instances remembered for one beginning, the latest ones; where more have it, the choice matters little. */
const MOST_HOLDERS = 16;

const EMPTY: Chain = [];

/** Instances that probably have so many characters of a prompt's beginning, at least. */
export interface Cached<Holder> {
  readonly characters: number;
  readonly holders: readonly Holder[];
  /** Tokens of work that it spares there; 0: it is in slots that are taken. */
  readonly spares: number;
}

/** The prompts in the slots of one instance. */
interface Slots {
  /** The free ones, the longest free first. A slot that was never used is not among them. */
  readonly free: Chain[];
  /** By the ids of tasks. */
  readonly taken: InFlight<string, Chain>;
}

/** The name of an instance is its `Holder`. */
export class Prefixes<Holder> {
  readonly #slots = new Map<Holder, Slots>();
  readonly #free = new Holders<Holder>();
  readonly #taken = new Holders<Holder>();

  /**
   * The holders of a prompt's beginning, the best first: those that have it in free slots, the longest beginning first, then those that
   * work on it now. Only an engine whose slots share their caches can use the latter.
   */
  of(chain: Chain): readonly Cached<Holder>[] {
    return [...this.#free.of(chain, true), ...this.#taken.of(chain, false)];
  }

  /** An instance is given a task. @param room slots that stay free */
  starts(holder: Holder, task: Task, room: number): void {
    const slots = this.#slotsOf(holder);
    const chain = task.prefix;
    const place = longestCommon(slots.free, chain);
    if (place !== -1 || slots.free.length > room) this.#drop(holder, slots, Math.max(0, place));
    if (chain.length === 0) return;
    slots.taken.set(task.id, chain);
    this.#taken.add(holder, chain);
  }

  /** A slot is free again. @param used whether the task has run there to its end */
  ends(holder: Holder, task: Task, used: boolean): void {
    const slots = this.#slotsOf(holder);
    const chain = slots.taken.get(task.id) ?? EMPTY;
    if (slots.taken.delete(task.id)) this.#taken.remove(holder, chain, [...slots.taken.values()]);
    if (!used) return;
    slots.free.push(chain);
    this.#free.add(holder, chain);
    let blocks = 0;
    for (const { length } of slots.free) blocks += length;
    for (; blocks > MOST_BLOCKS; blocks -= this.#drop(holder, slots, 0).length);
  }

  /** An instance has lost its cache. */
  clear(holder: Holder): void {
    const slots = this.#slots.get(holder);
    if (slots === undefined) return;
    for (const chain of slots.free) this.#free.remove(holder, chain, []);
    for (const chain of slots.taken.values()) this.#taken.remove(holder, chain, []);
    this.#slots.delete(holder);
  }

  #drop(holder: Holder, { free }: Slots, place: number): Chain {
    const [chain] = free.splice(place, 1);
    this.#free.remove(holder, chain!, free);
    return chain!;
  }

  #slotsOf(holder: Holder): Slots {
    const known = this.#slots.get(holder);
    if (known !== undefined) return known;
    const slots = { free: [], taken: new InFlight<string, Chain>() };
    this.#slots.set(holder, slots);
    return slots;
  }
}

/** From the beginnings of prompts to the instances that have them. */
class Holders<Holder> {
  /** By the hash of the beginning, in the order in which instances got it. */
  readonly #byHash = new Map<number, Holder[]>();

  /** The longest beginning first. */
  of(chain: Chain, isFree: boolean): Cached<Holder>[] {
    const cached: Cached<Holder>[] = [];
    for (let index = 0; index < chain.length; index++) {
      const holders = this.#byHash.get(chain[index]!);
      // If no holder has the prompt up to here, none has more.
      if (holders === undefined) break;
      const characters = (index + 1) * BLOCK;
      cached.push({ characters, holders, spares: isFree ? promptWork(characters) : 0 });
    }
    return cached.toReversed();
  }

  add(holder: Holder, chain: Chain): void {
    for (const hash of chain) {
      const holders = this.#byHash.get(hash);
      if (holders === undefined) {
        this.#byHash.set(hash, [holder]);
        continue;
      }
      takeOut(holders, holder);
      holders.push(holder);
      if (holders.length > MOST_HOLDERS) holders.shift();
    }
  }

  /** @param kept the chains that it still has */
  remove(holder: Holder, chain: Chain, kept: readonly Chain[]): void {
    for (let index = chain.length - 1; index >= 0; index--) {
      const hash = chain[index]!;
      // A holder of this block has all blocks before it.
      if (kept.some((other) => other[index] === hash)) return;
      const holders = this.#byHash.get(hash);
      if (holders === undefined) continue;
      takeOut(holders, holder);
      if (holders.length === 0) this.#byHash.delete(hash);
    }
  }
}

/** The index of the chain that has most in common with another, the first of equals; -1: none has anything in common. */
function longestCommon(chains: readonly Chain[], wanted: Chain): number {
  let best = -1;
  let length = 0;
  // By index: an iterator would make an array for each of up to thousands of chains, with each task.
  for (let place = 0; place < chains.length && length < wanted.length; place++) {
    // One number in common means that all before it are.
    while (length < wanted.length && chains[place]![length] === wanted[length]) {
      best = place;
      length++;
    }
  }
  return best;
}
