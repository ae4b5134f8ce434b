/** What the embedded engine tells of probabilities, against llama.cpp's own of the whole vocabulary. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { getLlama, type Llama, type LlamaContext, LlamaLogLevel, type LlamaModel, type Token } from "node-llama-cpp";
import { Logits } from "../src/engine/llama/logits.ts";
import { type Slot } from "../src/engine/llama/slots.ts";
import { LLAMA } from "./helpers/engines.ts";

describe("likelihoods of tokens", () => {
  let llama: Llama;
  let model: LlamaModel;
  let context: LlamaContext;
  let logits: Logits;
  before(async () => {
    llama = await getLlama({
      gpu: false,
      build: "never",
      skipDownload: true,
      logLevel: LlamaLogLevel.error,
      maxThreads: 1,
    });
    model = await llama.loadModel({ modelPath: LLAMA.model, gpuLayers: 0 });
    context = await model.createContext({ contextSize: 256, sequences: 2, threads: 1 });
    logits = new Logits(model, context);
  });
  after(async () => {
    logits.dispose();
    await llama.dispose();
  });

  /** Of all tokens after each of these texts, decoded together, likeliest first. */
  async function wholes(texts: readonly string[]): Promise<{ slot: Slot; whole: [Token, number][] }[]> {
    const sequences = texts.map(() => context.getSequence());
    const answers = sequences.map((sequence, at) =>
      sequence.evaluateWithMetadata(model.tokenize(texts[at]!), { probabilities: true }, { temperature: 0 }),
    );
    const told = await Promise.all(answers.map((answer) => answer.next()));
    return told.map(({ value }, index) => ({
      slot: { index, sequence: sequences[index]!, usedAt: 0 },
      whole: [...value!.probabilities],
    }));
  }

  it("are those of llama.cpp, of the likeliest tokens and of any other, for each task of a step", async () => {
    const all = await wholes(["Once upon a time", "The old man"]);
    for (const [at, { slot, whole }] of all.entries()) {
      const place = { slot, row: at - all.length };
      for (const rank of [0, 1, 7, 100, 2000]) {
        const [token, probability] = whole[rank]!;
        const { logprob, top } = await logits.likelihoods(place, token, 20);
        assert(Math.abs(logprob - Math.log(probability)) < 1e-3, `${rank}: ${logprob}, ${Math.log(probability)}`);
        for (const [index, one] of top.entries())
          assert(Math.abs(one.logprob - Math.log(whole[index]![1])) < 1e-3, `${rank}, ${index}`);
      }
      for (const count of [0, 1, 2]) {
        const { top } = await logits.likelihoods(place, whole[5]![0], count);
        assert.deepEqual(
          top.map(({ token }) => token),
          whole.slice(0, count).map(([token]) => token),
        );
      }
    }
  });
});
