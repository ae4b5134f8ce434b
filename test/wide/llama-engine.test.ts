/** What the llama engine alone promises of its steps; see also test/engine-conformance.test.ts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type LlamaEngine } from "../../src/engine/llama/llama.ts";
import { closeModel, openModel } from "../../src/engine/llama/model.ts";
import { threadPoolFor } from "../../src/gpu/worker/fork-channel.ts";
import { type Pace } from "../../src/engine/llama/prefill.ts";
import {
  abortAll,
  LLAMA,
  loaded,
  prompts,
  refused,
  SLOTS,
  started,
  tokensOf,
  watch,
  type Watched,
} from "../helpers/engines.ts";
import { llamaInfo, withLlama } from "../helpers/llama.ts";

const never = new AbortController().signal;

const LONG = "The dog ran to the park. ".repeat(150);

/** So many prompt tokens in each step beside tasks that generate. */
function paced(promptTokens: () => number): Pace {
  return { allowance: ({ generating }) => (generating === 0 ? Infinity : promptTokens()), took: () => {} };
}

/** Prompt tokens of so many steps, while a long prompt comes in beside a task that generates. */
async function piecesOf(engine: LlamaEngine, steps: number): Promise<number[]> {
  const pieces: number[] = [];
  const enough = Promise.withResolvers<void>();
  const long = { text: undefined as Watched | undefined, before: 0 };
  const neighbour = watch(engine, prompts(1)[0]!, 4000, ({ tokens }) => {
    if (tokens < 3) return;
    if (tokens > 3) pieces.push(engine.stats.promptTokens - long.before);
    long.before = engine.stats.promptTokens;
    long.text ??= watch(engine, LONG, 1);
    if (pieces.length === steps) enough.resolve();
  });
  await enough.promise;
  await abortAll([neighbour, long.text!]);
  return pieces;
}

function abortAtThree({ tokens, controller }: Watched): void {
  if (tokens === 3) controller.abort();
}

/** Runs hundreds of tasks, of which many are alike: what one of them gets it has to get each time. */
async function staysApart(engine: LlamaEngine, textOf: (index: number) => string): Promise<void> {
  const texts = new Map<string, Set<string>>();
  const work = Array.from({ length: 600 }, (_, index) => textOf(index));
  const oneSlot = async () => {
    for (let text = work.pop(); text !== undefined; text = work.pop()) {
      const task = watch(engine, text, 5 + ((work.length * 7) % 21));
      await task.outcome;
      texts.set(text, (texts.get(text) ?? new Set()).add(task.text));
    }
  };
  await Promise.all(Array.from({ length: SLOTS }, oneSlot));
  for (const [prompt, seen] of texts) {
    // Two nearly equal logits may come out in either order; a mix-up gives a new text each time.
    const different = [...seen].filter((text) => ![...seen].some((other) => other !== text && other.startsWith(text)));
    assert(different.length <= 2, `${prompt}: ${different.join(" | ")}`);
  }
}

describe("the llama engine", () => {
  it("decodes full batches: one token of each task in every step", async () => {
    await withLlama(async (engine) => {
      await Promise.all(prompts(SLOTS).map((text) => watch(engine, text, 20).outcome));
      // The first step has the prompts but for their last tokens.
      assert.deepEqual([engine.stats.steps, engine.stats.tokens], [21, SLOTS * 20]);
      assert.deepEqual([engine.stats.batches[0], engine.stats.batches[SLOTS]], [1, 20]);
    });
  });

  it("reads prompts that come together in full batches, also those that come while the first of them is read", async () => {
    await withLlama(
      async (engine) => {
        const texts = prompts(4).map((text) => `${LONG.slice(0, 300)}${text}`);
        const first = watch(engine, texts[0]!, 4000);
        await nextTurn();
        const others = await Promise.all(texts.slice(1).map((text) => started(engine, text, 4000, 1)));
        // A step for each prompt at most, and one for its last token.
        assert(engine.stats.steps <= 2 * texts.length, `${engine.stats.steps} steps`);
        await abortAll([first, ...others]);
      },
      { pace: paced(() => 1) },
    );
  });

  it("frees a canceled slot before its neighbours' next token", async () => {
    await withLlama(async (engine) => {
      const others = prompts(SLOTS - 1).map((text) => watch(engine, text, 20));
      await watch(engine, "A canceled one", 20, abortAtThree).outcome;
      assert.deepEqual(new Set(tokensOf(others)), new Set([3]));
      await Promise.all(others.map(({ outcome }) => outcome));
      assert.equal(engine.stats.batches[SLOTS - 1], 17);
    });
  });

  it("gives a newcomer its first token in two steps while seven others generate, which each get one in both", async () => {
    await withLlama(async (engine) => {
      const others = await Promise.all(prompts(SLOTS - 1).map((text) => started(engine, text, 4000, 15)));
      const { steps } = engine.stats;
      const earlier = tokensOf(others);
      await started(engine, "A bird was in a tree by the house when it saw a cat", 5, 1);
      // It comes while a step goes on, and that is none of its own.
      assert.equal(engine.stats.steps - steps, 3);
      assert.deepEqual(
        tokensOf(others),
        earlier.map((tokens) => tokens + 3),
      );
    });
  });

  it("never stalls a task when others end and new ones come", async () => {
    await withLlama(async (engine) => {
      let ended = 0;
      const long = await started(engine, prompts(1)[0]!, 4000, 1);
      const steps = engine.stats.steps - long.tokens;
      const comeAndGo = async (text: string) => {
        for (let length = 1; length <= 8; length++) {
          await watch(engine, text, length).outcome;
          ended++;
        }
      };
      await Promise.all(prompts(SLOTS).slice(1).map(comeAndGo));
      assert.deepEqual([ended, long.ended, engine.stats.steps - long.tokens], [56, false, steps]);
    });
  });

  it("takes whoever comes when a task has ended into the very next step", async () => {
    await withLlama(async (engine) => {
      const others = await Promise.all(prompts(SLOTS - 1).map((text) => started(engine, text, 4000, 1)));
      await watch(engine, "A canceled one", 20, abortAtThree).outcome;
      const earlier = tokensOf(others);
      const newcomer = await started(engine, "The dog", 5, 1);
      // A prompt of several tokens takes two steps: its last token waits for the step after the rest of it.
      assert.deepEqual(newcomer.promptTokens, [3]);
      assert.deepEqual(
        tokensOf(others),
        earlier.map((tokens) => tokens + 2),
      );
    });
  });

  it("spends no step between an end and the cancel that comes of it", async () => {
    await withLlama(async (engine) => {
      const neighbour = watch(engine, prompts(1)[0]!, 4000);
      const second = watch(engine, "The cat said", 4000);
      await watch(engine, "The cat said", 5).outcome;
      const { steps } = engine.stats;
      second.controller.abort();
      await second.outcome;
      assert.deepEqual([engine.stats.steps, neighbour.ended], [steps, false]);
    });
  });

  it("cancels a task in the middle of its prompt within a step", async () => {
    await withLlama(async (engine) => {
      const reading = watch(engine, LONG, 100);
      const neighbour = watch(engine, prompts(1)[0]!, 4000, ({ tokens }) => {
        if (tokens === 3) reading.controller.abort();
      });
      const { finishReason, promptTokens, completionTokens } = await reading.outcome;
      assert.deepEqual([finishReason, completionTokens, neighbour.tokens], ["canceled", 0, 3]);
      assert(engine.stats.steps < promptTokens! / 128, `${engine.stats.steps} steps for ${promptTokens} tokens`);
      assert.equal((await watch(engine, "The slot is free", 3).outcome).completionTokens, 3);
    });
  });

  it("cancels a task that waits for a slot, although none becomes free", async () => {
    await withLlama(async (engine) => {
      const running = await Promise.all(prompts(SLOTS).map((text) => started(engine, text, 4000, 1)));
      const waiting = watch(engine, "The cat said", 5);
      await nextTurn();
      waiting.controller.abort();
      const { finishReason, completionTokens } = await waiting.outcome;
      assert.deepEqual([finishReason, completionTokens], ["canceled", 0]);
      assert(running.every(({ ended }) => !ended));
    });
  });

  it("never mixes tasks up that come and go at any moment", async () => {
    await withLlama((engine) => staysApart(engine, (index) => `The ${"little ".repeat((index % 10) * 5)}girl was`));
  });

  it("never mixes tasks up while pieces of prompts are decoded beside them", async () => {
    await withLlama(
      (engine) =>
        staysApart(
          engine,
          (index) => `${prompts(SLOTS)[index % SLOTS]} ${"and a friend ".repeat(3 * (index % 7))}who was`,
        ),
      { pace: paced(() => 3) },
    );
  });

  it("decodes as much of a prompt in a step beside others as it is paced, and the others go on meanwhile", async () => {
    await withLlama(
      async (engine) => {
        const pieces = await piecesOf(engine, 50);
        assert.deepEqual(new Set(pieces), new Set([13]));
      },
      { pace: paced(() => 13) },
    );
  });

  it("never decodes more of a prompt beside others than is configured", async () => {
    await withLlama(
      async (engine) => {
        const pieces = await piecesOf(engine, 50);
        // The first one may take the time of the steps before.
        assert(pieces[0] === 5 && Math.max(...pieces) === 5, `${pieces}`);
      },
      { tuning: { prefillChunk: 5 } },
    );
  });

  it("goes on without a prompt in a step that is to have none of it", async () => {
    let allowed = 100;
    await withLlama(
      async (engine) => {
        const neighbour = await started(engine, prompts(1)[0]!, 4000, 1);
        allowed = 0;
        const waiting = watch(engine, `${LONG}Once upon a time`, 5);
        const { promptTokens } = engine.stats;
        await neighbour.outcome;
        assert.deepEqual([waiting.tokens, engine.stats.promptTokens], [0, promptTokens]);
        assert.equal((await waiting.outcome).completionTokens, 5);
      },
      { pace: paced(() => allowed) },
    );
  });

  it("decodes a prompt alone in whole batches", async () => {
    await withLlama(async (engine) => {
      const { promptTokens } = await watch(engine, LONG, 1).outcome;
      // Its last token has a step of its own.
      assert.equal(engine.stats.steps, Math.ceil((promptTokens! - 1) / 128) + 1);
    });
  });

  it("makes progress with every piece of a prompt", async () => {
    await loaded(LLAMA, async (engine) => {
      const { promptTokens } = await watch(engine, LONG, 1).outcome;
      assert(promptTokens! > 1000 && engine.progress > promptTokens! / 128, `${engine.progress} for ${promptTokens}`);
    });
  });

  it("treats what looks like a special token as text, and gives bytes that are the text again", async () => {
    const open = await openModel(LLAMA, { signal: never });
    const text = "Ölçü: 3 ğ, 日本 🙂 it 's <|endoftext|> done .\n\tend";
    const tokens = open.model.tokenize(text, false);
    const bytes = tokens.map((token) => open.vocabulary.bytesOf(token));
    assert.equal(Buffer.concat(bytes).toString(), text);
    await closeModel(open);
  });

  it("decodes and draws the same in a worker's way, with one thread for both", () => {
    const steps = fileURLToPath(new URL("../llama-decoder.test.ts", import.meta.url));
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout } = spawnSync(process.execPath, ["--test", steps], {
      env: { ...env, ...threadPoolFor(LLAMA) },
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
    assert.match(stdout, /pass 3\n/);
  });

  it("refuses a backend that is not there instead of falling back to the CPU", async () => {
    const error = await refused(llamaInfo({ backend: process.platform === "darwin" ? "cuda" : "metal" }));
    assert.equal(error.code, "model_error");
  });
});
