/** How many slots of how many tokens a model gets, and which KV cache, for any model and any memory. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type KvCacheType } from "../src/engine/engine.ts";
import { type MemoryPlan, type MemoryWish, planMemory, type Room } from "../src/engine/memory-plan.ts";
import { EngineFailure } from "../src/engine/failures.ts";

const GIB = 2 ** 30;
const STEP = 256;

/** What a number takes, of what it takes in f16. */
const PART: Record<KvCacheType, number> = { f16: 1, q8_0: 0.53125, q4_0: 0.28125 };

/** A model by its figures, as the plan's `rest` sees it. */
interface Figures {
  /** In f16. */
  readonly kvBytesPerToken: number;
  /** Bytes of compute buffers: a part that is always there, and one for each token and slot. */
  readonly fixed: number;
  readonly perToken: number;
  readonly perSlot: number;
}

function restOf({ kvBytesPerToken, fixed, perToken, perSlot }: Figures): MemoryWish["rest"] {
  return ({ context, slots, kvCacheType }) => ({
    kvCache: kvBytesPerToken * PART[kvCacheType] * context * slots,
    overhead: fixed + perToken * context + perSlot * slots,
  });
}

const figures: fc.Arbitrary<Figures> = fc.record({
  kvBytesPerToken: fc.nat(200_000),
  fixed: fc.nat(GIB),
  perToken: fc.nat(5000),
  perSlot: fc.nat(10_000_000),
});

const wishes: fc.Arbitrary<MemoryWish> = fc.record({
  what: fc.constant("The model"),
  weights: fc.nat(20 * GIB),
  rest: figures.map(restOf),
  budget: fc.oneof(fc.constant(null), fc.nat(40 * GIB)),
  context: fc.integer({ min: 1, max: 20_000 }),
  minContext: fc.integer({ min: 1, max: 5000 }),
  slots: fc.integer({ min: 1, max: 64 }),
  kvCacheTypes: fc.constantFrom<KvCacheType[]>(["f16"], ["f16", "q8_0"], ["q4_0"]),
});

/** The plan, or null where it does not fit. */
async function planOrNull(wish: MemoryWish): Promise<MemoryPlan | null> {
  return planMemory(wish).catch((error: unknown) => {
    assert(error instanceof EngineFailure && error.code === "out_of_memory", String(error));
    return null;
  });
}

async function needs({ weights, rest }: MemoryWish, room: Room): Promise<number> {
  const { kvCache, overhead } = await rest(room);
  return weights + kvCache + overhead;
}

function holdsFor(property: (wish: MemoryWish, plan: MemoryPlan | null) => void | Promise<void>): Promise<void> {
  return fc.assert(
    fc.asyncProperty(wishes, async (wish) => {
      await property(wish, await planOrNull(wish));
    }),
    { numRuns: 1000 },
  );
}

/** A model with 1 GiB of weights and 1 MiB of KV cache a token. */
const simple: MemoryWish = {
  what: "The model file big.gguf",
  weights: GIB,
  rest: ({ context, slots, kvCacheType }) => ({
    kvCache: context * slots * PART[kvCacheType] * 2 ** 20,
    overhead: 0,
  }),
  budget: null,
  context: 8192,
  minContext: 2048,
  slots: 8,
  kvCacheTypes: ["f16"],
};

describe("the memory plan", () => {
  it("never takes more than it may", () =>
    holdsFor(({ budget }, plan) => {
      if (plan !== null && budget !== null) assert(plan.needs <= budget);
    }));

  it("adds up what it says it takes", () =>
    holdsFor(async (wish, plan) => {
      if (plan === null) return;
      const { weights, kvCache, overhead } = plan.memory;
      assert.equal(plan.needs, weights + kvCache + overhead);
      assert.equal(plan.needs, await needs(wish, plan));
    }));

  it("never grants more than was wanted, nor a context below the least one", () =>
    holdsFor(({ context, minContext, slots }, plan) => {
      if (plan === null) return;
      assert(plan.context <= context && plan.slots <= slots && plan.slots >= 1);
      assert(plan.context >= Math.min(minContext, context));
    }));

  it("lets go of slots only at the least context, and leaves no room for a larger context or one more slot", () =>
    holdsFor(async (wish, plan) => {
      const { context, minContext, slots, budget } = wish;
      if (plan === null || budget === null) return;
      if (plan.slots < slots) {
        assert.equal(plan.context, Math.min(minContext, context));
        assert((await needs(wish, { ...plan, slots: plan.slots + 1 })) > budget);
      } else if (plan.context < context) {
        const next = Math.min(context, (Math.floor(plan.context / STEP) + 1) * STEP);
        assert((await needs(wish, { ...plan, context: next })) > budget);
      }
    }));

  it("takes the best type of KV cache with which everything fits, and the smallest where with none", () =>
    holdsFor(async (wish, plan) => {
      const { budget, kvCacheTypes } = wish;
      if (plan === null) return;
      const rooms = kvCacheTypes.map((kvCacheType) => ({ ...wish, kvCacheType }));
      const costs = await Promise.all(rooms.map((room) => needs(wish, room)));
      const fitting = kvCacheTypes.find((_, index) => budget === null || costs[index]! <= budget);
      assert.equal(plan.kvCacheType, fitting ?? kvCacheTypes.at(-1));
    }));

  it("refuses only when one slot of the least context does not fit", () =>
    holdsFor(async (wish, plan) => {
      const { context, minContext, budget, kvCacheTypes } = wish;
      const kvCacheType = kvCacheTypes.at(-1)!;
      const least = await needs(wish, { context: Math.min(minContext, context), slots: 1, kvCacheType });
      assert.equal(plan === null, budget !== null && least > budget);
    }));

  it("says something exactly when it grants less than was wanted", () =>
    holdsFor(({ context, slots }, plan) => {
      if (plan === null) return;
      assert.equal(plan.note === null, plan.context === context && plan.slots === slots);
    }));

  it("makes the context smaller before it lets go of slots", async () => {
    const plan = await planMemory({ ...simple, budget: 33 * GIB });
    assert.deepEqual([plan.context, plan.slots, plan.needs], [4096, 8, 33 * GIB]);
    assert.equal(plan.note, "Memory (33.0 GiB may be used) is enough for 8 slots of 4,096 tokens instead of 8,192.");
  });

  it("takes a smaller KV cache before it makes the context smaller, and says nothing of it", async () => {
    const plan = await planMemory({ ...simple, kvCacheTypes: ["f16", "q8_0"], budget: 36 * GIB });
    assert.deepEqual([plan.context, plan.slots, plan.kvCacheType, plan.needs], [8192, 8, "q8_0", 35 * GIB]);
    assert.equal(plan.note, null);
  });

  it("lets go of slots once the context is at its least", async () => {
    const plan = await planMemory({ ...simple, budget: 7.96 * GIB });
    assert.deepEqual([plan.context, plan.slots], [2048, 3]);
    assert.equal(plan.note, "Memory (7.9 GiB may be used) is enough for 3 of 8 slots, of 2,048 tokens each.");
  });

  it("refuses with what it needs, rounded up, and what it may take, rounded down", async () => {
    await assert.rejects(planMemory({ ...simple, weights: 1.01 * GIB, budget: 3.005 * GIB }), {
      code: "out_of_memory",
      message:
        "The model file big.gguf needs at least 3.1 GiB of memory, 1.1 GiB of it for its weights, for 1 slot of 2,048 tokens; " +
        "3.0 GiB may be used.",
    });
  });

  it("asks for few of the possible shapes, for each may take a while to find out", async () => {
    let asked = 0;
    const rest: MemoryWish["rest"] = (room) => {
      asked++;
      return simple.rest(room);
    };
    await planMemory({ ...simple, rest });
    assert.equal(asked, 1);
    await planMemory({ ...simple, rest, context: 131_072, budget: 100 * GIB });
    assert(asked < 16, `${asked}`);
  });
});
