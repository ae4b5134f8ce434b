/** The promises about what a request to generate text may ask for: those of each engine that says it can do it. */
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import { factsOf, limited, type Need, type TextRequest } from "../../src/request.ts";
import { type Engine } from "../../src/engine/engine.ts";
import { ask, chatOf, type RequestSubject, STORY, textOf, type Where, withOwn } from "./asking.ts";
import { abortAll, prompts, SLOTS, started } from "./engines.ts";
import { keepsForms } from "./form-promises.ts";
import { tellsLogprobs } from "./logprob-promises.ts";
import { makesCalls } from "./tool-promises.ts";

/** Describes the promises as tests of this engine. */
export function takesRequests(subject: RequestSubject): void {
  describe(`requests to the ${subject.name} engine`, () => {
    let engine: Engine;
    let says: ReadonlySet<Need>;

    before(async () => {
      engine = await subject.create({});
      const { capabilities, honours } = await engine.load();
      says = new Set<Need>([...capabilities, ...honours]);
      assert.deepEqual(
        subject.can.filter((need) => !says.has(need)),
        [],
      );
    });
    after(() => engine.stop());

    const where: Where = (needs, what, check) => {
      if (needs.every((need) => subject.can.includes(need))) it(what, () => check(engine));
    };

    for (const { capability } of subject.saysWords === true ? [] : LEARNED)
      it(`keeps its promises about ${capability} where it says that it can`, async (t) => {
        if (says.has(capability)) await assertKept(t, capability, subject, { engine, says });
        else assertRefusable(capability);
      });

    conversations(subject, where);
    stops(subject, where);
    seeds(subject, where);
    where(
      ["top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "stop"],
      "takes all of sampling at once",
      async () => {
        const sampling = {
          temperature: 1,
          topK: 20,
          topP: 0.9,
          minP: 0.01,
          seed: 7,
          presencePenalty: -0.5,
          frequencyPenalty: 0.5,
        };
        const { completionTokens } = await ask(
          engine,
          textOf(STORY, { ...sampling, logitBias: { 5: -100 }, stop: ["\u0000"] }),
        );
        assert(completionTokens > 0);
      },
    );
  });
}

/** What some engines can do with some models: those that tell of it are held to it. */
const LEARNED = [
  { capability: "json_schema", promises: keepsForms },
  { capability: "tools", promises: makesCalls },
  { capability: "logprobs", promises: tellsLogprobs },
] as const;
type Learned = (typeof LEARNED)[number]["capability"];

/** Describes the promises about one of these as tests of an engine whose model can do it. */
export function keepsPromisesAbout(capability: Learned, subject: RequestSubject): void {
  it(`the ${subject.name} engine keeps its promises about ${capability}`, async (t) => {
    const engine = await subject.create({});
    try {
      const { capabilities, honours } = await engine.load();
      assert(capabilities.includes(capability), capabilities.join());
      await assertKept(t, capability, subject, { engine, says: new Set<Need>([...capabilities, ...honours]) });
    } finally {
      await engine.stop();
    }
  });
}

async function assertKept(
  t: TestContext,
  capability: Learned,
  subject: RequestSubject,
  { engine, says }: { readonly engine: Engine; readonly says: ReadonlySet<Need> },
): Promise<void> {
  const kept: (readonly [string, (engine: Engine) => Promise<void>])[] = [];
  LEARNED.find((one) => one.capability === capability)!.promises(subject, (needs, what, check) => {
    if (needs.every((need) => says.has(need))) kept.push([what, check]);
  });
  for (const [what, check] of kept) await t.test(what, () => check(engine));
}

/** What an engine does not tell of is refused before the queue, because a request for it says that it needs that. */
function assertRefusable(capability: Learned): void {
  const requests: Readonly<Record<Learned, TextRequest>> = {
    json_schema: { ...textOf(STORY), format: { kind: "json" } },
    tools: { ...chatOf(STORY), tools: { list: [{ name: "tell" }], choice: "auto", parallel: true } },
    logprobs: { ...textOf(STORY), logprobs: 0 },
  };
  assert(factsOf(requests[capability]).needs.includes(capability));
}

function conversations({ create, special }: RequestSubject, where: Where): void {
  where(["chat"], "answers messages", async (engine) => {
    const { text, completionTokens } = await ask(engine, chatOf(STORY));
    assert(text !== "" && completionTokens > 0);
  });

  where(["chat"], "takes a text for one message of a user", async (engine) => {
    const [text, chat] = [await ask(engine, textOf(STORY)), await ask(engine, chatOf(STORY))];
    assert.deepEqual([text.text, text.promptTokens], [chat.text, chat.promptTokens]);
  });

  where(["chat"], "continues a text as it is where its request, or the engine's setting, says so", async (engine) => {
    const raw = await ask(engine, textOf(STORY, {}, true));
    const own = await create({ raw: true });
    try {
      await own.load();
      const [unsaid, asked] = [await ask(own, textOf(STORY)), await ask(own, textOf(STORY, {}, false))];
      const chat = await ask(engine, chatOf(STORY));
      assert.deepEqual([unsaid.text, unsaid.promptTokens], [raw.text, raw.promptTokens]);
      assert.deepEqual([asked.text, asked.promptTokens], [chat.text, chat.promptTokens]);
    } finally {
      await own.stop();
    }
  });

  where(
    ["chat"],
    "counts the tokens of a prompt as it tells them of an answer, if it counts them at all",
    async (engine) => {
      const requests = [textOf(STORY), textOf(STORY, {}, true), chatOf(STORY), chatOf(`${STORY} ${special ?? ""}`)];
      for (const request of requests) {
        const counted = await engine.countTokens?.(request);
        if (counted !== undefined) assert.equal(counted, (await ask(engine, limited(request, 1))).promptTokens);
      }
      // Also where there is no room for an answer.
      const long = chatOf(`${STORY} `.repeat(30_000));
      if (engine.countTokens !== undefined) assert((await engine.countTokens(long)) > 100_000);
    },
  );

  if (special === null) return;

  for (const [kind, requestOf] of [
    ["chat", chatOf],
    ["completion", textOf],
  ] as const)
    where([kind], `takes special tokens in callers' texts for text (${kind})`, async (engine) => {
      const tokensOf = async (text: string): Promise<number> =>
        (await ask(engine, requestOf(text, { maxTokens: 1 }))).promptTokens!;
      const [without, one, three] = await Promise.all(
        ["A", `A${special}`, `A${special}${special}${special}`].map(tokensOf),
      );
      assert(one! - without! > 1, `${special} takes ${one! - without!} tokens`);
      assert(three! - one! > 2, `two more take ${three! - one!}`);
    });
}

function stops({ countsEachToken, repeats }: RequestSubject, where: Where): void {
  if (!repeats) return;

  where(
    ["stop"],
    "ends before a stop sequence, wherever tokens have their borders, and never tells it",
    async (engine) => {
      const whole = await ask(engine, textOf(STORY));
      const starts = [1, 2, 3, 5, 8, 13, 21].filter((at) => at + 9 < whole.text.length);
      assert(starts.length > 3, whole.text);
      for (const at of starts) {
        for (const length of [1, 2, 9]) {
          const stop = whole.text.slice(at, at + length);
          const answer = await ask(engine, textOf(STORY, { stop: [stop, "never there"] }));
          assert.deepEqual(
            [answer.text, answer.finishReason],
            [whole.text.slice(0, whole.text.indexOf(stop)), "stop"],
            stop,
          );
          assert(answer.completionTokens > 0 && answer.completionTokens <= whole.completionTokens);
          if (countsEachToken) assert.equal(answer.tokens, answer.completionTokens);
        }
      }
    },
  );

  where(["stop"], "holds nothing back in the end where no stop sequence comes", async (engine) => {
    const whole = await ask(engine, textOf(STORY));
    const { text, finishReason, tokens } = await ask(engine, textOf(STORY, { stop: [`${whole.text.slice(-4)}!?`] }));
    assert.deepEqual([text, finishReason, tokens], [whole.text, whole.finishReason, whole.tokens]);
  });
}

function drawn(seed?: number): TextRequest {
  return textOf(STORY, {
    maxTokens: 12,
    temperature: 1,
    topP: 1,
    topK: 0,
    minP: 0,
    ...(seed !== undefined && { seed }),
  });
}

function seeds(subject: RequestSubject, where: Where): void {
  const { repeats, draws } = subject;
  if (repeats)
    where(["seed"], "gives the same text again for the same seed, alone or among others", () =>
      withOwn(subject, drawn(0), async (engine) => {
        for (const seed of [0, 42, 2 ** 32 - 1]) {
          const alone = await ask(engine, drawn(seed));
          const others = await Promise.all(prompts(SLOTS - 1).map((text) => started(engine, text, 4000, 1)));
          const among = await ask(engine, drawn(seed));
          await abortAll(others);
          assert.equal(among.text, alone.text, String(seed));
        }
      }),
    );

  if (draws)
    where(["seed"], "gives other texts for other seeds, and without one", async (engine) => {
      const texts = await Promise.all([1, 2, 3, 4].map(async (seed) => (await ask(engine, drawn(seed))).text));
      assert(new Set(texts).size > 1, texts[0]);
      const more = await Promise.all([1, 2, 3, 4].map(() => ask(engine, drawn())));
      assert(new Set(more.map(({ text }) => text)).size > 1, more[0]!.text);
    });
}
