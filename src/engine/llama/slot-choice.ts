/**
 * Which free slot a task gets. Its KV cache still holds what ran there last, and the beginning that this has in common with the new
 * prompt need not be computed again. But llama.cpp decodes only slots together whose numbers follow each other: each group of them takes
 * a pass over the weights of its own, in every step for as long as its tasks run.
 *
 *  1. The slot that saves the most tokens, where that is worth what is thrown away there: at least half of the prompt, or as much as
 *     is lost, and more than a handful. A slot that makes for one more group in use than necessary has to save `GROUP` tokens more.
 *  2. Else one that holds nothing.
 *  3. Else, as among those that save the same, one that makes for the fewest groups in use, the least recently used of them.
 */

/** Tokens below which a common beginning is what any two texts may have. */
const HANDFUL = 16;

/** Prompt tokens that take about as long as one more pass in each of the following steps. */
const GROUP = 512;

/** A free slot, as the choice sees it. */
export interface FreeSlot {
  readonly index: number;
  /** Tokens that its KV cache holds. */
  readonly held: number;
  /** How many of them, from the first one on, are the beginning of the prompt and can be used again. */
  readonly shared: number;
  /** Grows from use to use. */
  readonly usedAt: number;
}

/**
 * @param free at least one
 * @param busy the numbers of the slots in use
 */
export function chooseSlot<Slot extends FreeSlot>(
  free: readonly Slot[],
  promptTokens: number,
  busy: ReadonlySet<number>,
): Slot {
  const withGroups = free.map((slot) => ({ slot, groups: groupsWith(slot.index, busy) }));
  const fewest = Math.min(...withGroups.map(({ groups }) => groups));
  const [best] = withGroups
    .map(({ slot, groups }) => ({ slot, groups, gain: savedBy(slot, promptTokens) - GROUP * (groups - fewest) }))
    .toSorted(
      (a, b) =>
        Math.max(0, b.gain) - Math.max(0, a.gain) ||
        Number(a.slot.held > 0) - Number(b.slot.held > 0) ||
        a.groups - b.groups ||
        a.slot.usedAt - b.slot.usedAt ||
        a.slot.index - b.slot.index,
    );
  return best!.slot;
}

function savedBy({ held, shared }: FreeSlot, promptTokens: number): number {
  const isWorthIt = shared >= promptTokens / 2 || shared >= held - shared;
  return isWorthIt && shared > HANDFUL ? shared : 0;
}

/** How many groups of slots are in use, once this one is too. */
function groupsWith(index: number, busy: ReadonlySet<number>): number {
  const all = new Set([...busy, index]);
  return [...all].filter((number) => !all.has(number - 1)).length;
}
