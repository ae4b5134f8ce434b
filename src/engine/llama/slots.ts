/**
 * The slots that no task has. Each keeps in its KV cache what was computed in it last, so that a prompt that begins alike needs only its
 * rest computed; the sequence itself knows which tokens those are.
 */
import { type LlamaContext, type LlamaContextSequence, type Token } from "node-llama-cpp";
import { chooseSlot } from "./slot-choice.ts";

/** Room for one task: the context's sequence of the same number. */
export interface Slot {
  readonly index: number;
  sequence: LlamaContextSequence;
  /** Grows from use to use; 0: there was none. */
  usedAt: number;
}

export class FreeSlots {
  readonly #context: LlamaContext;
  readonly #busy = new Set<number>();
  #free: Slot[] = [];
  #uses = 0;

  constructor(context: LlamaContext, slots: number) {
    this.#context = context;
    // Taken once and kept, the context's sequences have the slots' numbers.
    for (let index = 0; index < slots; index++) {
      this.#free.push({ index, sequence: this.#newSequence(), usedAt: 0 });
    }
  }

  get count(): number {
    return this.#free.length;
  }

  /**
   * Takes the slot that suits the prompt best; there has to be one.
   * @returns with the number of the prompt's tokens that are computed there already, never all of them
   */
  async take(prompt: Token[]): Promise<{ slot: Slot; cached: number }> {
    const candidates = this.#free.map((slot) => {
      const { index, sequence, usedAt } = slot;
      return { slot, index, usedAt, held: sequence.nextTokenIndex, shared: sharedWith(sequence, prompt) };
    });
    const { slot, held, shared } = chooseSlot(candidates, prompt.length, this.#busy);
    this.#free = this.#free.filter((other) => other !== slot);
    this.#busy.add(slot.index);
    if (shared < held) await slot.sequence.eraseContextTokenRanges([{ start: shared, end: held }]);
    return { slot, cached: shared };
  }

  /** @param failed whether a decode in it has failed */
  async giveBack(slot: Slot, failed: boolean): Promise<void> {
    if (failed) {
      // The sequence may think it is empty while llama.cpp still holds some of its tokens. No other sequence is without a slot, so the
      // new one has the same number.
      await slot.sequence.dispose();
      slot.sequence = this.#newSequence();
    }
    slot.usedAt = ++this.#uses;
    this.#busy.delete(slot.index);
    this.#free.push(slot);
  }

  /** Makes all that are free as they were at first. */
  async clear(): Promise<void> {
    for (const slot of this.#free) {
      await slot.sequence.clearHistory();
      slot.usedAt = 0;
    }
  }

  #newSequence(): LlamaContextSequence {
    // Checkpoints would cost memory for each slot; without them a state that cannot be cut short is computed anew.
    return this.#context.getSequence({ checkpoints: { interval: false } });
  }
}

/**
 * How many tokens of the prompt, from the first one on, need not be computed again: one less than all at most, for a result comes only
 * of a token that is decoded.
 *
 * The tokens behind them have to be erased. A state that has lost what comes before cannot be cut short: that of a recurrent model, which is
 * the sum of all tokens, and that of a sliding window, once the window has moved on too far.
 */
function sharedWith(sequence: LlamaContextSequence, prompt: Token[]): number {
  const { firstDifferentIndex } = sequence.compareContextTokens(prompt);
  const shared = Math.min(firstDifferentIndex, prompt.length - 1);
  if (shared === 0 || shared === sequence.nextTokenIndex) return shared;
  const window = sequence.model.fileInsights.swaSize ?? Infinity;
  return sequence.stateCellsStartIndex <= Math.max(0, shared - window) ? shared : 0;
}
