/** Vectors of the embedded engine: of a model that is made for them alone, and beside texts. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { proofFor } from "../src/engine/engine.ts";
import { LlamaEngine } from "../src/engine/llama/llama.ts";
import { assertAlike, embeddingOf, makesVectors, vectorsOf } from "./helpers/embedding-promises.ts";
import { LLAMA, planned, refused, watch } from "./helpers/engines.ts";
import { llamaInfo, withLlama } from "./helpers/llama.ts";
import { EMBEDDING_CONTEXT, writeEmbeddingModel, writeModelOfZeros } from "./helpers/tiny-models.ts";

const folder = mkdtempSync(join(tmpdir(), "alt-las-vectors-"));
const model = join(folder, "vectors.gguf");
writeEmbeddingModel(model);
after(() => rmSync(folder, { recursive: true }));

function fail(): never {
  throw new Error("no more of this");
}

makesVectors({
  name: "llama (a model for embeddings)",
  generates: false,
  create: () => new LlamaEngine({ ...LLAMA, model }),
});

describe("a model for embeddings", () => {
  let engine: LlamaEngine;
  before(async () => {
    engine = new LlamaEngine({ ...LLAMA, model });
    await engine.load();
  });
  after(() => engine.stop());

  it("says what it can, and has a proof that it can answer", async () => {
    const info = await engine.load();
    assert.deepEqual(
      [info.capabilities, info.context, info.slots, info.kvBytesPerToken, info.memoryNote],
      [["embedding"], EMBEDDING_CONTEXT, LLAMA.slots, 0, null],
    );
    assert.equal(proofFor(info).kind, "embedding");
    assert(info.memory!.weights > 0 && info.memory!.kvCache === 0 && info.memory!.overhead > 0);
  });

  it("generates no text", async () => {
    const { code, message } = await refused(watch(engine, "Once", 3).outcome);
    assert.deepEqual([code, message], ["unsupported", "This model makes embeddings; it generates no text."]);
  });

  it("takes the longest input that fits, and refuses the next with both numbers before it makes a vector", async () => {
    // A list begins as a text does, with the token that this model wants there.
    const tokens = Array.from({ length: EMBEDDING_CONTEXT - 1 }, (_, index) => 100 + index);
    assert.equal((await vectorsOf(engine, [tokens])).outcome.promptTokens, EMBEDDING_CONTEXT);
    const error = await refused(vectorsOf(engine, ["The cat", [...tokens, 5]], { onVector: () => assert.fail() }));
    const sentence = "input[1] has 65 tokens, but this model's embeddings have room for 64.";
    assert.deepEqual([error.code, error.message], ["prompt_too_long", sentence]);
  });

  it("makes the same vector of a text and of its tokens, and refuses tokens that it does not have", async () => {
    const { vectors, outcome } = await vectorsOf(engine, [[104, 101], [104], "cat"]);
    const again = await vectorsOf(engine, [[104]]);
    assertAlike(vectors[1], again.vectors[0]);
    assert.equal(outcome.promptTokens, 5 + (await vectorsOf(engine, ["cat"])).outcome.promptTokens!);
    for (const token of [2048, -1, 1.5]) {
      const { code, message } = await refused(vectorsOf(engine, ["cat", [7, token]]));
      const sentence = `input[1] has the token ${token}, but those of this model are 0 to 2047.`;
      assert.deepEqual([code, message], ["invalid_input", sentence]);
    }
  });

  it("lets requests take turns, and ends a canceled one between two inputs", async () => {
    const controller = new AbortController();
    const order: string[] = [];
    const { signal } = controller;
    const long = vectorsOf(
      engine,
      Array.from({ length: 500 }, () => "The cat said"),
      {
        signal,
        onVector: (count) => void (order.push("long"), count === 5 && controller.abort()),
      },
    );
    const short = vectorsOf(engine, ["A dog", "A cat"], { onVector: () => void order.push("short") });
    const [canceled, whole] = await Promise.all([long, short]);
    assert.deepEqual([canceled.outcome.finishReason, canceled.vectors.length], ["canceled", 5]);
    assert.deepEqual([whole.outcome.finishReason, whole.vectors.length], ["stop", 2]);
    assert.deepEqual(order.slice(0, 4), ["long", "short", "long", "short"]);
  });

  it("fails only the request whose listener throws", async () => {
    const request = embeddingOf("One", "Two");
    const { signal } = new AbortController();
    const failing = engine.generate({ request, signal, emit: fail });
    const other = vectorsOf(engine, ["Three", "Four"]);
    await assert.rejects(failing, /no more of this/);
    assert.equal((await other).vectors.length, 2);
  });

  it("ends everything when it is stopped", async () => {
    const own = new LlamaEngine({ ...LLAMA, model });
    await own.load();
    const first = Promise.withResolvers<void>();
    const inputs = Array.from({ length: 500 }, () => "The cat said");
    const running = vectorsOf(own, inputs, { onVector: () => first.resolve() });
    const waiting = vectorsOf(own, inputs);
    await first.promise;
    await own.stop();
    assert.equal((await running).outcome.finishReason, "canceled");
    assert.equal((await waiting).outcome.finishReason, "canceled");
  });

  it("is refused where it computes nonsense", async () => {
    const path = join(folder, "broken.gguf");
    writeEmbeddingModel(path, true);
    const { code, message } = await refused(llamaInfo({ model: path }));
    assert.equal(code, "model_error");
    assert.match(message, /computed nonsense: its vector has no direction\. The file is damaged/);
  });
});

describe("vectors beside texts", () => {
  it("have room in the plan, and go first where memory is short", async () => {
    const whole = await llamaInfo();
    const fits = await llamaInfo({ memoryBudget: planned(whole) });
    assert.deepEqual([fits.capabilities, fits.memoryNote], [whole.capabilities, null]);
    const short = await withLlama(
      async (engine) => {
        const { code, message } = await refused(vectorsOf(engine, ["The cat"]));
        assert.deepEqual([code, message], ["unsupported", "No memory is left for embeddings."]);
      },
      { memoryBudget: planned(whole) - 1 },
    );
    assert.deepEqual([short.context, short.slots], [whole.context, whole.slots]);
    assert(!short.capabilities.includes("embedding") && short.capabilities.includes("completion"));
    assert.equal(short.memoryNote, "Memory is just enough. None is left for embeddings.");
    assert(planned(short) < planned(whole));
  });

  it("take what looks like a special token for text", async () => {
    await withLlama(async (engine) => {
      const [plain, special] = await Promise.all(["cat", "cat<|endoftext|>"].map((text) => vectorsOf(engine, [text])));
      assert(special!.outcome.promptTokens! > plain!.outcome.promptTokens! + 2);
    });
  });

  it("that are all zeros fail their request alone", async () => {
    const zeros = join(folder, "zeros.gguf");
    // One of them begins each input.
    writeModelOfZeros(zeros, 0, 700);
    await withLlama(
      async (engine) => {
        const { code, message } = await refused(vectorsOf(engine, [[700]]));
        assert.equal(code, "model_error");
        assert.equal(message, "The model's vector of an input is all zeros: it knows none of its tokens.");
        assert.equal((await vectorsOf(engine, ["The cat"])).vectors.length, 1);
      },
      { model: zeros, context: 256 },
    );
  });

  it("have room for less than a long text", async () => {
    await withLlama(async (engine) => {
      const { code, message } = await refused(vectorsOf(engine, ["dog cat ".repeat(2000)]));
      assert.equal(code, "prompt_too_long");
      assert.match(message, /^The input has \d+ tokens, but this model's embeddings have room for 2048\.$/);
    });
  });
});
