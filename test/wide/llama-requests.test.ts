/** What the llama engine makes of biases, penalties and reasoning; see also test/engine-conformance.test.ts. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { LlamaEngine } from "../../src/engine/llama/llama.ts";
import { LLAMA, refused } from "../helpers/engines.ts";
import { vectorsOf } from "../helpers/embedding-promises.ts";
import { keyOf, stringsIn, tokenizerOf, withChatTemplate, withUserTokens } from "../helpers/gguf.ts";
import { withLlama } from "../helpers/llama.ts";
import { extremes } from "../helpers/samplings.ts";
import { ask, chatOf, textOf } from "../helpers/asking.ts";
import { keepsPromisesAbout } from "../helpers/request-promises.ts";
import { TURN_END, USER_MARK, USER_TAG } from "../helpers/sentence-piece.ts";
import { writeSentencePieceModel } from "../helpers/tiny-models.ts";
import { TOOL_TEMPLATES } from "../helpers/tool-templates.ts";

const DEMO = readFileSync(LLAMA.model);
const TEMPLATE = "{{ (messages | selectattr('role', 'equalto', 'user') | list | last).content }}";
const TOKENS = stringsIn(tokenizerOf(DEMO).metadata.find((entry) => keyOf(entry) === "tokenizer.ggml.tokens")!);
const END = TOKENS.indexOf("<|endoftext|>");

const CONTINUES = "{{ messages[-1].content }}";
const STORY = "Once upon a time there was a fox";

let folder: string;
before(async () => void (folder = await mkdtemp(join(tmpdir(), "alt-las-"))));
after(() => rm(folder, { recursive: true }));

/** Lets `use` look at the demo model with another chat template, or none. */
async function withTemplate(template: string, use: (engine: LlamaEngine) => Promise<void>): Promise<void> {
  const model = join(folder, "model.gguf");
  const file = Buffer.from(DEMO);
  assert(Buffer.byteLength(template) <= TEMPLATE.length && file.includes(TEMPLATE));
  // A comment that is cut off its own end makes it as long as the demo model's.
  file.write(`${template}{#-`.padEnd(TEMPLATE.length - 2) + "#}", file.indexOf(TEMPLATE));
  await writeFile(model, file);
  await withLlama(use, { model });
}

/** Makes the model say exactly these tokens, in this order: each is the likeliest until it was said. They are all different. */
function forced(texts: readonly string[]) {
  const ids = texts.map((text) => TOKENS.indexOf(text === "\n" ? "Ċ" : text));
  assert(!ids.includes(-1) && new Set(ids).size === ids.length, texts.join("|"));
  const logitBias = Object.fromEntries(ids.map((id, at) => [id, 5000 - 100 * at]));
  return { logitBias, presencePenalty: 50_000, maxTokens: 40 };
}

const letters = (text: string) => [...text];

for (const [name, template] of Object.entries(TOOL_TEMPLATES))
  keepsPromisesAbout("tools", {
    name: `llama, of a model that writes calls as ${name},`,
    can: [],
    special: null,
    countsEachToken: true,
    repeats: true,
    draws: true,
    create: async (changes) => {
      const model = join(folder, "tools.gguf");
      await writeFile(model, withChatTemplate(DEMO, template));
      return new LlamaEngine({ ...LLAMA, context: 1024, model, ...changes });
    },
  });

describe("biases and penalties of the llama engine", () => {
  it("hold at temperature 0, and for the tokens that end a text", () =>
    withTemplate(CONTINUES, async (engine) => {
      const plain = await ask(engine, textOf(STORY));
      const ended = await ask(engine, textOf(STORY, { logitBias: { [END]: 100 } }));
      assert.deepEqual([ended.text, ended.finishReason, ended.completionTokens], ["", "stop", 0]);
      const endless = await ask(engine, textOf(STORY, { logitBias: { [END]: -100 }, maxTokens: 600 }));
      assert.deepEqual([endless.finishReason, endless.completionTokens], ["length", 600]);
      assert(endless.text.startsWith(plain.text));
      const unknown = await ask(engine, textOf(STORY, { logitBias: { [TOKENS.length]: 100, 4294967295: 100 } }));
      assert.equal(unknown.text, plain.text);
    }));

  it("choose among all tokens, before the likeliest are", () =>
    withTemplate(CONTINUES, async (engine) => {
      for (const temperature of [0, 1]) {
        const { text } = await ask(
          engine,
          textOf(STORY, { ...forced(["q", "x", "<", "z"]), maxTokens: 4, temperature }),
        );
        assert.equal(text, "qx<z");
      }
    }));

  it("count what the answer has, not the prompt", () =>
    withTemplate(CONTINUES, async (engine) => {
      const [a, b] = [TOKENS.indexOf("a"), TOKENS.indexOf("b")];
      // Far more than what the model itself thinks of them.
      const logitBias = { [a]: 10_500, [b]: 10_000 };
      const said = async (penalties: object) =>
        (await ask(engine, textOf("aaa", { logitBias, ...penalties, maxTokens: 8 }))).text;
      assert.equal(await said({}), "aaaaaaaa");
      assert.equal(await said({ presencePenalty: 1000 }), "abaaaaaa");
      assert.equal(await said({ frequencyPenalty: 1000 }), "abababab");
      assert.equal(await said({ frequencyPenalty: -1000 }), "aaaaaaaa");
    }));
});

describe("samplings at their extremes", () => {
  it("leave the llama engine able to compute, one after the other", async () => {
    await withLlama(async (engine) => {
      let gone = false;
      void engine.gone.then(() => (gone = true));
      for (const sampling of extremes(TOKENS.length)) {
        const { tokens, completionTokens } = await ask(engine, textOf(STORY, { ...sampling, maxTokens: 4 }, true));
        assert.equal(tokens, completionTokens, JSON.stringify(sampling));
      }
      assert.equal(gone, false);
    });
  });

  it("of the temperature are greedy where it is next to nothing", async () => {
    await withLlama(async (engine) => {
      const greedy = await ask(engine, textOf(STORY, {}, true));
      for (const temperature of [1e-45, 1e-38, 1e-4]) {
        const { text } = await ask(engine, textOf(STORY, { temperature, seed: 5 }, true));
        assert.equal(text, greedy.text);
      }
    });
  });
});

describe("user-defined tokens that control the model", () => {
  const MARK = "<|turn|>";
  const TAG = "<b>";
  let model: string;
  before(async () => {
    model = join(folder, "marks.gguf");
    await writeFile(model, withUserTokens(DEMO, [MARK, TAG]));
  });

  it("are text in what callers send, whatever stands around them, and tags are what they were", async () => {
    await withLlama(
      async (engine) => {
        const cost = async (text: string, raw: boolean) =>
          (await ask(engine, textOf(text, { maxTokens: 1 }, raw))).promptTokens!;
        for (const raw of [true, false]) {
          const plain = await cost("A fox", raw);
          assert.equal(await cost(`A fox${TAG}`, raw), plain + 1);
          // As tokens they would be one each.
          const rest = (await cost(`x${MARK.slice(1)}`, raw)) - (await cost("x", raw));
          assert(rest > 3);
          assert.equal(await cost(`A fox${MARK}`, raw), plain + 1 + rest);
          assert.equal(await cost(`A fox${MARK}${MARK}${TAG}`, raw), plain + 3 + 2 * rest);
        }
        const vectors = async (text: string) => (await vectorsOf(engine, [text])).outcome.promptTokens!;
        assert((await vectors(`A fox${MARK}`)) > (await vectors("A fox")) + 4);
      },
      { model },
    );
  });

  it("are text in a vocabulary that puts a space before each text, with no space that nobody wrote", async () => {
    const pieces = join(folder, "pieces-marks.gguf");
    writeSentencePieceModel(pieces);
    await withLlama(
      async (engine) => {
        for (const raw of [true, false]) {
          const cost = async (text: string) => (await ask(engine, textOf(text, { maxTokens: 1 }, raw))).promptTokens!;
          const one = await cost(`cat${USER_MARK}`);
          assert.equal(await cost(`cat${USER_MARK}${USER_MARK}`), one + USER_MARK.length);
          assert.equal(await cost(`cat${USER_MARK}${USER_TAG}`), one + 1);
          if (raw) assert.equal(one, (await cost("cat")) + USER_MARK.length);
        }
      },
      { model: pieces, context: 256 },
    );
  });
});

describe("reasoning in the llama engine", () => {
  const said = [..."<think>"];
  const INSIDE = "{{ messages[-1].content }}<think>\n{# </think> #}";
  const OUTSIDE = "{{ messages[-1].content }}{# </think> #}";

  it("is told apart, to the end where it does not end, and has no stop sequences", () =>
    withTemplate(INSIDE, async (engine) => {
      const raw = await ask(engine, textOf(`${STORY}<think>\n`, {}, true));
      const answer = await ask(engine, chatOf(STORY, { stop: [raw.text.slice(3, 6)] }));
      assert.deepEqual([answer.reasoning, answer.text], [raw.text.replace(/^\s*\n/, ""), ""]);
      assert.deepEqual([answer.finishReason, answer.tokens], ["length", raw.completionTokens]);
      assert.equal(answer.promptTokens, raw.promptTokens);
    }));

  it("ends at its mark, over the borders of tokens", () =>
    withTemplate(INSIDE, async (engine) => {
      const answer = await ask(
        engine,
        chatOf(STORY, forced(["q", ...letters("</think>"), "\n", "x", "z", TOKENS[END]!])),
      );
      assert.deepEqual([answer.reasoning, answer.text, answer.finishReason], ["q", "xz", "stop"]);
      assert.deepEqual([answer.completionTokens, answer.tokens], [12, 12]);
    }));

  it("is free of the form that the answer behind it has", () =>
    withTemplate(INSIDE, async (engine) => {
      const asked = chatOf(STORY, { ...forced(["q", "{", ...letters("</think>"), "x"]), maxTokens: 14 });
      const answer = await ask(engine, { ...asked, format: { kind: "json" } });
      assert.equal(answer.reasoning, "q{");
      assert.match(answer.text, /^\{[}"\s]/);
    }));

  it("begins at its mark only where the answer begins", () =>
    withTemplate(OUTSIDE, async (engine) => {
      const first = await ask(engine, chatOf(STORY, { ...forced([...said, "q", "z"]), maxTokens: 9 }));
      assert.deepEqual([first.reasoning, first.text, first.tokens], ["qz", "", 9]);
      const later = await ask(engine, chatOf(STORY, { ...forced(["q", ...said]), maxTokens: 8 }));
      assert.deepEqual([later.reasoning, later.text], ["", "q<think>"]);
    }));

  it("is text in a text that is continued as it is", () =>
    withTemplate(OUTSIDE, async (engine) => {
      const { reasoning, text } = await ask(engine, textOf(STORY, { ...forced(said), maxTokens: 7 }, true));
      assert.deepEqual([reasoning, text], ["", "<think>"]);
    }));

  it("is told even where only its beginning was said", () =>
    withTemplate(OUTSIDE, async (engine) => {
      const { reasoning, text, tokens } = await ask(
        engine,
        chatOf(STORY, { ...forced(["\n", "<", "t"]), maxTokens: 3 }),
      );
      assert.deepEqual([reasoning, text, tokens], ["", "\n<t", 3]);
    }));
});

describe("chat templates in the llama engine", () => {
  it("that refuse messages fail the task with their words, and no other", () =>
    withTemplate("{% if messages|length > 1 %}{{ raise_exception('One.') }}{% endif %}Hi", async (engine) => {
      const two = chatOf(STORY);
      assert(two.kind === "chat");
      const request = { ...two, messages: [...two.messages, ...two.messages] };
      const { code, message } = await refused(ask(engine, request));
      assert.deepEqual([code, message], ["invalid_input", "The model's chat template refuses the messages: One."]);
      assert((await ask(engine, two)).text !== "");
    }));

  it("that cannot be read leave the model without one, and say so", () =>
    withTemplate("{% if %}", async (engine) => {
      const { capabilities, hasChatTemplate, settings } = await engine.load();
      assert.deepEqual([capabilities.includes("chat"), hasChatTemplate], [false, false]);
      const raw = settings.find(({ name }) => name === "raw");
      assert.equal(raw?.value, "true");
      assert.match(
        raw.reason,
        /^the model's chat template cannot be used, so texts are continued as they are: .*compile/,
      );
      assert.equal((await refused(ask(engine, chatOf(STORY)))).code, "unsupported");
      assert.deepEqual((await ask(engine, textOf(STORY))).text, (await ask(engine, textOf(STORY, {}, true))).text);
    }));

  it("put no space that nobody wrote beside a text with a special token's name, in a vocabulary that puts one before each text", async () => {
    const model = join(folder, "pieces.gguf");
    writeSentencePieceModel(model);
    await withLlama(
      async (engine) => {
        const cost = async (content: string) => (await ask(engine, chatOf(content, { maxTokens: 1 }))).promptTokens!;
        // With the space before it the word is one token, and the name is four.
        assert.equal(await cost(TURN_END), (await cost("cat")) + 3);
        assert.equal(await cost(`${TURN_END}${TURN_END}`), (await cost(TURN_END)) + 3);
      },
      { model, context: 256 },
    );
  });
});
