/** Vectors of real models, which say what the demo model's cannot: whether texts of one meaning are near each other. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Engine, type EngineInfo } from "../../src/engine/engine.ts";
import { likeness, vectorsOf } from "../helpers/embedding-promises.ts";
import { withLlama } from "../helpers/llama.ts";
import { embeddingModel, instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";

const PAIRS = [
  ["A cat sits on the mat", "A kitten is lying on a rug"],
  ["How do I reset my password?", "Steps to recover account access"],
] as const;
const STRANGER = "Quarterly revenue rose by 8 %";

/** Cosines of all-MiniLM-L6-v2, as it gave them when this was written. */
const KNOWN = { pairs: [0.56, 0.55], strangers: [-0.01, 0] };

const embedding = embeddingModel();
const instruct = instructModel();

function use(test: (engine: Engine) => Promise<void>): Promise<EngineInfo> {
  return withLlama(test, { model: embedding! });
}

describe("the vectors of a real model for embeddings", { skip: embedding === null && NO_REAL_MODEL }, () => {
  it("are near where the meaning is", async () => {
    const info = await use(async (engine) => {
      for (const [index, pair] of PAIRS.entries()) {
        const { vectors } = await vectorsOf(engine, [...pair, STRANGER]);
        const [near, far] = [likeness(vectors[0], vectors[1]), likeness(vectors[0], vectors[2])];
        assert(Math.abs(near - KNOWN.pairs[index]!) < 0.02, String(near));
        assert(Math.abs(far - KNOWN.strangers[index]!) < 0.02, String(far));
      }
    });
    assert.deepEqual([info.capabilities, info.context, info.hasChatTemplate], [["embedding"], 512, false]);
  });

  it("have what looks like a special token as text", async () => {
    await use(async (engine) => {
      const { vectors, outcome } = await vectorsOf(engine, ["[SEP]", "sep"]);
      assert(outcome.promptTokens! >= 8, String(outcome.promptTokens));
      assert(likeness(vectors[0], vectors[1]) < 0.99);
    });
  });

  it("are made of the whole context", async () => {
    await use(async (engine) => {
      const inner = Array.from({ length: 510 }, (_, index) => 2000 + index);
      const { outcome } = await vectorsOf(engine, [inner]);
      assert.equal(outcome.promptTokens, 512);
    });
  });
});

describe("the vectors of a real chat model", { skip: instruct === null && NO_REAL_MODEL }, () => {
  it("are there too, and say a little of the meaning", async () => {
    const info = await withLlama(
      async (engine) => {
        const { vectors } = await vectorsOf(engine, [...PAIRS[0], STRANGER]);
        const [near, far] = [likeness(vectors[0], vectors[1]), likeness(vectors[0], vectors[2])];
        assert(near > far + 0.1, `${near} ${far}`);
      },
      { model: instruct!, slots: 1, context: 512 },
    );
    assert(info.capabilities.includes("embedding") && info.capabilities.includes("completion"));
  });
});
