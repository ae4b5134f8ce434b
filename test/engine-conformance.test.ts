/** The promises of src/engine/engine.ts, kept by every engine; then what only one of them promises. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type Engine, type EngineInfo, type EngineOptions, type SimulatedOptions } from "../src/engine/engine.ts";
import { LlamaEngine } from "../src/engine/llama.ts";
import { closeModel, openModel } from "../src/engine/llama-model.ts";
import { createEngine } from "../src/engine/open.ts";
import { AltLasError } from "../src/errors.ts";

const SLOTS = 8;
const SMALL_CONTEXT = 64;
const MIB = 2 ** 20;
const never = new AbortController().signal;

const llama: EngineOptions = {
  kind: "llama",
  model: new URL("../models/demo.gguf", import.meta.url).pathname,
  context: null,
  minContext: 2048,
  slots: SLOTS,
  memoryBudget: null,
  memoryShare: 0.9,
  measuredOverhead: null,
  backend: false,
  tuning: { threads: 1, cores: 1, prefillChunk: 256, batchSize: null, flashAttention: null, kvCacheType: null },
  binary: "llama-server",
  upstream: null,
  patience: { firstByte: 120, token: 30 },
  simulated: { tokens_per_second: 500, load_seconds: 0, context: 4096, memory_bytes: 3 * MIB, failures: [] },
};
const simulated: EngineOptions = { ...llama, kind: "simulated" };

function simulatedWith(options: Partial<SimulatedOptions>): EngineOptions {
  return { ...simulated, simulated: { ...simulated.simulated, ...options } };
}

interface Watched {
  /** What was told of the prompt: once, if all is well. */
  readonly promptTokens: number[];
  text: string;
  /** Tokens emitted so far. */
  tokens: number;
  ended: boolean;
  readonly controller: AbortController;
  readonly outcome: ReturnType<Engine["generate"]>;
}

/** Starts one task and keeps what it emits. `onToken` may throw. */
function watch(engine: Engine, text: string, maxLength: number, onToken?: (watched: Watched) => void): Watched {
  const controller = new AbortController();
  const promptTokens: number[] = [];
  const watched = { promptTokens, text: "", tokens: 0, ended: false, controller };
  const begin = (tokens: number | null) => {
    assert(tokens !== null);
    assert.equal(watched.tokens, 0, "the prompt is told before anything is emitted");
    promptTokens.push(tokens);
  };
  const emit = (piece: string, tokens: number) => {
    watched.text += piece;
    watched.tokens += tokens;
    onToken?.(whole);
  };
  const outcome = engine.generate({ text, maxLength, temperature: 0, signal: controller.signal, begin, emit });
  const whole: Watched = Object.assign(watched, { outcome });
  void outcome.then(
    () => (whole.ended = true),
    () => (whole.ended = true),
  );
  return whole;
}

/** Starts one task and resolves once it has emitted `tokens` tokens; one that ends before has failed the test. */
async function started(engine: Engine, text: string, maxLength: number, tokens: number): Promise<Watched> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const watched = watch(engine, text, maxLength, (task) => void (task.tokens >= tokens && resolve()));
  await Promise.race([promise, watched.outcome]);
  assert.ok(watched.tokens >= tokens, `"${text.slice(0, 40)}" ended after ${watched.tokens} tokens`);
  return watched;
}

function tokensOf(tasks: readonly Watched[]): number[] {
  return tasks.map(({ tokens }) => tokens);
}

async function abortAll(tasks: readonly Watched[]): Promise<void> {
  for (const { controller } of tasks) controller.abort();
  await Promise.all(tasks.map(({ outcome }) => outcome));
}

/** Beginnings of stories: the demo model needs a hundred tokens or more to end one. */
function prompts(count: number): string[] {
  const heroes = ["dog", "cat", "girl", "boy", "king", "bird", "baker", "fox"];
  return heroes.slice(0, count).map((hero) => `Once upon a time there was a ${hero}`);
}

function abortAtThree({ tokens, controller }: Watched): void {
  if (tokens === 3) controller.abort();
}

function mustNotEmit(): never {
  assert.fail("nothing may be emitted");
}

/** Runs one task of ten tokens on an engine of its own. */
async function run(options: EngineOptions, text: string, gpuId = 0) {
  const engine = await createEngine(options, gpuId);
  await engine.load();
  const task = watch(engine, text, 10);
  return { task, outcome: await task.outcome.finally(() => engine.stop()) };
}

/** Loads an engine, lets `use` look at it while it is open, and tells what was found out while loading. */
async function loaded(options: EngineOptions, use?: (engine: Engine) => Promise<void>): Promise<EngineInfo> {
  const engine = await createEngine(options, 0);
  try {
    const info = await engine.load();
    await use?.(engine);
    return info;
  } finally {
    await engine.stop();
  }
}

/** Lets `use` look at a llama engine of its own while it is open. */
async function withLlama(use: (engine: LlamaEngine) => Promise<void>): Promise<void> {
  const engine = new LlamaEngine(llama);
  await engine.load();
  await use(engine).finally(() => engine.stop());
}

/** Bytes that were planned for everything together. */
function planned({ memory }: EngineInfo): number {
  assert(memory !== null);
  return memory.weights + memory.kvCache + memory.overhead;
}

async function refused(promise: Promise<unknown>): Promise<AltLasError> {
  const error = await promise.then(
    () => assert.fail("it should have been refused"),
    (reason: unknown) => reason,
  );
  assert(error instanceof AltLasError, String(error));
  return error;
}

for (const options of [llama, simulated]) {
  describe(`the ${options.kind} engine`, () => {
    let engine: Engine;
    let info: EngineInfo;
    let small: Engine;

    before(async () => {
      engine = await createEngine(options, 0);
      info = await engine.load();
      small = await createEngine({ ...options, context: SMALL_CONTEXT }, 0);
      await small.load();
    });
    after(async () => {
      await engine.stop();
      await small.stop();
    });

    it("tells what it runs on and how it counts", () => {
      assert.equal(info.slots, SLOTS);
      assert.equal(info.context, 4096);
      assert.equal(info.backend, options.kind === "llama" ? "cpu" : "simulated");
      assert(info.model !== "" && info.device !== "" && info.maxTokenBytes > 0);
    });

    it("names no accelerator and no device memory where it has none", async () => {
      assert.deepEqual(info.devices, []);
      assert.equal(await engine.deviceMemory(), null);
    });

    it("grants everything when it is not told how much memory it may take", () => {
      assert.equal(info.memoryNote, null);
      assert(info.memory!.weights > 2 * MIB && planned(info) >= info.kvBytesPerToken * info.context! * info.slots);
    });

    it("grants everything that just fits, and no byte more", async () => {
      const enough = planned(info);
      const { context, slots, memoryNote } = await loaded({ ...options, memoryBudget: enough });
      assert.deepEqual([context, slots, memoryNote], [info.context, info.slots, null]);
      const short = loaded({ ...options, memoryBudget: enough - 1 });
      if (options.kind === "simulated") assert.equal((await refused(short)).code, "out_of_memory");
      else assert.match((await short).memoryNote!, /instead of 4,096/);
    });

    it("refuses to load when memory is far too small, with both numbers", async () => {
      const { code, message } = await refused(loaded({ ...options, memoryBudget: 2 * MIB }));
      assert.equal(code, "out_of_memory");
      assert.match(
        message,
        /needs at least [\d.]+ MiB of memory, 3\.0 MiB of it for its weights,.*; 2\.0 MiB may be used\.$/,
      );
    });

    it("counts what an earlier load was seen to take beside weights and KV cache", async () => {
      const measuredOverhead = info.memory!.overhead + 100 * MIB;
      const memoryBudget = planned(info) + 100 * MIB;
      const { memory, memoryNote } = await loaded({ ...options, memoryBudget, measuredOverhead });
      assert.deepEqual([memory, memoryNote], [{ ...info.memory, overhead: measuredOverhead }, null]);
      const error = await refused(loaded({ ...options, memoryBudget: planned(info), measuredOverhead }));
      assert.equal(error.code, "out_of_memory");
    });

    it("makes progress with every token, and none while it has nothing to do", async () => {
      let last = engine.progress;
      const task = watch(engine, "The cat said", 10, () => {
        assert(engine.progress > last);
        last = engine.progress;
      });
      const { completionTokens } = await task.outcome;
      assert(completionTokens > 0 && engine.progress === last);
    });

    it("emits pieces that add up to the text and to the token count", async () => {
      const task = watch(engine, "The cat said", 40);
      const outcome = await task.outcome;
      assert.equal(task.tokens, outcome.completionTokens);
      assert(task.text.length > 0 && task.text.isWellFormed());
      assert(outcome.promptTokens! > 0);
    });

    it("tells once how many tokens the prompt has, before anything is emitted, and not of one it refuses", async () => {
      const task = watch(engine, "The cat said", 3);
      const { promptTokens } = await task.outcome;
      assert.deepEqual(task.promptTokens, [promptTokens]);
      const tooLong = watch(small, "dog ".repeat(1000), 3);
      await refused(tooLong.outcome);
      assert.deepEqual(tooLong.promptTokens, []);
    });

    it("generates max_length tokens at most", async () => {
      for (const maxLength of [1, 2, 5]) {
        const { completionTokens, finishReason } = await watch(engine, "The cat said", maxLength).outcome;
        assert(completionTokens <= maxLength);
        if (finishReason === "length") assert.equal(completionTokens, maxLength);
      }
    });

    it("ends where the context ends", async () => {
      const outcomes = await Promise.all(prompts(SLOTS).map((text) => watch(small, text, 1_000_000).outcome));
      for (const { promptTokens, completionTokens, finishReason } of outcomes) {
        assert(promptTokens! + completionTokens <= SMALL_CONTEXT);
        if (finishReason === "length") assert.equal(promptTokens! + completionTokens, SMALL_CONTEXT);
      }
      assert(outcomes.some(({ finishReason }) => finishReason === "length"));
    });

    it("takes a prompt up to one token less than the context, and refuses the next with both numbers", async () => {
      let longest = 0;
      for (let text = "dog"; ; text += " dog") {
        const task = watch(small, text, 5);
        const outcome = await task.outcome.catch((error: unknown) => error);
        if (outcome instanceof AltLasError) {
          assert.equal(outcome.code, "prompt_too_long");
          assert.match(
            outcome.message,
            new RegExp(`${SMALL_CONTEXT} tokens, which .* context of ${SMALL_CONTEXT} tokens`),
          );
          assert.equal(task.tokens, 0);
          break;
        }
        longest = (await task.outcome).promptTokens!;
      }
      assert.equal(longest, SMALL_CONTEXT - 1);
    });

    it("never has fewer prompt tokens than its longest token allows", async () => {
      for (const text of [
        "Once upon a time there was a girl.",
        " ".repeat(999),
        "🙂ğüş".repeat(50),
        "the ".repeat(500),
      ]) {
        const { promptTokens } = await watch(engine, text, 1).outcome;
        assert(promptTokens! >= Buffer.byteLength(text) / info.maxTokenBytes, `${promptTokens} tokens for ${text}`);
      }
    });

    it("survives odd prompts", async () => {
      for (const text of [" ", "\n\n", "\0", "\ud800", "<|endoftext|>", "�"]) {
        assert((await watch(engine, text, 3).outcome).promptTokens! > 0);
      }
    });

    it("decodes all slots together: each has its first token before any ends", async () => {
      const order: string[] = [];
      const begun = new Set<Watched>();
      const tasks = prompts(SLOTS).map((text) =>
        watch(engine, text, 30, (task) => {
          if (!begun.has(task)) order.push("first");
          begun.add(task);
        }),
      );
      await Promise.all(tasks.map(({ outcome }) => outcome.then(() => order.push("end"))));
      assert.deepEqual(
        order.slice(0, SLOTS),
        Array.from({ length: SLOTS }, () => "first"),
      );
    });

    it("gives a newcomer its first token while seven others are generating", async () => {
      const others = await Promise.all(prompts(SLOTS - 1).map((text) => started(engine, text, 4000, 3)));
      await started(engine, "A bird", 5, 1);
      // A story may end by itself after dozens of tokens, far later than this.
      assert(others.every(({ ended }) => !ended));
      await abortAll(others);
    });

    it("ends a canceled task, frees its slot, and leaves the others alone", async () => {
      const [text = "", ...rest] = prompts(SLOTS);
      const expected = await Promise.all(
        rest.map(async (prompt) => {
          const task = watch(engine, prompt, 40);
          await task.outcome;
          return task.text;
        }),
      );
      const others = rest.map((prompt) => watch(engine, prompt, 40));
      const canceled = await started(engine, text, 4000, 3);
      canceled.controller.abort();
      const tokens = canceled.tokens;
      const outcome = await canceled.outcome;
      assert.equal(outcome.finishReason, "canceled");
      assert.equal(outcome.completionTokens, canceled.tokens);
      assert.equal(canceled.tokens, tokens, "nothing is emitted after the abort");
      await started(engine, "The slot is free", 10, 1);
      await Promise.all(others.map((task) => task.outcome));
      assert.deepEqual(
        others.map((task) => task.text),
        expected,
      );
    });

    it("ends a task that is canceled during a step before its neighbours' step after that one", async () => {
      const [text = "", ...rest] = prompts(SLOTS);
      const others = await Promise.all(rest.map((prompt) => started(engine, prompt, 4000, 1)));
      const canceled = await started(engine, text, 4000, 3);
      // By the next turn of the event loop, the step after the third token has begun.
      await nextTurn();
      canceled.controller.abort();
      const earlier = tokensOf(others);
      await canceled.outcome;
      for (const [index, { tokens }] of others.entries()) assert(tokens - earlier[index]! <= 1, `${index}: ${tokens}`);
      await abortAll(others);
    });

    it("cancels in the tick in which a task starts, and before it starts at all, without doing anything for it", async () => {
      const { progress } = engine;
      const early = watch(engine, "word ".repeat(2000), 100);
      early.controller.abort();
      const outcome = await early.outcome;
      assert.deepEqual([outcome.finishReason, outcome.completionTokens], ["canceled", 0]);
      assert(outcome.promptTokens! >= 2000 && early.tokens === 0);
      const signal = AbortSignal.abort();
      const request = { text: "x", maxLength: 5, temperature: 0.7, signal, emit: mustNotEmit };
      const { finishReason, promptTokens, completionTokens } = await engine.generate(request);
      assert.deepEqual([finishReason, completionTokens], ["canceled", 0]);
      assert(promptTokens! > 0);
      assert.equal(engine.progress, progress);
    });

    it("keeps what a canceled task has generated: the beginning of what it would have said", async () => {
      const whole = watch(engine, "The old man", 40);
      await whole.outcome;
      for (const tokens of [1, 4, 15]) {
        const canceled = await started(engine, "The old man", 40, tokens);
        canceled.controller.abort();
        const { finishReason, completionTokens } = await canceled.outcome;
        assert.deepEqual([finishReason, completionTokens], ["canceled", canceled.tokens]);
        assert(canceled.text !== "" && whole.text.startsWith(canceled.text), canceled.text);
        assert(canceled.text.length < whole.text.length);
      }
    });

    it("keeps every slot through hundreds of cancellations", async () => {
      const reference = watch(engine, "The cat said", 10);
      await reference.outcome;
      for (let round = 0; round < 25; round++) {
        const tasks = prompts(SLOTS).map((text, index) =>
          watch(
            engine,
            text,
            100,
            ({ tokens, controller }) => void (tokens > (round + index) % 5 && controller.abort()),
          ),
        );
        await Promise.all(tasks.map(({ outcome }) => outcome));
      }
      const tasks = await Promise.all(Array.from({ length: SLOTS }, () => started(engine, "The cat said", 10, 1)));
      await Promise.all(tasks.map(({ outcome }) => outcome));
      for (const { text } of tasks) assert.equal(text, reference.text);
    });

    it("fails only the task whose listener throws", async () => {
      const [text = "", ...rest] = prompts(SLOTS);
      const others = rest.map((prompt) => watch(engine, prompt, 20));
      const failing = watch(engine, text, 20, ({ tokens }) => {
        if (tokens > 2) throw new Error("no more of this");
      });
      await assert.rejects(failing.outcome, /no more of this/);
      for (const { outcome } of others) assert.notEqual((await outcome).finishReason, "canceled");
      assert.equal((await watch(engine, text, 3).outcome).completionTokens, 3);
    });

    it("is deterministic at temperature 0, alone or among others", async () => {
      const alone = watch(engine, "The old man", 60);
      await alone.outcome;
      const others = prompts(SLOTS - 1).map((prompt) => watch(engine, prompt, 60));
      const among = watch(engine, "The old man", 60);
      await Promise.all([among, ...others].map(({ outcome }) => outcome));
      assert.equal(among.text, alone.text);
    });

    it("ends everything when it is stopped, and may be stopped twice", async () => {
      const own = await createEngine(options, 0);
      await own.load();
      const tasks = await Promise.all(prompts(SLOTS).map((text) => started(own, text, 4000, 1)));
      await Promise.all([own.stop(), own.stop()]);
      assert.deepEqual(
        await Promise.all(tasks.map(async ({ outcome }) => (await outcome).finishReason)),
        Array.from({ length: SLOTS }, () => "canceled"),
      );
      await own.stop();
    });

    it("may be stopped without having been loaded", async () => {
      const own = await createEngine(options, 0);
      await own.stop();
    });
  });
}

describe("the llama engine alone", () => {
  it("decodes full batches, and frees a canceled slot before its neighbours' next token", async () => {
    const engine = new LlamaEngine(llama);
    await engine.load();
    const others = prompts(SLOTS - 1).map((text) => watch(engine, text, 20));
    await watch(engine, "A canceled one", 20, abortAtThree).outcome;
    assert.deepEqual(new Set(others.map(({ tokens }) => tokens)), new Set([3]));
    await Promise.all(others.map(({ outcome }) => outcome));
    assert(engine.stats.tokens / engine.stats.steps > SLOTS / 2, JSON.stringify(engine.stats));
    await engine.stop();
  });

  it("takes whoever comes when a task has ended into the very next step", async () => {
    await withLlama(async (engine) => {
      const others = await Promise.all(prompts(SLOTS - 1).map((text) => started(engine, text, 4000, 1)));
      await watch(engine, "A canceled one", 20, abortAtThree).outcome;
      const earlier = tokensOf(others);
      const newcomer = await started(engine, "The", 5, 1);
      // A prompt of several tokens takes two steps: its last token waits for the step after the rest of it.
      assert(newcomer.promptTokens[0]! > 1);
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
      const reading = watch(engine, "The dog ran to the park. ".repeat(150), 100);
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
    const engine = new LlamaEngine(llama);
    await engine.load();
    const texts = new Map<string, Set<string>>();
    const work = Array.from({ length: 600 }, (_, index) => `The ${"little ".repeat((index % 10) * 5)}girl was`);
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
      const different = [...seen].filter(
        (text) => ![...seen].some((other) => other !== text && other.startsWith(text)),
      );
      assert(different.length <= 2, `${prompt}: ${different.join(" | ")}`);
    }
    await engine.stop();
  });

  it("writes a long prompt in pieces, between the tokens of the others", async () => {
    const engine = new LlamaEngine(llama);
    await engine.load();
    const short = await started(engine, prompts(1)[0]!, 4000, 1);
    const earlier = short.tokens;
    await started(engine, `${"The dog ran to the park. ".repeat(150)}Once upon a time`, 5, 1);
    assert(short.ended || short.tokens - earlier > 3, `${short.tokens - earlier} tokens meanwhile`);
    await engine.stop();
  });

  it("makes progress with every piece of a prompt", async () => {
    await loaded(llama, async (engine) => {
      const { promptTokens } = await watch(engine, "The dog ran to the park. ".repeat(150), 1).outcome;
      assert(promptTokens! > 1000 && engine.progress > promptTokens! / 128, `${engine.progress} for ${promptTokens}`);
    });
  });

  it("gives every slot a smaller context when memory is too small, and generates in it", async () => {
    const memoryBudget = planned(await loaded({ ...llama, context: 2560 }));
    const options = { ...llama, context: 4000, memoryBudget };
    const { context, slots, memoryNote } = await loaded(options, async (engine) => {
      const outcomes = await Promise.all(prompts(SLOTS).map((text) => watch(engine, text, 20).outcome));
      assert(outcomes.every(({ completionTokens }) => completionTokens === 20));
      const { message } = await refused(watch(engine, "dog ".repeat(3000), 1).outcome);
      assert.match(message, /context of 2560 tokens/);
    });
    assert.deepEqual([context, slots], [2560, SLOTS]);
    assert.match(
      memoryNote!,
      /^Memory \(.* MiB may be used\) is enough for 8 slots of 2,560 tokens instead of 4,000\.$/,
    );
  });

  it("makes fewer slots when memory is too small for the least context, and still runs all tasks", async () => {
    const memoryBudget = planned(await loaded({ ...llama, context: 2048, slots: 3 }));
    const { context, slots, memoryNote } = await loaded({ ...llama, memoryBudget }, async (engine) => {
      const outcomes = await Promise.all(prompts(SLOTS).map((text) => watch(engine, text, 20).outcome));
      assert(outcomes.every(({ completionTokens }) => completionTokens === 20));
    });
    assert.deepEqual([context, slots], [2048, 3]);
    assert.match(memoryNote!, /^Memory \(.* MiB may be used\) is enough for 3 of 8 slots, of 2,048 tokens each\.$/);
  });

  it("treats what looks like a special token as text, and gives bytes that are the text again", async () => {
    const open = await openModel(llama, never);
    const text = "Ölçü: 3 ğ, 日本 🙂 it 's <|endoftext|> done .\n\tend";
    const tokens = open.model.tokenize(text, false);
    const bytes = tokens.map((token) => open.vocabulary.bytesOf(token));
    assert.equal(Buffer.concat(bytes).toString(), text);
    await closeModel(open);
  });

  it("refuses a context beyond the trained one and too many slots, with the numbers", async () => {
    const { message } = await refused(new LlamaEngine({ ...llama, context: 5000 }).load());
    assert.match(message, /5000 tokens .* 4096/);
    assert.match((await refused(new LlamaEngine({ ...llama, slots: 300 }).load())).message, /300 slots .* 256/);
  });

  it("refuses a backend that is not there instead of falling back to the CPU", async () => {
    const error = await refused(
      new LlamaEngine({ ...llama, backend: process.platform === "darwin" ? "cuda" : "metal" }).load(),
    );
    assert.equal(error.code, "model_error");
  });
});

describe("the simulated engine alone", () => {
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

  it("fails only the task that found no memory left", async () => {
    const failures = [{ kind: "out_of_memory", when_text_contains: "big", after_tokens: 3 }] as const;
    await loaded(simulatedWith({ failures }), async (engine) => {
      const neighbour = watch(engine, "small", 20);
      const { code } = await refused(watch(engine, "big", 20).outcome);
      assert.equal(code, "out_of_memory");
      assert(!neighbour.ended);
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
    await run(simulated, "elsewhere");
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
    await run(simulated, "elsewhere");
    assert.deepEqual(
      all.map(({ tokens, ended }) => [tokens, ended]),
      [
        [3, false],
        [0, false],
      ],
    );
    assert.equal(engine.progress, 3);
  });

  it("says the same whether it is slow or fast", async () => {
    const [slow, fast] = await Promise.all(
      [500, 0].map(async (tokens_per_second) => (await run(simulatedWith({ tokens_per_second }), "hello")).task.text),
    );
    assert.equal(slow, fast);
  });

  it("fails to load when its script says so, on that GPU only", async () => {
    const options = simulatedWith({ failures: [{ kind: "load_error", gpu_id: 2 }] });
    assert.match((await refused(run(options, "x", 2))).message, /GPU 2 is set to fail/);
    await run(options, "x", 1);
  });
});
