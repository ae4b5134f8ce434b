/** Steps of the embedded engine, below node-llama-cpp's sequences, against what those draw. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Token } from "node-llama-cpp";
import { type NativeSampler, newSampler } from "../src/engine/llama/binding.ts";
import { Decoder, type Drawn, type Slot } from "../src/engine/llama/decoder.ts";
import { closeModel, openModel, type OpenModel } from "../src/engine/llama/model.ts";
import { LLAMA } from "./helpers/engines.ts";

const TEXTS = ["Once upon a time there was", "The old man", "A girl saw a big red"];
const SAMPLING = { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05, seed: 7 };
const LENGTH = 12;

function slots(): Slot[] {
  return TEXTS.map((_, index) => ({ index, held: [], usedAt: 0 }));
}

describe("the decoder", () => {
  let open: OpenModel;
  let decoder: Decoder;
  const samplers: NativeSampler[] = [];
  before(async () => {
    open = await openModel({ ...LLAMA, slots: TEXTS.length, context: 256 }, { signal: new AbortController().signal });
    decoder = open.decoder!;
  });
  after(async () => {
    for (const sampler of samplers) sampler.dispose();
    decoder.rest();
    await closeModel(open);
  });

  function newOne(): NativeSampler {
    const made = newSampler(open.model);
    made.applyConfig(SAMPLING);
    samplers.push(made);
    return made;
  }

  const tokensOf = (text: string): Token[] => open.model.tokenize(text);

  /** The last token of each prompt comes in a step of its own, as in the engine. */
  async function drawnTogether(all: readonly Slot[], order: readonly number[]): Promise<Token[][]> {
    const runs = all.map((slot, at) => ({
      slot,
      prompt: tokensOf(TEXTS[at]!),
      sampler: newOne(),
      drawn: [] as Token[],
    }));
    await decoder.step(
      order.map((at) => ({ ...runs[at]!, tokens: runs[at]!.prompt.slice(0, -1), sampler: undefined })),
    );
    for (let step = 0; step < LENGTH; step++) {
      const asked = order.map((at) => runs[at]!);
      const results = await decoder.step(
        asked.map(({ slot, prompt, sampler, drawn }) => ({ slot, tokens: [drawn.at(-1) ?? prompt.at(-1)!], sampler })),
      );
      for (const [at, { drawn, slot }] of asked.entries()) {
        const { token, place, probability } = results[at] as Drawn;
        assert(place.slot === slot && probability > 0 && probability <= 1);
        drawn.push(token);
      }
    }
    for (const slot of all) decoder.clear(slot);
    return runs.map(({ drawn }) => drawn);
  }

  it("draws what node-llama-cpp's sequences draw, in whichever order the slots are asked for", async () => {
    const expected: Token[][] = [];
    for (const text of TEXTS) {
      const sequence = open.context!.getSequence({ checkpoints: { interval: false } });
      const prompt = tokensOf(text);
      await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1));
      const tokens: Token[] = [];
      for await (const token of sequence.evaluate(prompt.slice(-1), { ...SAMPLING, yieldEogToken: true })) {
        tokens.push(token);
        if (tokens.length === LENGTH) break;
      }
      expected.push(tokens);
      await sequence.dispose();
    }
    assert.deepEqual(await drawnTogether(slots(), [0, 1, 2]), expected);
    assert.deepEqual(await drawnTogether(slots(), [2, 0, 1]), expected);
  });

  it("goes on from what a slot shares with a prompt, and never holds the whole of it", async () => {
    const [slot] = slots() as [Slot];
    const prompt = tokensOf(TEXTS[0]!);
    await decoder.step([{ slot, tokens: prompt, sampler: undefined }]);
    assert.equal(decoder.sharedWith(slot, prompt), prompt.length - 1);
    const other = [...prompt.slice(0, 3), ...tokensOf(" cats")];
    assert.equal(decoder.sharedWith(slot, other), 3);
    assert.equal(decoder.cut(slot, 3), 3);
    assert.deepEqual(slot.held, prompt.slice(0, 3));
    await decoder.step([{ slot, tokens: other.slice(3), sampler: undefined }]);
    assert.deepEqual(slot.held, other);
    assert.equal(decoder.cut(slot, 0), 0);
  });

  it("tells when llama.cpp decodes nothing", async () => {
    const [slot] = slots() as [Slot];
    const beyond = Array.from({ length: 300 }, () => tokensOf(" a")[0]!);
    const decode = async () => {
      for (let at = 0; at < 3; at++)
        await decoder.step([{ slot, tokens: beyond.slice(0, 100), sampler: at === 2 ? newOne() : undefined }]);
    };
    await assert.rejects(decode(), /KV slot/);
    decoder.clear(slot);
  });
});
