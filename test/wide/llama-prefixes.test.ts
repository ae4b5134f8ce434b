/** What the llama engine keeps of the prompts before, and that no text depends on it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type LlamaEngine } from "../../src/engine/llama/llama.ts";
import { closeModel, openModel, type OpenModel } from "../../src/engine/llama/model.ts";
import { type Slot } from "../../src/engine/llama/decoder.ts";
import { FreeSlots } from "../../src/engine/llama/slots.ts";
import { LLAMA, prompts, SLOTS, started, watch, type Watched } from "../helpers/engines.ts";
import { withLlama } from "../helpers/llama.ts";
import { WINDOW, writeRecurrentModel, writeSlidingWindowModel } from "../helpers/tiny-models.ts";

const PARK = "The dog ran to the park. The cat sat in the house and saw a big bird. ".repeat(10).trimEnd();
const LAKE = "A boy and a girl went to the lake with a red ball. They were happy all day. ".repeat(10).trimEnd();

async function ended(engine: LlamaEngine, text: string, maxLength: number) {
  const task = watch(engine, text, maxLength);
  return { text: task, ...(await task.outcome) };
}

/** The text that an engine generates which has done nothing before. */
async function anew(text: string, maxLength: number, model = LLAMA.model): Promise<string> {
  let task: Watched | undefined;
  await withLlama(
    async (engine) => {
      task = watch(engine, text, maxLength);
      await task.outcome;
    },
    { model, slots: 1 },
  );
  return task!.text;
}

/** Runs one after the other in the same slot; each has to say what it says on an engine that has done nothing before. */
async function savedInTurn(model: string, texts: readonly string[]): Promise<number[]> {
  const cached: number[] = [];
  await withLlama(
    async (engine) => {
      for (const text of texts) {
        // One token, which is not decoded: the slot holds the prompt alone.
        const outcome = await ended(engine, text, 1);
        cached.push(outcome.cachedTokens!);
        const repeated = await ended(engine, `${text} and`, 20);
        assert.equal(repeated.text.text, await anew(`${text} and`, 20, model));
      }
    },
    { model, slots: 1 },
  );
  return cached;
}

describe("a prompt that begins like one before", () => {
  it("is computed from where it differs, and says how much was saved", async () => {
    await withLlama(async (engine) => {
      const first = await ended(engine, `${PARK} Then`, 10);
      const { promptTokens } = engine.stats;
      const second = await ended(engine, `${PARK} One day`, 10);
      assert.equal(first.cachedTokens, 0);
      assert(second.cachedTokens! > 150 && second.cachedTokens! < second.promptTokens!);
      assert.equal(engine.stats.promptTokens - promptTokens, second.promptTokens! - second.cachedTokens!);
      assert.equal(engine.stats.cachedTokens, second.cachedTokens);
    });
  });

  it("has its last token computed again, although all of it is there", async () => {
    await withLlama(async (engine) => {
      await ended(engine, PARK, 10);
      const { steps } = engine.stats;
      const { promptTokens, cachedTokens } = await ended(engine, PARK, 1);
      assert.deepEqual([cachedTokens, engine.stats.steps - steps], [promptTokens! - 1, 1]);
    });
  });

  it("may go on with what was generated", async () => {
    await withLlama(async (engine) => {
      const first = await ended(engine, prompts(1)[0]!, 30);
      const { cachedTokens } = await ended(engine, `${prompts(1)[0]!}${first.text.text} And then`, 10);
      assert(cachedTokens! >= first.promptTokens! + 20, `${cachedTokens}`);
    });
  });

  it("goes on as it does on an engine that has done nothing before", async () => {
    const endings = [" Then", " One day", " She saw"];
    // In what shape of batch a token is decoded changes the last digits, so where two are nearly as likely either may come. Not in these.
    const expected = await Promise.all(endings.map((ending) => anew(PARK + ending, 8)));
    await withLlama(async (engine) => {
      for (const round of [0, 1]) {
        for (const [index, ending] of endings.entries()) {
          const { text, cachedTokens } = await ended(engine, PARK + ending, 8);
          assert.equal(text.text, expected[index], ending);
          assert(round + index === 0 || cachedTokens! > 100);
        }
      }
    });
  });

  it("finds the slot that it began in, and leaves alone what others hold as long as one is empty", async () => {
    await withLlama(async (engine) => {
      for (const text of [PARK, LAKE]) assert((await ended(engine, text, 5)).cachedTokens! < 5);
      for (const text of [LAKE, PARK, LAKE]) {
        assert((await ended(engine, `${text} One day`, 5)).cachedTokens! > 150);
      }
    });
  });

  it("is saved in every slot that has it, for all that come at once", async () => {
    await withLlama(async (engine) => {
      const all = () => Promise.all(Array.from({ length: SLOTS }, (_, index) => ended(engine, `${PARK} ${index}`, 5)));
      await all();
      for (const { cachedTokens } of await all()) assert(cachedTokens! > 150);
    });
  });

  it("uses what a task had computed that was canceled in the middle of its prompt", async () => {
    const expected = await anew(`${PARK} Then`, 20);
    await withLlama(
      async (engine) => {
        const neighbour = await started(engine, "The", 4000, 1);
        const canceled = watch(engine, `${PARK} Then`, 20);
        await started(engine, "A", 10, 10);
        canceled.controller.abort();
        await canceled.outcome;
        neighbour.controller.abort();
        await neighbour.outcome;
        const { text, cachedTokens, promptTokens } = await ended(engine, `${PARK} Then`, 20);
        assert(cachedTokens! > 16 && cachedTokens! < promptTokens! / 2, `${cachedTokens}`);
        assert.equal(text.text, expected);
      },
      { tuning: { prefillChunk: 8 } },
    );
  });

  it("uses what a canceled task had generated", async () => {
    await withLlama(async (engine) => {
      const canceled = await started(engine, prompts(1)[0]!, 4000, 30);
      canceled.controller.abort();
      await canceled.outcome;
      const expected = await anew(`${prompts(1)[0]!}${canceled.text}`, 20);
      const { text, cachedTokens } = await ended(engine, `${prompts(1)[0]!}${canceled.text}`, 20);
      assert(cachedTokens! > 20);
      assert.equal(text.text, expected);
    });
  });
});

describe("a slot whose decode has failed", () => {
  let open: OpenModel;
  before(async () => (open = await openModel(LLAMA, new AbortController())));
  after(() => closeModel(open));

  it("holds nothing any more", async () => {
    const decoder = open.decoder!;
    const slots = new FreeSlots(decoder, SLOTS);
    const prompt = open.model.tokenize(PARK, false);
    const taken: Slot[] = [];
    for (let index = 0; index < SLOTS; index++) {
      const { slot } = slots.take(prompt);
      taken.push(slot);
      await decoder.step([{ slot, tokens: prompt.slice(0, 20 + index), sampler: undefined }]);
    }
    slots.giveBack(taken[3]!, true);
    const again = slots.take(prompt);
    assert.deepEqual([again.slot, again.cached, again.slot.held.length], [taken[3], 0, 0]);
    slots.giveBack(again.slot, false);
    slots.giveBack(taken[4]!, false);
    const kept = slots.take(prompt);
    assert.deepEqual([kept.slot, kept.cached], [taken[4], 24]);
  });
});

describe("a model whose state cannot be cut short at will", () => {
  let folder: string;
  let sliding: string;
  let recurrent: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "alt-las-models-"));
    sliding = join(folder, "sliding.gguf");
    recurrent = join(folder, "recurrent.gguf");
    writeSlidingWindowModel(sliding);
    writeRecurrentModel(recurrent);
  });
  after(() => rmSync(folder, { recursive: true }));

  it("is computed anew by a recurrent one, and goes on only from where it is", async () => {
    assert.deepEqual(await savedInTurn(recurrent, [PARK, `${PARK} Then`, LAKE, LAKE]), [0, 0, 0, 0]);
    await withLlama(
      async (engine) => {
        const { promptTokens } = await ended(engine, PARK, 1);
        const more = await ended(engine, `${PARK} Then a bird sang`, 20);
        assert.equal(more.cachedTokens, promptTokens);
        assert.equal(more.text.text, await anew(`${PARK} Then a bird sang`, 20, recurrent));
      },
      { model: recurrent, slots: 1 },
    );
  });

  it("is reused by one with a sliding window as long as the window is still there", async () => {
    const text = `${PARK} ${LAKE} ${PARK}`;
    const [first, second, third] = await savedInTurn(sliding, [text, `${text} Then`, PARK]);
    assert.deepEqual([first, third], [0, 0]);
    assert(second! > WINDOW, `${second}`);
  });
});
