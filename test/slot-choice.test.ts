/** Which free slot a task gets, by what the slots hold. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseSlot, type FreeSlot } from "../src/engine/llama/slot-choice.ts";

const NONE: ReadonlySet<number> = new Set();

/** Free slots with these numbers of tokens held and shared; used one after the other, where nothing else is said. */
function slots(...held: readonly (readonly [held: number, shared: number, usedAt?: number])[]): FreeSlot[] {
  return held.map(([count, shared, usedAt = count === 0 ? 0 : undefined], index) => ({
    index,
    held: count,
    shared,
    usedAt: usedAt ?? index + 1,
  }));
}

function chosen(free: readonly FreeSlot[], promptTokens: number, busy = NONE): number {
  return chooseSlot(free, promptTokens, busy).index;
}

describe("the choice of a slot", () => {
  it("is the one whose content has the longest beginning in common with the prompt", () => {
    assert.equal(chosen(slots([1200, 500], [1200, 1000], [1200, 800]), 1100), 1);
  });

  it("is the least recently used one among those that have as much in common", () => {
    assert.equal(chosen(slots([1200, 1000, 7], [1300, 1000, 5], [1400, 1000, 6]), 1100), 1);
  });

  it("is the lowest empty one for a prompt that nothing is known of", () => {
    assert.equal(chosen(slots([900, 1], [0, 0], [0, 0]), 300), 1);
    assert.equal(chosen(slots([0, 0], [0, 0], [900, 1]), 300), 0);
  });

  it("is not one that holds a long text for the sake of its first words", () => {
    assert.equal(chosen(slots([3000, 40], [0, 0]), 1000), 1);
    assert.equal(chosen(slots([3000, 4], [0, 0]), 5), 1);
  });

  it("is one that holds a long text where half of the prompt is saved, or as much as is lost", () => {
    assert.equal(chosen(slots([3000, 500], [0, 0]), 1000), 0);
    assert.equal(chosen(slots([60, 40], [0, 0]), 1000), 0);
  });

  it("is the least recently used one when none is empty and nothing is worth keeping", () => {
    assert.equal(chosen(slots([500, 1, 3], [500, 2, 2], [500, 1, 4]), 300), 1);
  });

  it("is one beside those in use: a gap takes a pass over the weights in each step", () => {
    assert.equal(chosen(slots([0, 0], [0, 0], [0, 0], [0, 0]).slice(1), 300, new Set([3, 0])), 1);
    const used = slots([500, 1, 1], [500, 1, 2], [500, 1, 3], [500, 1, 4]);
    assert.equal(chosen(used.slice(0, 3), 300, new Set([3])), 2);
    assert.equal(chosen([used[0]!, used[2]!], 300, new Set([1, 3])), 2);
  });

  it("leaves a gap for a long beginning, not for a short one", () => {
    for (const [shared, index] of [
      [300, 1],
      [1000, 3],
    ] as const) {
      const [, ...free] = slots([0, 0], [0, 0], [0, 0], [shared, shared]);
      assert.equal(chosen(free, shared + 20, new Set([0])), index);
    }
  });
});
