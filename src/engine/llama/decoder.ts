/**
 * Decodes batches of all slots, and draws the tokens that come of them.
 *
 * Both are work for threads of Node's pool. Where the pool is a single thread, as in a worker on a CPU (`threadPoolFor`), the draws are queued
 * right behind the decoding: that thread goes on with them by itself, and a step comes back to JavaScript once. With more threads a draw would
 * begin beside the decoding whose result it needs, so it is queued afterwards; then all slots are drawn for at the same time.
 */
import type { Llama, LlamaContext, LlamaModel, Token } from "node-llama-cpp";
import { Mutex } from "../../common/mutex.ts";
import { contextInside, type NativeContext, type NativeSampler, newThreadShare, type ThreadShare } from "./binding.ts";

/** Room for one task: the context's sequence of the same number. */
export interface Slot {
  readonly index: number;
  /** The tokens that its KV cache holds. */
  held: Token[];
  /** Grows from use to use; 0: there was none. */
  usedAt: number;
}

/** The part of one slot in a step: the tokens to decode, and the draw behind them. */
export interface Part {
  readonly slot: Slot;
  /** At least one. */
  readonly tokens: readonly Token[];
  /** Draws a token behind the last one; undefined: none is wanted. */
  readonly sampler: NativeSampler | undefined;
}

/** The logits of a slot in the step that was decoded last. */
export interface Place {
  readonly slot: Slot;
  readonly row: number;
}

export interface Drawn {
  readonly place: Place;
  readonly token: Token;
  /** NaN: the model computes nonsense. */
  readonly probability: number;
}

const NO_RESULTS = new Uint32Array(0);
const NO_TOKEN = -1;

/** Of those that have several contexts and may decode in one of them at a time. */
const turns = new WeakMap<Llama, Mutex>();

/** Decodes when no other context does, where that matters: Vulkan's driver crashes where two do at once. */
export function inTurn<Result>(llama: Llama, decode: () => Promise<Result>): Promise<Result> {
  if (llama.gpu !== "vulkan") return decode();
  const mutex = turns.get(llama) ?? new Mutex();
  turns.set(llama, mutex);
  return mutex.run("decode", decode);
}

export class Decoder {
  readonly #context: NativeContext;
  readonly #model: LlamaModel;
  readonly #threads: number;
  readonly #isInOrder: boolean;
  #share: ThreadShare | undefined;

  /** @param poolThreads of Node's pool */
  constructor(context: LlamaContext, poolThreads = process.env["UV_THREADPOOL_SIZE"]) {
    this.#context = contextInside(context);
    this.#model = context.model;
    this.#threads = context.idealThreads;
    this.#isInOrder = poolThreads === "1";
  }

  /**
   * One step of all these slots, which then hold their parts' tokens.
   * @returns what was drawn in each, in the order of `parts`; an error where the draw failed
   * @throws {Error} the decoding failed, and what these slots hold now is not known
   */
  async step(parts: readonly Part[]): Promise<(Drawn | Error | undefined)[]> {
    this.#share ??= newThreadShare(this.#model.llama, this.#threads);
    const [threads, used] = await this.#share.getAllocationToConsume();
    try {
      this.#context.setThreads(threads);
      return await inTurn(this.#model.llama, () => this.#decode(parts));
    } finally {
      used.dispose();
    }
  }

  /** Leaves the threads to others, until the next step. */
  rest(): void {
    this.#share?.dispose();
    this.#share = undefined;
  }

  async #decode(parts: readonly Part[]): Promise<(Drawn | Error | undefined)[]> {
    const rows = this.#fill(parts);
    const decoding = this.#context.decodeBatch();
    if (!this.#isInOrder) await decoding;
    const draws = parts.map(({ sampler }, at) =>
      sampler === undefined ? undefined : this.#context.sampleToken(rows[at]!, sampler, false, true),
    );
    const [decoded, ...drawn] = await Promise.allSettled([decoding, ...draws]);
    if (decoded.status === "rejected") throw decoded.reason;
    return parts.map(({ slot, tokens, sampler }, at) => {
      slot.held.push(...tokens);
      const result = drawn[at]!;
      if (result.status === "rejected") return result.reason as Error;
      if (sampler === undefined) return undefined;
      const [token, , probability = NaN] = result.value!;
      if (token === NO_TOKEN) return new Error("no token could be drawn");
      return { place: { slot, row: rows[at]! }, token, probability };
    });
  }

  /** @returns the row of each part's result */
  #fill(parts: readonly Part[]): number[] {
    this.#context.initBatch(parts.reduce((sum, { tokens }) => sum + tokens.length, 0));
    const rows: number[] = [];
    for (const at of inSlotOrder(parts)) {
      const { slot, tokens, sampler } = parts[at]!;
      const results = sampler === undefined ? NO_RESULTS : Uint32Array.of(tokens.length - 1);
      rows[at] = this.#context.addToBatch(slot.index, slot.held.length, Uint32Array.from(tokens), results)[0] ?? -1;
    }
    return rows;
  }

  /**
   * How many of the prompt's tokens, from the first one on, the slot holds and can go on from: one less than all at most, for a result comes
   * only of a token that is decoded.
   *
   * The tokens behind them have to be erased. A state that has lost what comes before cannot be cut short: that of a recurrent model, which is
   * the sum of all tokens, and that of a sliding window, once the window has moved on too far.
   */
  sharedWith({ index, held }: Slot, prompt: readonly Token[]): number {
    const end = Math.min(held.length, prompt.length - 1);
    let shared = 0;
    while (shared < end && held[shared] === prompt[shared]) shared++;
    if (shared === 0 || shared === held.length) return shared;
    const window = this.#model.fileInsights.swaSize ?? Infinity;
    const first = this.#context.getSequenceKvCacheMinPosition(index);
    return first <= Math.max(0, shared - window) ? shared : 0;
  }

  /** Lets the slot forget all but its first tokens. @returns how many it holds then: none, where its state cannot be cut */
  cut(slot: Slot, count: number): number {
    const { index, held } = slot;
    if (count === held.length) return count;
    if (count > 0 && this.#context.removeTokenCellsFromSequence(index, count, held.length)) held.length = count;
    else this.clear(slot);
    return slot.held.length;
  }

  clear(slot: Slot): void {
    this.#context.disposeSequence(slot.index);
    slot.held = [];
  }
}

/**
 * The indices of the parts as they go into the batch: in the order of their slots.
 *
 * The order matters twice. llama.cpp decodes sequences together only where their numbers follow each other, so another order means
 * more passes over the weights. And when an order or a mixture makes it decode out of order, it swaps the results back when they
 * are first read; they are read from several threads at once, so that swap is a race, and tasks get each other's tokens.
 *
 * A piece of a prompt has no result. Where its slot comes after all that generate it is decoded before them, and after them where its
 * slot comes before: together with them, llama.cpp would let each of them look through as many tokens as the prompt has. A single token
 * is one pass less together with them, which counts for more.
 */
function inSlotOrder(parts: readonly Part[]): readonly number[] {
  if (parts.length === 1) return [0];
  const slots = parts.filter(({ sampler }) => sampler !== undefined).map(({ slot }) => slot.index);
  const [lowest, highest] = [Math.min(...slots), Math.max(...slots)];
  const rank = ({ tokens, sampler, slot }: Part) => {
    if (tokens.length === 1 || sampler !== undefined || slots.length === 0) return 0;
    return slot.index > highest ? -1 : Number(slot.index < lowest);
  };
  return [...parts.keys()].toSorted((a, b) => {
    const [one, other] = [parts[a]!, parts[b]!];
    return rank(one) - rank(other) || one.slot.index - other.slot.index;
  });
}
