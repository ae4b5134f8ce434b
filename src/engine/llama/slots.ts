/**
 * The slots that no task has. Each keeps in its KV cache what was computed in it last, so that a prompt that begins alike needs only its
 * rest computed.
 */
import type { Token } from "node-llama-cpp";
import type { Decoder, Slot } from "./decoder.ts";
import { chooseSlot } from "./slot-choice.ts";

export class FreeSlots {
  readonly #decoder: Decoder;
  readonly #busy = new Set<number>();
  #free: Slot[];
  #uses = 0;

  constructor(decoder: Decoder, slots: number) {
    this.#decoder = decoder;
    this.#free = Array.from({ length: slots }, (_, index) => ({ index, held: [], usedAt: 0 }));
  }

  get count(): number {
    return this.#free.length;
  }

  /**
   * Takes the slot that suits the prompt best; there has to be one. No step may be going on.
   * @returns with the number of the prompt's tokens that are computed there already, never all of them
   */
  take(prompt: readonly Token[]): { slot: Slot; cached: number } {
    const candidates = this.#free.map((slot) => {
      const { index, usedAt, held } = slot;
      return { slot, index, usedAt, held: held.length, shared: this.#decoder.sharedWith(slot, prompt) };
    });
    const { slot, shared } = chooseSlot(candidates, prompt.length, this.#busy);
    this.#free = this.#free.filter((other) => other !== slot);
    this.#busy.add(slot.index);
    return { slot, cached: this.#decoder.cut(slot, shared) };
  }

  /** @param failed whether a decode in it has failed: what it holds is not known then */
  giveBack(slot: Slot, failed: boolean): void {
    if (failed) this.#decoder.clear(slot);
    slot.usedAt = ++this.#uses;
    this.#busy.delete(slot.index);
    this.#free.push(slot);
  }

  /** Makes all that are free as they were at first. */
  clear(): void {
    for (const slot of this.#free) {
      this.#decoder.clear(slot);
      slot.usedAt = 0;
    }
  }
}
