/** The promises of engines that turn texts into vectors. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { numbersOf } from "../../src/common/vectors.ts";
import { type Delta } from "../../src/output.ts";
import { type EmbeddingRequest, NO_SAMPLING } from "../../src/request.ts";
import { type Engine, type GenerateOutcome } from "../../src/engine/engine.ts";
import { abortAll, prompts, started } from "./engines.ts";

export interface EmbeddingSubject {
  readonly name: string;
  /** Whether its model generates text as well. */
  readonly generates: boolean;
  /** Makes an engine, which is loaded and stopped by the caller. */
  readonly create: () => Engine | Promise<Engine>;
}

/** The result of one request. */
export interface Vectors {
  readonly vectors: readonly (readonly number[])[];
  /** What was told of the prompt: once, if all is well. */
  readonly promptTokens: readonly (number | null)[];
  readonly outcome: GenerateOutcome;
}

export function embeddingOf(...inputs: EmbeddingRequest["inputs"]): EmbeddingRequest {
  return { kind: "embedding", inputs, sampling: NO_SAMPLING };
}

/** @param onVector called with how many there are by now */
export async function vectorsOf(
  engine: Engine,
  inputs: EmbeddingRequest["inputs"],
  { signal = new AbortController().signal, onVector = (_count: number): void => {} } = {},
): Promise<Vectors> {
  const vectors: (readonly number[])[] = [];
  const promptTokens: (number | null)[] = [];
  const emit = (delta: Delta, tokens: number): void => {
    assert(delta.kind === "embedding" && tokens === 0, delta.kind);
    assert.equal(promptTokens.length, 1, "the prompt is told before anything is emitted");
    vectors.push(numbersOf(delta.vector));
    onVector(vectors.length);
  };
  const begin = (tokens: number | null): void => void promptTokens.push(tokens);
  const outcome = await engine.generate({ request: embeddingOf(...inputs), signal, begin, emit });
  return { vectors, promptTokens, outcome };
}

/** The cosine of two unit vectors. */
export function likeness(one: readonly number[] | undefined, other: readonly number[] | undefined): number {
  assert(one !== undefined && one.length === other?.length && one.length > 0);
  return one.reduce((sum, value, index) => sum + value * other[index]!, 0);
}

/** Whether two vectors are of the same text: its neighbours in a batch may change the last digits. */
export function assertAlike(one: readonly number[] | undefined, other: readonly number[] | undefined): void {
  const cosine = likeness(one, other);
  assert(cosine > 0.9999, String(cosine));
}

const TEXTS = ["The cat said", "A dog", "Once upon a time there was a king", "The cat said"];

/** Describes the promises as tests of this engine. */
export function makesVectors({ name, generates, create }: EmbeddingSubject): void {
  describe(`vectors of the ${name} engine`, () => {
    let engine: Engine;
    before(async () => {
      engine = await create();
      const { capabilities } = await engine.load();
      assert.deepEqual([capabilities.includes("embedding"), capabilities.includes("completion")], [true, generates]);
    });
    after(() => engine.stop());

    it("makes a unit vector of each input, in their order", async () => {
      const { vectors, outcome } = await vectorsOf(engine, TEXTS);
      assert.deepEqual([vectors.length, outcome.finishReason, outcome.completionTokens], [TEXTS.length, "stop", 0]);
      for (const vector of vectors) assert(Math.abs(Math.hypot(...vector) - 1) < 1e-5);
      assertAlike(vectors[0], vectors[3]);
      assert(likeness(vectors[0], vectors[1]) < 0.9999);
      for (const [index, text] of TEXTS.entries()) {
        assertAlike((await vectorsOf(engine, [text])).vectors[0], vectors[index]);
      }
    });

    it("tells once how many tokens all inputs have, before it makes a vector", async () => {
      const { promptTokens, outcome } = await vectorsOf(engine, TEXTS);
      const alone = await Promise.all(TEXTS.map((text) => vectorsOf(engine, [text])));
      const sum = alone.reduce((total, one) => total + one.outcome.promptTokens!, 0);
      assert.deepEqual([promptTokens, outcome.promptTokens], [[sum], sum]);
    });

    it("makes progress with each request", async () => {
      const { progress } = engine;
      await vectorsOf(engine, ["The cat said"]);
      assert(engine.progress > progress);
    });

    it("survives odd texts", async () => {
      for (const text of [" ", "\n\n", "\0", "\ud800", "<|endoftext|>", "�"]) {
        assert.equal((await vectorsOf(engine, [text])).vectors.length, 1, JSON.stringify(text));
      }
    });

    it("does nothing for a request that was canceled before it came", async () => {
      const { progress } = engine;
      const { vectors, outcome } = await vectorsOf(engine, TEXTS, { signal: AbortSignal.abort() });
      assert.deepEqual([vectors, outcome.finishReason, engine.progress], [[], "canceled", progress]);
    });

    it("serves as many requests at once as it has slots", async () => {
      const all = await Promise.all(prompts(8).map((text) => vectorsOf(engine, [text, "The cat said"])));
      const { vectors } = await vectorsOf(engine, ["The cat said"]);
      for (const each of all) assertAlike(each.vectors[1], vectors[0]);
      const distinct = new Set(all.map((each) => each.vectors[0]!.join()));
      assert.equal(distinct.size, 8);
    });

    if (!generates) return;

    it("makes vectors while all slots but one generate, and ends none of them", async () => {
      const others = await Promise.all(prompts(7).map((text) => started(engine, text, 4000, 1)));
      const earlier = others.map(({ tokens }) => tokens);
      const { vectors } = await vectorsOf(engine, TEXTS);
      assert.equal(vectors.length, TEXTS.length);
      assert(others.every(({ ended, tokens }, index) => !ended && tokens >= earlier[index]!));
      await abortAll(others);
    });
  });
}
