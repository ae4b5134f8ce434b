/** Models that compute nonsense, and texts that end within a character. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { completionOf } from "../src/request.ts";
import { LLAMA, loaded, opened, refused, watch } from "./helpers/engines.ts";
import { LlamaEngine } from "../src/engine/llama/llama.ts";
import { writeBrokenModel, writeOneTokenModel } from "./helpers/tiny-models.ts";

/** The first byte of two that are a character, as the vocabulary spells it. */
const HALF = "\u00c4";
const POISON = "Z";

describe("a model", () => {
  let folder = "";
  let model = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "alt-las-nonsense-"));
    model = join(folder, "model.gguf");
    writeOneTokenModel(model, HALF, POISON);
  });
  after(() => rm(folder, { recursive: true }));

  const open = () => new LlamaEngine({ ...LLAMA, model, context: 256, slots: 2 });

  it("that computes NaN is refused when it is loaded", async () => {
    const broken = join(folder, "broken.gguf");
    writeBrokenModel(broken);
    const { code, message } = await refused(loaded({ ...LLAMA, model: broken, context: 256, slots: 1 }));
    assert.equal(code, "model_error");
    assert.match(message, /computed nonsense.*NaN.*The file is damaged, or the device computes wrongly\.$/);
  });

  for (const [how, { sampling, asked }] of Object.entries({
    "at temperature 0": { sampling: { temperature: 0 }, asked: {} },
    "at temperature 0.7": { sampling: { temperature: 0.7 }, asked: {} },
    "with penalties and a bias": {
      sampling: { temperature: 0, presencePenalty: 1, frequencyPenalty: 1, logitBias: { 5: 10 } },
      asked: {},
    },
    "in an answer of a form": { sampling: { temperature: 0 }, asked: { format: { kind: "json" } } },
    "where it tells probabilities": { sampling: { temperature: 0.7 }, asked: { logprobs: 2 } },
  } as const)) {
    it(`that computes NaN later ends its engine, and no task with it, ${how}`, async () => {
      await opened(open(), async (engine) => {
        const signal = new AbortController().signal;
        const ask = (text: string) =>
          engine.generate({
            request: { ...completionOf(text, { maxTokens: 4, ...sampling }), ...asked },
            signal,
            emit: () => {},
          });
        assert.equal((await ask("a good one")).completionTokens, 4);
        assert.equal((await refused(ask(`a bad one: ${POISON}`))).code, "gpu_lost");
        const { sentence, crashed, nonsense } = await engine.gone;
        assert.deepEqual([crashed, nonsense], [false, true]);
        assert.match(sentence, /computed nonsense: its next token has no probability \(NaN\)\.$/);
        assert.equal((await refused(ask("a good one"))).code, "gpu_lost");
      });
    });
  }

  it("never ends its text in a character that it did not write", async () => {
    await opened(open(), async (engine) => {
      const task = watch(engine, "one", 1);
      const { finishReason, completionTokens } = await task.outcome;
      assert.deepEqual([task.text, finishReason, completionTokens], ["", "length", 1]);
      // Of two first bytes only the last one may still become a character.
      const longer = watch(engine, "one", 2);
      await longer.outcome;
      assert.equal(longer.text, "\ufffd");
    });
  });
});
