/** The promises of src/engine/engine.ts that every engine keeps. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { completionOf } from "../../src/request.ts";
import { type Engine, type EngineInfo, type EngineOptions } from "../../src/engine/engine.ts";
import { EngineFailure } from "../../src/engine/failures.ts";
import {
  abortAll,
  MIB,
  opened,
  planned,
  prompts,
  refused,
  SLOTS,
  started,
  tokensOf,
  watch,
  type Watched,
} from "./engines.ts";

/** What differs from engine to engine. */
export interface EngineTraits {
  /** Tokens of context of the engine that is made with a small one; null: its context cannot be chosen, or is not told. */
  readonly smallContext: number | null;
  /** When it tells how many tokens a prompt has: before it generates, only when the task has ended well, or never. */
  readonly promptTokens: "before" | "after" | "never";
  /** Whether each token is emitted by itself. Otherwise a piece may be several, and how many there were is said at the end only. */
  readonly countsEachToken: boolean;
  /** Whether a text at temperature 0 does not depend on what is generated beside it. */
  readonly repeats: boolean;
  /** Whether a test sees its steps: it computes in this process, and nothing is on the way to the listener. */
  readonly inSteps: boolean;
  /** Whether it plans its device's memory. */
  readonly plansMemory: boolean;
}

/** An engine that computes in this process. */
export const EMBEDDED: EngineTraits = {
  smallContext: 64,
  promptTokens: "before",
  countsEachToken: true,
  repeats: true,
  inSteps: true,
  plansMemory: true,
};

export interface EngineSubject {
  readonly name: string;
  readonly traits: EngineTraits;
  /** What it says of itself with `SLOTS` slots and nothing else special. */
  readonly info: Partial<EngineInfo>;
  /** Makes an engine of `SLOTS` slots, but for these options; it is loaded and stopped by the caller. Slots and context may be changed. */
  readonly create: (changes: Partial<EngineOptions>) => Engine | Promise<Engine>;
}

/** Describes the promises as tests of this engine. */
export function keepsThePromises(subject: EngineSubject): void {
  const { traits } = subject;
  describe(`the ${subject.name} engine`, () => {
    let engine: Engine;
    let info: EngineInfo;
    const current = () => ({ engine, info });

    before(async () => {
      engine = await subject.create({});
      info = await engine.load();
    });
    after(() => engine.stop());

    it("tells what it runs on and how it counts", () => {
      assert.equal(info.slots, SLOTS);
      assert.deepEqual({ ...info, ...subject.info }, info);
      assert(info.model !== "" && info.device !== "" && info.maxTokenBytes > 0);
    });

    describe("text", () => generatesText(traits, current));
    describe("slots", () => sharesItsSlots(traits, current));
    describe("cancel", () => cancelsTasks(traits, current));
    describe("end", () => endsTidily(subject));
    if (traits.smallContext !== null) describe("context", () => keepsToItsContext(subject, traits.smallContext!));
    if (traits.plansMemory) describe("memory", () => plansItsMemory(subject, current));
  });
}

type Current = () => { readonly engine: Engine; readonly info: EngineInfo };

function generatesText(traits: EngineTraits, current: Current): void {
  it("makes progress with every token, and none while it has nothing to do", async () => {
    const { engine } = current();
    let last = engine.progress;
    const task = watch(engine, "The cat said", 10, ({ tokens }) => {
      assert(tokens === 0 || engine.progress > last);
      last = engine.progress;
    });
    const { completionTokens } = await task.outcome;
    assert(completionTokens > 0);
    // What says that a text has ended may be progress too, where it comes by itself.
    if (!traits.inSteps) last = engine.progress;
    await nextTurn();
    assert.equal(engine.progress, last);
  });

  it("emits pieces that add up to the text and to the token count", async () => {
    const task = watch(current().engine, "The cat said", 40);
    const outcome = await task.outcome;
    if (traits.countsEachToken) assert.equal(task.tokens, outcome.completionTokens);
    assert(task.text.length > 0 && task.text.isWellFormed());
    assert(outcome.completionTokens > 0 && outcome.completionTokens <= 40);
  });

  it("tells once how many tokens the prompt has, before anything is emitted", async () => {
    const task = watch(current().engine, "The cat said", 3);
    const { promptTokens } = await task.outcome;
    assert.deepEqual(task.promptTokens, [traits.promptTokens === "before" ? promptTokens : null]);
    assert(traits.promptTokens === "never" ? promptTokens === null : promptTokens! > 0);
  });

  it("never saves more of a prompt than it has, nor all of it", async () => {
    const text = "The cat and the dog said to the bird that ";
    for (let round = 0; round < 3; round++) {
      const { promptTokens, cachedTokens } = await watch(current().engine, text, 3).outcome;
      if (promptTokens === null || cachedTokens === null) continue;
      assert(cachedTokens >= 0 && cachedTokens < promptTokens, `${cachedTokens} of ${promptTokens}`);
    }
  });

  it("generates max_length tokens at most", async () => {
    for (const maxLength of [1, 2, 5]) {
      const { completionTokens, finishReason } = await watch(current().engine, "The cat said", maxLength).outcome;
      assert(completionTokens <= maxLength);
      if (finishReason === "length") assert.equal(completionTokens, maxLength);
    }
  });

  it("never has fewer prompt tokens than its longest token allows", async () => {
    const { engine, info } = current();
    for (const text of [
      "Once upon a time there was a girl.",
      " ".repeat(999),
      "🙂ğüş".repeat(50),
      "the ".repeat(500),
    ]) {
      const { promptTokens } = await watch(engine, text, 1).outcome;
      if (promptTokens === null) continue;
      assert(promptTokens >= Buffer.byteLength(text) / info.maxTokenBytes, `${promptTokens} tokens for ${text}`);
    }
  });

  it("survives odd prompts", async () => {
    for (const text of [" ", "\n\n", "\0", "\ud800", "<|endoftext|>", "�"]) {
      const { finishReason } = await watch(current().engine, text, 3).outcome;
      assert.notEqual(finishReason, "canceled");
    }
  });

  if (!traits.repeats) return;

  it("is deterministic at temperature 0, alone or among others", async () => {
    const { engine } = current();
    const alone = watch(engine, "The old man", 60);
    await alone.outcome;
    const others = prompts(SLOTS - 1).map((prompt) => watch(engine, prompt, 60));
    const among = watch(engine, "The old man", 60);
    await Promise.all([among, ...others].map(({ outcome }) => outcome));
    assert.equal(among.text, alone.text);
  });
}

function sharesItsSlots(traits: EngineTraits, current: Current): void {
  it("decodes all slots together: each has its first token before any ends", async () => {
    const tasks = await Promise.all(prompts(SLOTS).map((text) => started(current().engine, text, 4000, 1)));
    assert(tasks.every(({ ended }) => !ended));
    await abortAll(tasks);
  });

  it("gives a newcomer its first token while seven others are generating", async () => {
    const { engine } = current();
    const others = await Promise.all(prompts(SLOTS - 1).map((text) => started(engine, text, 4000, 3)));
    await started(engine, "A bird", 5, 1);
    // A story may end by itself after dozens of tokens, far later than this.
    assert(others.every(({ ended }) => !ended));
    await abortAll(others);
  });

  it("fails only the task whose listener throws", async () => {
    const { engine } = current();
    const [text = "", ...rest] = prompts(SLOTS);
    const others = rest.map((prompt) => watch(engine, prompt, 20));
    const failing = watch(engine, text, 20, ({ tokens }) => {
      if (tokens > 2) throw new Error("no more of this");
    });
    await assert.rejects(failing.outcome, /no more of this/);
    for (const { outcome } of others) assert.notEqual((await outcome).finishReason, "canceled");
    const { completionTokens } = await watch(engine, text, 3).outcome;
    assert(traits.countsEachToken ? completionTokens === 3 : completionTokens > 0);
  });
}

function cancelsTasks(traits: EngineTraits, current: Current): void {
  it("ends a canceled task, frees its slot, and leaves the others alone", async () => {
    const { engine } = current();
    const [text = "", ...rest] = prompts(SLOTS);
    const expected = await Promise.all(rest.map((prompt) => wholeText(engine, prompt, 40)));
    const others = rest.map((prompt) => watch(engine, prompt, 40));
    const canceled = await started(engine, text, 4000, 3);
    canceled.controller.abort();
    const tokens = canceled.tokens;
    const outcome = await canceled.outcome;
    assert.equal(outcome.finishReason, "canceled");
    assert.equal(outcome.completionTokens, canceled.tokens);
    assert.equal(canceled.tokens, tokens, "nothing is emitted after the abort");
    await started(engine, "The slot is free", 10, 1);
    for (const { outcome: other } of others) assert.notEqual((await other).finishReason, "canceled");
    if (traits.repeats) {
      assert.deepEqual(
        others.map((task) => task.text),
        expected,
      );
    }
  });

  it("keeps what a canceled task has generated: the beginning of what it would have said", async () => {
    const { engine } = current();
    const whole = await wholeText(engine, "The old man", 40);
    for (const tokens of [1, 4, 15]) {
      const canceled = await started(engine, "The old man", 4000, tokens);
      canceled.controller.abort();
      const { finishReason, completionTokens } = await canceled.outcome;
      assert.deepEqual([finishReason, completionTokens], ["canceled", canceled.tokens]);
      assert(canceled.text !== "" && canceled.tokens < 4000);
      if (traits.repeats) assert(whole.startsWith(canceled.text) || canceled.text.startsWith(whole), canceled.text);
    }
  });

  it("cancels in the tick in which a task starts, and before it starts at all, without doing anything for it", async () => {
    const { engine } = current();
    const { progress } = engine;
    const early = watch(engine, "word ".repeat(2000), 100);
    early.controller.abort();
    const outcome = await early.outcome;
    assert.deepEqual([outcome.finishReason, outcome.completionTokens, early.tokens], ["canceled", 0, 0]);
    const request = completionOf("x", { maxTokens: 5 });
    const late = await engine.generate({ request, signal: AbortSignal.abort(), emit: mustNotEmit });
    assert.deepEqual([late.finishReason, late.completionTokens], ["canceled", 0]);
    assert.equal(engine.progress, progress);
    if (traits.promptTokens === "before" && traits.inSteps)
      assert(outcome.promptTokens! >= 2000 && late.promptTokens! > 0);
  });

  it("keeps every slot through hundreds of cancellations", async () => {
    const { engine } = current();
    const reference = await wholeText(engine, "The cat said", 10);
    for (let round = 0; round < 25; round++) {
      const tasks = prompts(SLOTS).map((text, index) => watch(engine, text, 100, abortAfter((round + index) % 5)));
      await Promise.all(tasks.map(({ outcome }) => outcome));
    }
    const tasks = await Promise.all(Array.from({ length: SLOTS }, () => started(engine, "The cat said", 10, 1)));
    await Promise.all(tasks.map(({ outcome }) => outcome));
    if (traits.repeats) for (const { text } of tasks) assert.equal(text, reference);
  });

  if (!traits.inSteps) return;

  it("ends a task that is canceled during a step before its neighbours' step after that one", async () => {
    const { engine } = current();
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
}

function endsTidily({ create }: EngineSubject): void {
  it("ends everything when it is stopped, and may be stopped twice", async () => {
    const own = await create({});
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
    const own = await create({});
    await own.stop();
  });
}

function keepsToItsContext({ traits, create }: EngineSubject, context: number): void {
  let small: Engine;
  before(async () => {
    small = await create({ context });
    await small.load();
  });
  after(() => small.stop());

  it("ends where the context ends", async () => {
    const outcomes = await Promise.all(prompts(SLOTS).map((text) => watch(small, text, 1_000_000).outcome));
    for (const { promptTokens, completionTokens, finishReason } of outcomes) {
      assert(promptTokens! + completionTokens <= context);
      if (finishReason === "length") assert.equal(promptTokens! + completionTokens, context);
    }
    assert(outcomes.some(({ finishReason }) => finishReason === "length"));
  });

  it("takes a prompt up to one token less than the context, and refuses the next with both numbers", async () => {
    let longest = 0;
    // Long enough to be quick, and short enough to be taken.
    for (let text = "dog".padEnd(2 * context, " dog"); ; text += " dog") {
      const task = watch(small, text, 5);
      const outcome = await task.outcome.catch((error: unknown) => error);
      if (outcome instanceof EngineFailure) {
        assert.equal(outcome.code, "prompt_too_long");
        const numbers: string[] = outcome.message.replaceAll(",", "").match(/\d+/g) ?? [];
        assert.deepEqual([numbers.length, numbers.includes(String(context))], [2, true], outcome.message);
        assert.equal(task.tokens, 0);
        break;
      }
      longest = (await task.outcome).promptTokens!;
    }
    assert.equal(longest, context - 1);
  });

  it("tells nothing of a prompt that it refuses", async () => {
    const tooLong = watch(small, "dog ".repeat(1000), 3);
    await refused(tooLong.outcome);
    if (traits.promptTokens === "before") assert.deepEqual(tooLong.promptTokens, []);
    assert.deepEqual([tooLong.text, tooLong.tokens], ["", 0]);
  });
}

function plansItsMemory({ create }: EngineSubject, current: Current): void {
  const load = async (changes: Partial<EngineOptions>) => opened(await create(changes));

  it("names no accelerator and no device memory where it has none", async () => {
    assert.deepEqual(current().info.devices, []);
    assert.equal(await current().engine.deviceMemory(), null);
  });

  it("grants everything when it is not told how much memory it may take", () => {
    const { info } = current();
    assert.equal(info.memoryNote, null);
    assert(info.memory!.weights > 2 * MIB && planned(info) >= info.kvBytesPerToken * info.context! * info.slots);
  });

  it("grants everything that just fits", async () => {
    const { info } = current();
    const { context, slots, memoryNote } = await load({ memoryBudget: planned(info) });
    assert.deepEqual([context, slots, memoryNote], [info.context, info.slots, null]);
  });

  it("refuses to load when memory is far too small, with both numbers", async () => {
    const { code, message } = await refused(load({ memoryBudget: 2 * MIB }));
    assert.equal(code, "out_of_memory");
    assert.match(
      message,
      /needs at least [\d.]+ MiB of memory, 3\.0 MiB of it for its weights,.*; 2\.0 MiB may be used\.$/,
    );
  });

  it("counts what an earlier load was seen to take beside weights and KV cache", async () => {
    const { info } = current();
    const measuredOverhead = info.memory!.overhead + 100 * MIB;
    const measured = await load({ measuredOverhead });
    // Room for vectors comes on top of it: nobody may have asked that load for one.
    const beside = measured.memory!.overhead - measuredOverhead;
    assert(beside >= 0 && beside <= info.memory!.overhead, String(beside));
    const { memory, memoryNote } = await load({ memoryBudget: planned(measured), measuredOverhead });
    assert.deepEqual([memory, memoryNote], [measured.memory, null]);
    const error = await refused(load({ memoryBudget: planned(info), measuredOverhead }));
    assert.equal(error.code, "out_of_memory");
  });
}

async function wholeText(engine: Engine, prompt: string, maxLength: number): Promise<string> {
  const task = watch(engine, prompt, maxLength);
  await task.outcome;
  return task.text;
}

function abortAfter(limit: number) {
  return ({ tokens, controller }: Watched): void => void (tokens > limit && controller.abort());
}

function mustNotEmit(): never {
  assert.fail("nothing may be emitted");
}
