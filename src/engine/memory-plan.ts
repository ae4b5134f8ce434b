/**
 * Decides, before a model is loaded, how many slots of how many tokens fit into the memory. It is pure: it only asks how much each choice
 * would take.
 *
 *  1. Everything as wanted, with the first type of KV cache, if that fits.
 *  2. Else everything with the next type: its numbers are smaller.
 *  3. Else all slots with the largest context that fits, in steps of 256 tokens, but not below the least context.
 *  4. Else as many slots as fit with the least context, down to one.
 *  5. Else it does not fit.
 */
import { atLeast, atMost } from "../common/sizes.ts";
import { EngineFailure } from "./failures.ts";
import type { KvCacheType, PlannedMemory } from "./engine.ts";

/** The wish, and the memory there is. */
export interface MemoryWish {
  /** The model to load, as the subject of a sentence. */
  readonly what: string;
  /** Bytes. */
  readonly weights: number;
  /** Bytes that so many slots, each of so many tokens, take beside the weights. More of either never takes less. */
  readonly rest: (room: Room) => Rest | Promise<Rest>;
  /** Bytes that may be taken; null: not known, so everything is granted. */
  readonly budget: number | null;
  /** Tokens wanted for each slot. */
  readonly context: number;
  /** Tokens below which no slot goes, unless fewer were wanted. */
  readonly minContext: number;
  readonly slots: number;
  /** At least one; the later ones take less and are used only where memory is short. */
  readonly kvCacheTypes: readonly KvCacheType[];
}

/** Slots of a kind. */
export interface Room {
  /** Tokens for each slot. */
  readonly context: number;
  readonly slots: number;
  readonly kvCacheType: KvCacheType;
}

export type Rest = Omit<PlannedMemory, "weights">;

export interface MemoryPlan extends Room {
  /** Bytes by what takes them. */
  readonly memory: PlannedMemory;
  /** Their sum. */
  readonly needs: number;
  /** One sentence when this is less than was wanted; else null. */
  readonly note: string | null;
}

/** llama.cpp rounds a slot's context up to a multiple of this, so smaller steps would save nothing. */
const STEP = 256;

/** @throws {EngineFailure} `out_of_memory` when not even one slot fits, with what it needs at least and what it may take */
export async function planMemory(wish: MemoryWish): Promise<MemoryPlan> {
  const { context, slots, kvCacheTypes } = wish;
  const fitting = (plan: MemoryPlan): boolean => wish.budget === null || plan.needs <= wish.budget;
  const asked = await planFor(wish, { context, slots, kvCacheType: kvCacheTypes[0]! });
  if (fitting(asked)) return asked;
  // Of a long context there are very many.
  const rooms = roomsOf(wish);
  let best = await planFor(wish, rooms.at(-1)!);
  if (!fitting(best)) throw tooSmall(wish, best);
  // They take less and less, so the first that fits is found by halving.
  let tooMuch = 0;
  let enough = rooms.length - 1;
  while (enough - tooMuch > 1) {
    const middle = Math.floor((tooMuch + enough) / 2);
    const plan = await planFor(wish, rooms[middle]!);
    if (fitting(plan)) [enough, best] = [middle, plan];
    else tooMuch = middle;
  }
  return { ...best, note: noteOf(wish, best) };
}

/** The choices that may be granted, the best first: the order of the steps 1 to 4. */
function roomsOf({ context, minContext, slots, kvCacheTypes }: MemoryWish): Room[] {
  const least = Math.min(minContext, context);
  const rooms = kvCacheTypes.map((kvCacheType) => ({ context, slots, kvCacheType }));
  const kvCacheType = kvCacheTypes.at(-1)!;
  for (let smaller = multipleBelow(context); smaller > least; smaller -= STEP) {
    rooms.push({ context: smaller, slots, kvCacheType });
  }
  if (least < context) rooms.push({ context: least, slots, kvCacheType });
  for (let fewer = slots - 1; fewer > 0; fewer--) rooms.push({ context: least, slots: fewer, kvCacheType });
  return rooms;
}

function multipleBelow(context: number): number {
  return (Math.ceil(context / STEP) - 1) * STEP;
}

async function planFor({ weights, rest }: MemoryWish, room: Room): Promise<MemoryPlan> {
  const memory = { weights, ...(await rest(room)) };
  return { ...room, memory, needs: memory.weights + memory.kvCache + memory.overhead, note: null };
}

function noteOf({ budget, context, slots }: MemoryWish, plan: MemoryPlan): string | null {
  const enough = `Memory (${atMost(budget!)} may be used) is enough for`;
  if (plan.slots < slots) return `${enough} ${plan.slots} of ${slots} slots, of ${tokens(plan.context)} tokens each.`;
  if (plan.context === context) return null;
  return `${enough} ${slotsOf(plan.slots)} of ${tokens(plan.context)} tokens instead of ${tokens(context)}.`;
}

function tooSmall({ what, budget }: MemoryWish, { context, slots, memory, needs }: MemoryPlan): EngineFailure {
  const least = `${atLeast(needs)} of memory, ${atLeast(memory.weights)} of it for its weights`;
  const sentence = `${what} needs at least ${least}, for ${slotsOf(slots)} of ${tokens(context)} tokens; ${atMost(budget!)} may be used.`;
  return new EngineFailure("out_of_memory", sentence);
}

/** Such as `8 slots`. */
export function slotsOf(count: number): string {
  return count === 1 ? "1 slot" : `${count} slots`;
}

function tokens(count: number): string {
  return count.toLocaleString("en-US");
}
