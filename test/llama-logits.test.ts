/** What the embedded engine makes of a step's logits, against what llama.cpp makes of the whole vocabulary. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { getLlama, type Llama, type LlamaContext, LlamaLogLevel, type LlamaModel, type Token } from "node-llama-cpp";
import { Grammars } from "../src/engine/llama/grammars.ts";
import { heldDraw } from "../src/engine/llama/held-draw.ts";
import { Logits } from "../src/engine/llama/logits.ts";
import { type SamplerConfig } from "../src/engine/llama/binding.ts";
import { type Slot } from "../src/engine/llama/decoder.ts";
import { LLAMA } from "./helpers/engines.ts";

const LIKELIEST = { topK: 1, topP: 1, minP: 0, temperature: 1, seed: 0 };

describe("the logits of a step", () => {
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
    context = await model.createContext({ contextSize: 256, sequences: 4, threads: 1 });
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
      slot: { index, held: [], usedAt: 0 },
      whole: [...value!.probabilities],
    }));
  }

  it("tell how likely the likeliest tokens are and any other, for each task of the step", async () => {
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

  it("give the likeliest token that a form allows, and others as the sampling says", async () => {
    const [{ slot, whole }] = (await wholes(["Once upon a time"])) as [{ slot: Slot; whole: [Token, number][] }];
    const place = { slot, row: -1 };
    const grammars = new Grammars(llama, model);
    const [free] = whole[0]!;
    for (const grammar of ['root ::= " " [a-m] .*', "root ::= [^ a-z] .*", "root ::= [qxz]", 'root ::= "\u4e9c"']) {
      const constraint = grammars.begin(grammar);
      const drawn = (config: SamplerConfig, generated = 0) =>
        heldDraw(logits, { constraint, config, token: free, generated, place });
      const best = whole.find(([token]) => constraint.allows(token))![0];
      assert.equal(await drawn(LIKELIEST), best, grammar);
      const sampling = { topK: 40, topP: 0.95, minP: 0.05, temperature: 1, seed: 5 };
      for (const generated of [0, 1, 2, 3]) {
        const token = await drawn(sampling, generated);
        assert(constraint.allows(token));
        assert.equal(await drawn(sampling, generated), token);
      }
      assert(constraint.allows(await drawn({ ...sampling, topK: 0, topP: 1, minP: 0 })));
    }
  });

  it("give no token where a form allows none", async () => {
    const [{ slot, whole }] = (await wholes(["Once upon a time"])) as [{ slot: Slot; whole: [Token, number][] }];
    const constraint = new Grammars(llama, model).begin("root ::= [^\\x00-\\UFFFFFFFF]");
    const draw = { constraint, config: LIKELIEST, token: whole[0]![0], generated: 0, place: { slot, row: -1 } };
    await assert.rejects(
      async () => {
        // llama.cpp lets the bytes pass that only begin a character.
        for (let bytes = 0; bytes < 4; bytes++) constraint.take(await heldDraw(logits, draw));
      },
      { code: "model_error" },
    );
  });
});
