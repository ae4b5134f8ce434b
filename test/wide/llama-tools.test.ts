/** Tools on the embedded engine: a small model whose file gets the chat template of each family. What it says is noise, but for its calls. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type AnswerFormat, type ChatRequest, type Sampling, type Tool, type ToolChoice } from "../../src/request.ts";
import { LlamaEngine } from "../../src/engine/llama/llama.ts";
import { ask, chatOf } from "../helpers/asking.ts";
import { LLAMA } from "../helpers/engines.ts";
import { withChatTemplate, withSpecialTokens } from "../helpers/gguf.ts";
import { keepsPromisesAbout } from "../helpers/request-promises.ts";
import { TAGGED_JSON, TOOL_TEMPLATES } from "../helpers/tool-templates.ts";

const directory = mkdtempSync(join(tmpdir(), "alt-las-tools-"));
after(() => rmSync(directory, { recursive: true }));

const WEATHER: Tool = {
  name: "weather",
  parameters: {
    type: "object",
    properties: { city: { enum: ["Bursa", "İzmir"] }, days: { type: "integer", minimum: 1, maximum: 7 } },
    required: ["city", "days"],
    additionalProperties: false,
  },
};
const NOW: Tool = { name: "now" };
const FORM: AnswerFormat = {
  kind: "schema",
  name: "",
  strict: true,
  schema: { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false },
};

let files = 0;

/** A file of the demo model with this chat template. */
function modelWith(template: string, file: Buffer = readFileSync(LLAMA.model)): string {
  const path = join(directory, `${++files}.gguf`);
  writeFileSync(path, withChatTemplate(file, template));
  return path;
}

async function opened(template: string, file?: Buffer): Promise<LlamaEngine> {
  const engine = new LlamaEngine({ ...LLAMA, slots: 3, context: 1024, model: modelWith(template, file) });
  const { capabilities } = await engine.load();
  assert(capabilities.includes("tools"));
  return engine;
}

function asking(choice: ToolChoice, sampling: Partial<Sampling> = {}, parallel = false): ChatRequest {
  const tools = { list: [WEATHER, NOW], choice, parallel };
  return { ...chatOf("Is it cold?", { maxTokens: 300, ...sampling }), tools };
}

for (const [name, template] of Object.entries(TOOL_TEMPLATES))
  describe(`calls as ${name}`, () => {
    let engine: LlamaEngine;
    before(async () => void (engine = await opened(template)));
    after(() => engine.stop());

    it("are made where they have to be, of the tool that is named", async () => {
      const asked = ["required", { name: "now" }, { name: "weather" }] as const;
      const answers = await Promise.all(asked.map((choice) => ask(engine, asking(choice))));
      for (const { calls, text, finishReason, tokens, completionTokens } of answers) {
        assert.deepEqual([calls.length, text, finishReason, tokens], [1, "", "stop", completionTokens]);
        const found = JSON.parse(calls[0]!.arguments) as Record<string, unknown>;
        if (calls[0]!.name === "now") assert.deepEqual(found, {});
        else assert(["Bursa", "İzmir"].includes(found["city"] as string) && Number(found["days"]) <= 7);
      }
      assert.deepEqual(
        answers.slice(1).map(({ calls }) => calls[0]!.name),
        ["now", "weather"],
      );
    });

    it("are in the place of the form that is asked for, or the answer has it", async () => {
      const seeds = [1, 2];
      const answers = seeds.map((seed) => ask(engine, { ...asking("auto", { temperature: 1, seed }), format: FORM }));
      for (const { text, calls, finishReason } of await Promise.all(answers)) {
        assert.equal(finishReason, "stop");
        if (calls.length === 0) assert.equal(typeof (JSON.parse(text) as { ok: unknown }).ok, "boolean");
        else assert.equal(text, "");
      }
      const { text, calls } = await ask(engine, { ...asking("required"), format: FORM });
      assert.deepEqual([text, calls.length], ["", 1]);
    });
  });

describe("calls of tools", () => {
  // The others: test/wide/llama-requests.test.ts.
  keepsPromisesAbout("tools", {
    name: "llama",
    can: [],
    special: null,
    countsEachToken: true,
    repeats: true,
    draws: true,
    create: (changes) => new LlamaEngine({ ...LLAMA, context: 1024, model: modelWith(TAGGED_JSON), ...changes }),
  });

  it("have no logprobs, which the text before them has", async () => {
    const engine = await opened(TAGGED_JSON);
    const { logprobs, calls, text } = await ask(engine, { ...asking("required"), logprobs: 1 });
    assert.deepEqual([logprobs, calls.length, text], [[], 1, ""]);
    const free = await ask(engine, { ...asking("auto", { maxTokens: 20 }), logprobs: 1 });
    assert.equal(
      free.logprobs.reduce((sum, { length }) => sum + length, 0),
      free.text.length,
    );
    await engine.stop();
  });

  it("are told by their marks where these are special tokens, of which nothing else tells", async () => {
    const { file, ids } = withSpecialTokens(readFileSync(LLAMA.model), ["<tool_call>"]);
    const engine = await opened(TAGGED_JSON, file);
    const [id = 0] = ids;
    const logitBias = { [id]: 100 };
    const [plain, marked] = [
      await ask(engine, asking("required")),
      await ask(engine, asking("required", { logitBias })),
    ];
    assert.deepEqual([plain.calls.length, marked.calls.length], [1, 1]);
    // The mark is one token now.
    assert(marked.completionTokens < plain.completionTokens);
    const { tools, ...rest } = asking("auto", { logitBias, maxTokens: 2 });
    assert.equal((await ask(engine, { ...rest, tools: tools! })).text, "<tool_call>".repeat(2));
    assert.equal((await ask(engine, rest)).text, "");
    await engine.stop();
  });

  it("begin behind the reasoning that a template has opened", async () => {
    const engine = await opened(`${TAGGED_JSON}<think>{# </think> #}`);
    const { reasoning, calls } = await ask(engine, asking("required", { maxTokens: 4 }));
    await engine.stop();
    // The model never ends its reasoning, which nothing holds to a form.
    assert(reasoning !== "" && calls.length === 0);
  });
});
