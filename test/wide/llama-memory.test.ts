/** What the llama engine makes of its memory, and how it computes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type EngineInfo } from "../../src/engine/engine.ts";
import { withSimplerType } from "../../src/engine/llama/model.ts";
import { type MemoryPlan } from "../../src/engine/memory-plan.ts";
import { estimateOf, takenBy } from "../../src/engine/estimate.ts";
import { EngineFailure } from "../../src/engine/failures.ts";
import { LLAMA, planned, prompts, refused, SLOTS, watch } from "../helpers/engines.ts";
import { type Changes, llamaInfo, withLlama } from "../helpers/llama.ts";
import { embeddingModel, instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";

const F16 = { kvCacheType: "f16" } as const;

/** A setting's value and reason. */
function settingOf({ settings }: EngineInfo, name: string): [string | number, string] {
  const setting = settings.find((one) => one.name === name);
  assert(setting !== undefined, name);
  return [setting.value, setting.reason];
}

/** Bytes that were planned for generating alone: room for vectors goes first where a byte is missing. */
async function plannedAlone(changes: Changes = {}): Promise<number> {
  const memoryBudget = planned(await llamaInfo(changes)) - 1;
  return planned(await llamaInfo({ ...changes, memoryBudget }));
}

/** What is reckoned before a load is what its plan takes, and a third more at most. */
async function isWhatItTakes(changes: Changes): Promise<void> {
  const { pace: _pace, tuning, ...rest } = changes;
  const options = { ...LLAMA, ...rest, tuning: { ...LLAMA.tuning, ...tuning } };
  const taken = takenBy(options, (await llamaInfo(changes)).memory!);
  const { wanted, least } = (await estimateOf(options))!;
  assert(taken <= wanted && wanted < 1.3 * taken, `${wanted} for ${taken}`);
  assert(least <= wanted);
}

describe("the memory of the llama engine", () => {
  it("makes the numbers of the KV cache smaller before the context: where one byte is missing they are q8_0", async () => {
    const wanted = await llamaInfo();
    const memoryBudget = (await plannedAlone()) - 1;
    const info = await withLlama(
      async (engine) => {
        const outcomes = await Promise.all(prompts(SLOTS).map((text) => watch(engine, text, 20).outcome));
        assert(outcomes.every(({ completionTokens }) => completionTokens === 20));
      },
      { memoryBudget },
    );
    assert.deepEqual([info.context, info.slots, info.memoryNote], [wanted.context, SLOTS, null]);
    assert.deepEqual(settingOf(info, "kv_cache_type"), ["q8_0", "memory is not enough for f16"]);
    assert(planned(info) < memoryBudget);
  });

  it("tells the bytes of a token by the type of the KV cache, and plans that much of it", async () => {
    // 4 layers, 2 heads with keys and values of 64 numbers; a quantized block of 32 has a scale of 2 bytes.
    const numbers = 4 * 2 * (64 + 64);
    for (const [kvCacheType, bytes] of [
      ["f16", 2 * numbers],
      ["q8_0", (numbers / 32) * 34],
      ["q4_0", (numbers / 32) * 18],
    ] as const) {
      const info = await llamaInfo({ tuning: { kvCacheType } });
      assert.equal(info.kvBytesPerToken, bytes);
      assert.equal(info.memory!.kvCache, bytes * info.context! * SLOTS);
      assert.deepEqual(settingOf(info, "kv_cache_type"), [kvCacheType, "the configuration says so"]);
    }
  });

  it("makes the context smaller where the type of the KV cache is configured and one byte is missing", async () => {
    const memoryBudget = (await plannedAlone()) - 1;
    const info = await llamaInfo({ memoryBudget, tuning: F16 });
    assert.match(info.memoryNote!, /instead of 4,096/);
    assert.deepEqual(settingOf(info, "context"), [info.context, "memory is enough for no more"]);
  });

  it("gives every slot a smaller context when memory is too small, and generates in it", async () => {
    const memoryBudget = await plannedAlone({ context: 2560 });
    const { context, slots, memoryNote } = await withLlama(
      async (engine) => {
        const outcomes = await Promise.all(prompts(SLOTS).map((text) => watch(engine, text, 20).outcome));
        assert(outcomes.every(({ completionTokens }) => completionTokens === 20));
        const { message } = await refused(watch(engine, "dog ".repeat(3000), 1).outcome);
        assert.match(message, /context of 2560 tokens/);
      },
      { context: 4000, memoryBudget, tuning: F16 },
    );
    assert.deepEqual([context, slots], [2560, SLOTS]);
    assert.match(
      memoryNote!,
      /^Memory \(.* MiB may be used\) is enough for 8 slots of 2,560 tokens instead of 4,000\. None is left for embeddings\.$/,
    );
  });

  it("makes fewer slots when memory is too small for the least context, and still runs all tasks", async () => {
    const memoryBudget = await plannedAlone({ context: 2048, slots: 3 });
    const info = await withLlama(
      async (engine) => {
        const outcomes = await Promise.all(prompts(SLOTS).map((text) => watch(engine, text, 20).outcome));
        assert(outcomes.every(({ completionTokens }) => completionTokens === 20));
      },
      { memoryBudget, tuning: F16 },
    );
    assert.deepEqual([info.context, info.slots], [2048, 3]);
    assert.match(
      info.memoryNote!,
      /^Memory \(.* MiB may be used\) is enough for 3 of 8 slots, of 2,048 tokens each\. None is left for embeddings\.$/,
    );
    assert.deepEqual(settingOf(info, "slots"), [3, "memory is enough for no more"]);
  });

  it("refuses a context beyond the trained one and too many slots, with the numbers", async () => {
    const { message } = await refused(llamaInfo({ context: 5000 }));
    assert.match(message, /5000 tokens .* 4096/);
    assert.match((await refused(llamaInfo({ slots: 300 }))).message, /300 slots .* 256/);
  });

  it("refuses a configured KV cache that cannot be made", async () => {
    const { code, message } = await refused(llamaInfo({ tuning: { kvCacheType: "q8_0", flashAttention: false } }));
    assert.equal(code, "model_error");
    assert.match(message, /8 slots of 4096 tokens with a KV cache of q8_0 could not be made: /);
  });
});

describe("a KV cache that nobody asked for and that cannot be made", () => {
  const plan = { kvCacheType: "q8_0", context: 4096 } as MemoryPlan;
  const simpler = { kvCacheType: "f16", context: 2048 } as MemoryPlan;
  const unable = new EngineFailure("model_error", "it cannot be made");
  const making = {
    make: async ({ kvCacheType, context }: MemoryPlan) => {
      if (kvCacheType === "q8_0") throw unable;
      return context;
    },
    planFor: async () => simpler,
  };

  it("is replaced by f16, with a plan of its own and the reason", async () => {
    const made = await withSimplerType(plan, LLAMA, making);
    assert.deepEqual(made, { plan: simpler, context: 2048, refusedType: "q8_0 was refused: it cannot be made" });
  });

  it("is the end where it was asked for, or where f16 cannot be made either", async () => {
    const options = { tuning: { ...LLAMA.tuning, kvCacheType: "q8_0" } } as const;
    await assert.rejects(withSimplerType(plan, options, making), unable);
    const make = () => Promise.reject(unable);
    await assert.rejects(withSimplerType(simpler, LLAMA, { ...making, make }), unable);
  });
});

describe("how the llama engine computes", () => {
  it("is chosen from model, device and memory where nothing is configured, with the reason", async () => {
    const info = await llamaInfo({ tuning: { threads: null, cores: 1 } });
    assert.deepEqual(
      info.settings.map(({ name, value }) => [name, value]),
      [
        ["threads", 1],
        ["batch_size", 128],
        ["prefill_chunk", 128],
        ["flash_attention", "auto"],
        ["kv_cache_type", "f16"],
        ["context", 4096],
        ["slots", SLOTS],
        ["raw", "false"],
      ],
    );
    assert(info.settings.every(({ reason }) => reason !== "" && !reason.endsWith(".")));
    assert.match(settingOf(info, "threads")[1], /share of the cores/);
    assert.match(settingOf(info, "context")[1], /as the model was trained/);
  });

  it("is as configured, and says so", async () => {
    const tuning = { threads: 2, cores: 2, batchSize: 64, flashAttention: false, kvCacheType: "f16" } as const;
    const info = await llamaInfo({ tuning, context: 1000 });
    const configured = info.settings.filter(({ reason }) => reason === "the configuration says so");
    assert.deepEqual(
      configured.map(({ name, value }) => [name, value]),
      [
        ["threads", 2],
        ["batch_size", 64],
        ["flash_attention", "false"],
        ["kv_cache_type", "f16"],
        ["context", 1000],
      ],
    );
    assert.match(settingOf(info, "slots")[1], /max_concurrent_tasks_per_gpu/, "which has a default");
  });

  it("says where what is configured is more than there is", async () => {
    const info = await llamaInfo({ tuning: { threads: 2, cores: 1, prefillChunk: 200, batchSize: 100 } });
    assert.deepEqual(settingOf(info, "threads"), [
      2,
      "the configuration says so; of the cores only 1 can be its own, as the server needs one too",
    ]);
    assert.deepEqual(settingOf(info, "prefill_chunk"), [
      100,
      "as many as a step has tokens (batch_size), at most; less where the other tasks would wait for it",
    ]);
  });

  it("has a token of each slot in a step, however small a batch is configured", async () => {
    const info = await withLlama(
      async (engine) => {
        await Promise.all(prompts(SLOTS).map((text) => watch(engine, text, 60).outcome));
        // Answers begin one after the other, as their prompts are read: not all of their steps are common ones.
        assert.ok((engine.stats.batches[SLOTS] ?? 0) > 0, JSON.stringify(engine.stats.batches));
      },
      { tuning: { batchSize: 2 } },
    );
    assert.deepEqual(settingOf(info, "batch_size"), [SLOTS, "a step has a token of each slot"]);
  });

  it("uses no more than a step's tokens that are configured", async () => {
    await withLlama(
      async (engine) => {
        const { promptTokens } = await watch(engine, "The dog ran to the park. ".repeat(50), 1).outcome;
        assert.equal(engine.stats.steps, Math.ceil((promptTokens! - 1) / 32) + 1);
      },
      { tuning: { batchSize: 32 } },
    );
  });
});

describe("what a model is reckoned to take before its load", () => {
  it("is what its plan takes, and a third more at most, whatever is configured", async () => {
    await isWhatItTakes({});
    await isWhatItTakes({ slots: 1 });
    await isWhatItTakes({ slots: 40, context: 512, tuning: { kvCacheType: "q8_0" } });
  });

  for (const [what, model] of [["generates", instructModel()] as const, ["makes vectors", embeddingModel()] as const]) {
    it(`is so for a real model that ${what}`, { skip: model === null && NO_REAL_MODEL }, async () => {
      await isWhatItTakes({ model: model!, slots: 2 });
    });
  }
});
