/**
 * Which GPUs probably have the beginning of a prompt in their KV cache: as an engine that gives each slot a cache, and a task to the free
 * slot that has most of its prompt, or else to the one that has been free for longest. It is a guess and only good for a preference:
 * engines may do otherwise, and what has the same hash passes for the same.
 */
import { BLOCK, type Chain } from "../request.ts";
import { type Task } from "../task.ts";

/** Blocks that are remembered of the free slots of one GPU. */
const MOST_BLOCKS = 512;
/** GPUs that are remembered for one beginning, the last ones: where more have it, there is little to choose. */
const MOST_HOLDERS = 16;

const EMPTY: Chain = [];

/** GPUs that probably have so many characters of a prompt's beginning, at least. */
export interface Cached {
  readonly characters: number;
  readonly gpuIds: readonly number[];
}

/** What the slots of one GPU have. */
interface Slots {
  /** Those that are free, the one that has been so for longest first. One that was never used is not in it. */
  readonly free: Chain[];
  readonly taken: Map<Task, Chain>;
}

export class Prefixes {
  readonly #slots = new Map<number, Slots>();
  readonly #free = new Holders();
  readonly #taken = new Holders();

  /**
   * Who has how much of a prompt, the best first: what free slots have, the longest beginning first, then what those have that work on
   * it now. Only an engine whose slots share what they have computed can use the latter.
   */
  of(chain: Chain): readonly Cached[] {
    return [...this.#free.of(chain), ...this.#taken.of(chain)];
  }

  /** A GPU is given a task. @param room slots that are free after that */
  starts(gpuId: number, task: Task, room: number): void {
    const slots = this.#slotsOf(gpuId);
    const chain = task.prefix;
    const place = longestCommon(slots.free, chain);
    if (place !== -1 || slots.free.length > room) this.#drop(gpuId, slots, Math.max(0, place));
    if (chain.length === 0) return;
    slots.taken.set(task, chain);
    this.#taken.add(gpuId, chain);
  }

  /** A slot is free again. @param used whether the task has run there to its end */
  ends(gpuId: number, task: Task, used: boolean): void {
    const slots = this.#slotsOf(gpuId);
    const chain = slots.taken.get(task) ?? EMPTY;
    if (slots.taken.delete(task)) this.#taken.remove(gpuId, chain, [...slots.taken.values()]);
    if (!used) return;
    slots.free.push(chain);
    this.#free.add(gpuId, chain);
    let blocks = 0;
    for (const { length } of slots.free) blocks += length;
    for (; blocks > MOST_BLOCKS; blocks -= this.#drop(gpuId, slots, 0).length);
  }

  /** A GPU's cache is gone. */
  clear(gpuId: number): void {
    const slots = this.#slots.get(gpuId);
    if (slots === undefined) return;
    for (const chain of slots.free) this.#free.remove(gpuId, chain, []);
    for (const chain of slots.taken.values()) this.#taken.remove(gpuId, chain, []);
    this.#slots.delete(gpuId);
  }

  #drop(gpuId: number, { free }: Slots, place: number): Chain {
    const [chain] = free.splice(place, 1);
    this.#free.remove(gpuId, chain!, free);
    return chain!;
  }

  #slotsOf(gpuId: number): Slots {
    const known = this.#slots.get(gpuId);
    if (known !== undefined) return known;
    const slots = { free: [], taken: new Map<Task, Chain>() };
    this.#slots.set(gpuId, slots);
    return slots;
  }
}

/** From the beginnings of prompts to the GPUs that have them. */
class Holders {
  /** By the hash of the beginning; the GPU that got it last is the last one. */
  readonly #byHash = new Map<number, number[]>();

  /** The longest beginning first. */
  of(chain: Chain): Cached[] {
    const cached: Cached[] = [];
    for (let index = 0; index < chain.length; index++) {
      const gpuIds = this.#byHash.get(chain[index]!);
      // What nobody has to here, nobody has any further.
      if (gpuIds === undefined) break;
      cached.push({ characters: (index + 1) * BLOCK, gpuIds });
    }
    return cached.toReversed();
  }

  add(gpuId: number, chain: Chain): void {
    for (const hash of chain) {
      const gpuIds = this.#byHash.get(hash);
      if (gpuIds === undefined) {
        this.#byHash.set(hash, [gpuId]);
        continue;
      }
      remove(gpuIds, gpuId);
      gpuIds.push(gpuId);
      if (gpuIds.length > MOST_HOLDERS) gpuIds.shift();
    }
  }

  /** @param kept what the GPU has beside it */
  remove(gpuId: number, chain: Chain, kept: readonly Chain[]): void {
    for (let index = chain.length - 1; index >= 0; index--) {
      const hash = chain[index]!;
      // Who has this has what comes before it.
      if (kept.some((other) => other[index] === hash)) return;
      const gpuIds = this.#byHash.get(hash);
      if (gpuIds === undefined) continue;
      remove(gpuIds, gpuId);
      if (gpuIds.length === 0) this.#byHash.delete(hash);
    }
  }
}

function remove(gpuIds: number[], gpuId: number): void {
  const place = gpuIds.indexOf(gpuId);
  if (place !== -1) gpuIds.splice(place, 1);
}

/** Where the chain is that has most in common with another, the first of those; -1: none has anything. */
function longestCommon(chains: readonly Chain[], wanted: Chain): number {
  let best = -1;
  let length = 0;
  for (const [place, chain] of chains.entries()) {
    // One number in common means that all before it are.
    while (length < wanted.length && chain[length] === wanted[length]) {
      best = place;
      length++;
    }
  }
  return best;
}
