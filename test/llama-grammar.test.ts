/** Answers that the embedded engine holds to a form; see also test/helpers/form-promises.ts. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { getLlama, type Llama, LlamaLogLevel, type LlamaModel, type Token } from "node-llama-cpp";
import { Grammars } from "../src/engine/llama/grammars.ts";
import { type AnswerFormat } from "../src/request.ts";
import { ask, STORY, textOf } from "./helpers/asking.ts";
import { LLAMA } from "./helpers/engines.ts";
import { withLlama } from "./helpers/llama.ts";

const JSON_OBJECT: AnswerFormat = { kind: "json" };

describe("a grammar", () => {
  let llama: Llama;
  let model: LlamaModel;
  before(async () => {
    llama = await getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: LlamaLogLevel.disabled });
    model = await llama.loadModel({ modelPath: LLAMA.model, gpuLayers: 0 });
  });
  after(() => llama.dispose());

  const tokenOf = (text: string): Token => model.tokenize(text)[0]!;

  it("allows the end where a text may end, and nothing else where it must", () => {
    const grammars = new Grammars(llama, model);
    const [full, none] = [grammars.begin('root ::= "a"'), grammars.begin('root ::= ""')];
    const end = model.tokens.eos!;
    assert.deepEqual([full.allows(end), full.allows(tokenOf("a")), full.allows(tokenOf("b"))], [false, true, false]);
    assert.deepEqual([none.allows(end), none.allows(tokenOf("a"))], [true, false]);
  });

  it("that can be read in ever more ways ends before they take seconds", () => {
    // Which of the alternatives a level is shows at its end only.
    const constraint = new Grammars(llama, model).begin('root ::= "(" root ")" | "(" root "]" | "."');
    const open = tokenOf("(");
    assert.throws(
      () => {
        for (let depth = 0; depth < 40; depth++) if (constraint.allows(open)) constraint.take(open);
      },
      { code: "unsupported" },
    );
  });

  it("is none of these where the machine is slow, however often in a row", (t) => {
    const constraint = new Grammars(llama, model).begin('root ::= "(" root ")" | "."');
    let now = 0;
    let calls = 0;
    // Each look lasts for 5 ms by this clock, until it has been asked a hundred times.
    t.mock.method(performance, "now", () => (now += calls++ < 100 ? 5 : 0.01));
    assert.equal(constraint.allows(tokenOf("(")), true);
    assert(calls > 100);
  });

  it("that llama.cpp does not take is refused, and the next one is not", () => {
    const grammars = new Grammars(llama, model);
    for (const bad of ["root ::= (", "root ::= root | root", 'root ::= "a"{5,100000} | missing', ""])
      assert.throws(() => grammars.begin(bad), /Failed to parse grammar/);
    assert(grammars.begin('root ::= "a"').allows(tokenOf("a")));
  });
});

describe("an answer in JSON", () => {
  it("is the beginning of an object with any sampling, wherever it is cut off", async () => {
    await withLlama(async (engine) => {
      const samplings = [
        { temperature: 0 },
        { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 5 },
        { temperature: 1, presencePenalty: 2, frequencyPenalty: 2, logitBias: { 5: 100 }, seed: 5 },
      ];
      const asked = samplings.map((sampling) => ({
        ...textOf(STORY, { maxTokens: 30, ...sampling }, true),
        format: JSON_OBJECT,
      }));
      for (const { text } of await Promise.all(asked.map((request) => ask(engine, request))))
        assert.match(text, /^\{(\}|\s*"|\s*$)/);
    });
  });

  it("tells the probabilities that the model itself gives to its tokens", async () => {
    await withLlama(async (engine) => {
      const asked = { ...textOf(STORY, { maxTokens: 5 }, true), logprobs: 1 };
      const [free, held] = [await ask(engine, asked), await ask(engine, { ...asked, format: JSON_OBJECT })];
      const [first, forced] = [free.logprobs[0]!, held.logprobs[0]!];
      assert.deepEqual(forced.top, first.top);
      assert.equal(forced.token[0], "{");
      assert(forced.logprob < first.logprob);
    });
  });
});
