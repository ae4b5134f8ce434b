/** What the simulated engine alone promises; see also test/engine-conformance.test.ts. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type Engine,
  type EngineOptions,
  SIMULATED_CAPABILITIES,
  type SimulatedOptions,
} from "../src/engine/engine.ts";
import { type Delta, textOf } from "../src/output.ts";
import { completionOf } from "../src/request.ts";
import { createEngine } from "../src/engine/open.ts";
import { vectorsOf } from "./helpers/embedding-promises.ts";
import { loaded, planned, refused, SIMULATED, started, watch } from "./helpers/engines.ts";

function simulatedWith(options: Partial<SimulatedOptions>): EngineOptions {
  return { ...SIMULATED, simulated: { ...SIMULATED.simulated, ...options } };
}

/** The text of six tokens at most, how many there were, and why it ended. */
async function told(engine: Engine, ...stop: string[]): Promise<[string, number, string]> {
  let text = "";
  const emit = (delta: Delta): void => void (text += textOf(delta));
  const request = completionOf("hello", { maxTokens: 6, temperature: 0, stop });
  const { completionTokens, finishReason } = await engine.generate({ request, signal: never, emit });
  return [text, completionTokens, finishReason];
}

const never = new AbortController().signal;

/** Runs one task of ten tokens on an engine of its own. */
async function run(options: EngineOptions, text: string, gpuId = 0) {
  const engine = await createEngine(options, gpuId);
  await engine.load();
  const task = watch(engine, text, 10);
  return { task, outcome: await task.outcome.finally(() => engine.stop()) };
}

describe("the simulated engine", () => {
  for (const tokens_per_second of [0, 500]) {
    it(`emits exactly the tokens asked for at ${tokens_per_second || "unlimited"} tokens a second`, async () => {
      const { task, outcome } = await run(simulatedWith({ tokens_per_second }), "hello");
      assert.deepEqual(outcome, { finishReason: "length", promptTokens: 2, completionTokens: 10, cachedTokens: 0 });
      assert.equal(task.text.trim().split(" ").length, 10);
    });

    it(`follows its failure script at ${tokens_per_second || "unlimited"} tokens a second`, async () => {
      const options = simulatedWith({
        tokens_per_second,
        failures: [
          { kind: "error", when_text_contains: "bad", after_tokens: 4 },
          { kind: "out_of_memory", when_text_contains: "big" },
          { kind: "error", when_text_contains: "late", after_tokens: 11 },
          { kind: "error", gpu_id: 1 },
        ],
      });
      const bad = await refused(run(options, "a bad one"));
      assert.deepEqual([bad.code, bad.message], ["model_error", "The simulated model is set to fail after 4 tokens."]);
      assert.equal((await refused(run(options, "a big one"))).code, "out_of_memory");
      assert.equal((await run(options, "a late one")).outcome.completionTokens, 10);
      assert.equal((await refused(run(options, "any", 1))).code, "model_error");
    });
  }

  it("counts the tokens of inputs, also of those that are lists, and refuses one over its context before any vector", async () => {
    const engine = await createEngine({ ...SIMULATED, context: 8 }, 0);
    await engine.load();
    const all = await vectorsOf(engine, ["hello", [1, 2, 3], "x".repeat(32), [7]]);
    assert.deepEqual([all.vectors.length, all.outcome.promptTokens], [4, 2 + 3 + 8 + 1]);
    for (const tooLong of ["x".repeat(33), Array.from({ length: 9 }, () => 1)]) {
      const { code, message } = await refused(vectorsOf(engine, ["a", tooLong], { onVector: () => assert.fail() }));
      assert.equal(code, "prompt_too_long");
      assert.equal(message, "input[1] has 9 tokens, but this model's embeddings have room for 8.");
    }
    await engine.stop();
  });

  it("fails only the task that found no memory left", async () => {
    const failures = [{ kind: "out_of_memory", when_text_contains: "big", after_tokens: 3 }] as const;
    await loaded(simulatedWith({ failures }), async (engine) => {
      const neighbour = watch(engine, "small", 20);
      const { code } = await refused(watch(engine, "big", 20).outcome);
      assert.equal(code, "out_of_memory");
      assert.equal((await neighbour.outcome).completionTokens, 20);
      assert.equal((await watch(engine, "another", 20).outcome).completionTokens, 20);
    });
  });

  it("stalls for good when its script says so, with all its tasks and its end", async () => {
    const failures = [{ kind: "stall", when_text_contains: "stuck", after_tokens: 3 }] as const;
    const engine = await createEngine(simulatedWith({ failures }), 0);
    await engine.load();
    const neighbour = await started(engine, "neighbour", 4000, 1);
    const stuck = await started(engine, "stuck", 10, 3);
    const progress = engine.progress;
    const all = [neighbour, stuck, watch(engine, "newcomer", 10)];
    for (const { controller } of all) controller.abort();
    let stopped = false;
    void engine.stop().then(() => (stopped = true));
    // As long as another engine takes for a whole task.
    await run(SIMULATED, "elsewhere");
    assert.deepEqual([engine.progress, stuck.tokens, stopped], [progress, 3, false]);
    assert(all.every(({ ended }) => !ended));
  });

  it("does not cancel a task that its script makes deaf, which gets on like any other", async () => {
    const failures = [{ kind: "ignore_cancel", when_text_contains: "deaf", after_tokens: 3 }] as const;
    await loaded(simulatedWith({ failures }), async (engine) => {
      const other = watch(engine, "other", 4000);
      const deaf = await started(engine, "deaf", 20, 3);
      for (const { controller } of [deaf, other]) controller.abort();
      assert.equal((await other.outcome).finishReason, "canceled");
      assert.deepEqual(await deaf.outcome, {
        finishReason: "length",
        promptTokens: 1,
        completionTokens: 20,
        cachedTokens: 0,
      });
    });
  });

  it("cancels a task that is to be deaf only later", async () => {
    const failures = [{ kind: "ignore_cancel", after_tokens: 3 }] as const;
    await loaded(simulatedWith({ tokens_per_second: 0.001, failures }), async (engine) => {
      const early = watch(engine, "not yet", 20);
      early.controller.abort();
      assert.equal((await early.outcome).finishReason, "canceled");
      const running = watch(engine, "not yet", 20);
      await nextTurn();
      running.controller.abort();
      assert.equal((await running.outcome).finishReason, "canceled");
    });
  });

  it("makes a task deaf from its start, and ends it all the same when it is stopped", async () => {
    const options = simulatedWith({ failures: [{ kind: "ignore_cancel" }] });
    const engine = await createEngine(options, 0);
    await engine.load();
    const deaf = watch(engine, "deaf", 4000);
    deaf.controller.abort();
    await started(engine, "another", 10, 3);
    assert(deaf.tokens > 0 && !deaf.ended);
    await engine.stop();
    assert.equal((await deaf.outcome).finishReason, "canceled");
  });

  it("lets a deaf task fail in another way too", async () => {
    const failures = [{ kind: "ignore_cancel" }, { kind: "error", after_tokens: 5 }] as const;
    await loaded(simulatedWith({ failures }), async (engine) => {
      const deaf = await started(engine, "deaf", 20, 2);
      deaf.controller.abort();
      assert.match((await refused(deaf.outcome)).message, /after 5 tokens/);
    });
  });

  it("stalls at unlimited speed too", async () => {
    const options = simulatedWith({ tokens_per_second: 0, failures: [{ kind: "stall", after_tokens: 3 }] });
    const engine = await createEngine(options, 0);
    await engine.load();
    const all = [watch(engine, "stuck", 10), watch(engine, "newcomer", 10)];
    await run(SIMULATED, "elsewhere");
    assert.deepEqual(
      all.map(({ tokens, ended }) => [tokens, ended]),
      [
        [3, false],
        [0, false],
      ],
    );
    assert.equal(engine.progress, 3);
  });

  for (const tokens_per_second of [0, 500]) {
    it(`ends at a stop sequence, with exact counts, at ${tokens_per_second || "unlimited"} tokens a second`, async () => {
      await loaded(simulatedWith({ tokens_per_second }), async (engine) => {
        const [text] = await told(engine);
        const words = text.split(/(?= )/);
        const begun = words.slice(0, 3).join("") + words[3]!.slice(0, 2);
        assert.deepEqual(await told(engine, words[3]!.slice(2) + words[4]!.slice(0, 2)), [begun, 5, "stop"]);
        assert.deepEqual(await told(engine, `${words[5]}?`), [text, 6, "length"]);
      });
    });
  }

  it("has the model that it is told to have, on that GPU only", async () => {
    const models = [
      { gpu_id: 1, name: "Vectors", capabilities: ["embedding"] },
      { gpu_id: 2, name: "Other" },
    ] as const;
    const seen = await Promise.all(
      [0, 1, 2].map(async (id) => {
        const engine = await createEngine(simulatedWith({ models }), id);
        const { modelName, capabilities, hasChatTemplate } = await engine.load().finally(() => engine.stop());
        return [modelName, capabilities.length, hasChatTemplate];
      }),
    );
    assert.deepEqual(seen, [
      ["simulated", SIMULATED_CAPABILITIES.length, true],
      ["Vectors", 1, false],
      ["Other", SIMULATED_CAPABILITIES.length, true],
    ]);
  });

  it("says the same whether it is slow or fast", async () => {
    const [slow, fast] = await Promise.all(
      [500, 0].map(async (tokens_per_second) => (await run(simulatedWith({ tokens_per_second }), "hello")).task.text),
    );
    assert.equal(slow, fast);
  });

  it("does not load where one byte is missing", async () => {
    const memoryBudget = planned(await loaded(SIMULATED)) - 1;
    assert.equal((await refused(loaded({ ...SIMULATED, memoryBudget }))).code, "out_of_memory");
  });

  it("fails to load when its script says so, on that GPU only", async () => {
    const options = simulatedWith({ failures: [{ kind: "load_error", gpu_id: 2 }] });
    assert.match((await refused(run(options, "x", 2))).message, /GPU 2 is set to fail/);
    await run(options, "x", 1);
  });
});
