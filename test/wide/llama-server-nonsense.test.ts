/** What the engine makes of a llama.cpp server whose model computes NaN, from the start or from some token on; and of what only looks like it. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { completionOf } from "../../src/request.ts";
import { type Engine } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/open.ts";
import { LLAMA, opened, refused } from "../helpers/engines.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER, Program } from "../helpers/llama-server.ts";
import { writeBrokenModel, writeOneTokenModel } from "../helpers/tiny-models.ts";

const POISON = "Z";

describe("a real llama-server", { skip: LLAMA_SERVER === null && NO_LLAMA_SERVER }, () => {
  let folder = "";
  let program: Program;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "alt-las-nonsense-"));
    program = await Program.running(LLAMA_SERVER!);
  });
  after(async () => {
    await rm(folder, { recursive: true });
    await program[Symbol.asyncDispose]();
  });

  const open = (model: string) =>
    createEngine({ ...LLAMA, kind: "llama-server", binary: program.path, model, context: 256, slots: 2 }, 0);

  it("whose model computes NaN is refused when it is loaded", async () => {
    const model = join(folder, "broken.gguf");
    writeBrokenModel(model);
    const engine = await open(model);
    const { code, message } = await refused(engine.load());
    await engine.stop();
    assert.equal(code, "model_error");
    assert.match(message, /failed when it was asked for one token: it computed nonsense: .*\(NaN\)\.$/);
  });

  for (const temperature of [0, 0.7]) {
    for (const maxTokens of [1, 4]) {
      it(`that computes NaN later ends its engine: ${maxTokens} tokens at temperature ${temperature}`, async () => {
        const model = join(folder, "later.gguf");
        writeOneTokenModel(model, "A", POISON);
        await opened(await open(model), async (engine) => {
          const signal = new AbortController().signal;
          const ask = (text: string) =>
            engine.generate({ request: completionOf(text, { maxTokens, temperature }), signal, emit: () => {} });
          assert.equal((await ask("a good one")).completionTokens, maxTokens);
          assert.equal((await refused(ask(`a bad one: ${POISON}`))).code, "gpu_lost");
          const sentence = "llama-server failed: it computed nonsense: its next token has no probability (NaN).";
          assert.deepEqual(await engine.gone, { sentence, crashed: false, nonsense: true });
          assert.equal((await refused(ask("a good one"))).message, sentence);
        });
      });
    }
  }
});

describe("a task whose form leaves the model no token", () => {
  const data = JSON.stringify({ tokens_predicted: 1, content: "!", completion_probabilities: [{ id: 0, prob: null }] });
  const signal = new AbortController().signal;
  const ask = (engine: Engine, text: string) =>
    engine.generate({
      request: { ...completionOf(text, { maxTokens: 4 }), format: { kind: "json" } },
      signal,
      emit: () => {},
    });
  const withFault = async (ifHeld: boolean, use: (engine: Engine) => Promise<void>): Promise<void> => {
    const fault = { kind: "say", data, after: 0, ifHeld } as const;
    await using program = await Program.standIn({ tasks: { stuck: fault } });
    await opened(await createEngine({ ...LLAMA, kind: "llama-server", binary: program.path }, 0), use);
  };

  it("fails, and says nothing of the device", () =>
    withFault(true, async (engine) => {
      for (let round = 0; round < 4; round++) {
        const { code, message } = await refused(ask(engine, "stuck"));
        assert.equal(code, "model_error");
        assert.match(
          message,
          /^llama-server failed: the model has no token with which its answer could go on in the form/,
        );
      }
      assert.equal((await ask(engine, "another")).completionTokens, 4);
    }));

  it("is told from a device that computes nonsense", () =>
    withFault(false, async (engine) => {
      assert.equal((await refused(ask(engine, "stuck"))).code, "gpu_lost");
      assert.equal((await engine.gone!).nonsense, true);
    }));
});
