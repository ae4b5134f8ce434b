/** Calls of tools by the engines that render chat templates here: a model whose file gets another template, small and real. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Engine } from "../../src/engine/engine.ts";
import { LlamaServerEngine } from "../../src/engine/llama-server/llama-server.ts";
import { LlamaEngine } from "../../src/engine/llama/llama.ts";
import { type ChatRequest, type Message, type Tool } from "../../src/request.ts";
import { ask, chatOf } from "../helpers/asking.ts";
import { LLAMA } from "../helpers/engines.ts";
import { withChatTemplate, withSpecialTokens } from "../helpers/gguf.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER, Program } from "../helpers/llama-server.ts";
import { keepsPromisesAbout } from "../helpers/request-promises.ts";
import { instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { NAMED_ARGUMENTS, PARAMETER_TAGS, TAGGED_JSON } from "../helpers/tool-templates.ts";

const directory = mkdtempSync(join(tmpdir(), "alt-las-tool-calls-"));
let program: Program;
before(async () => {
  if (LLAMA_SERVER !== null) program = await Program.running(LLAMA_SERVER);
});
after(async () => {
  await program?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** The demo model with special tokens around calls. */
function withMarks(): Buffer {
  return withSpecialTokens(readFileSync(LLAMA.model), ["[TOOL_CALLS]", "[ARGS]"]).file;
}

let files = 0;

/** A file with this chat template. */
function modelWith(template: string, file: Buffer = readFileSync(LLAMA.model)): string {
  const path = join(directory, `${++files}.gguf`);
  writeFileSync(path, withChatTemplate(file, template));
  return path;
}

const embedded = (model: string): Engine => new LlamaEngine({ ...LLAMA, slots: 3, context: 2048, model });
const server = (model: string): Engine =>
  new LlamaServerEngine({ ...LLAMA, kind: "llama-server", binary: program.path, slots: 3, context: 2048, model });

/** On llama-server; those on the embedded engine: test/wide/llama-requests.test.ts. */
function keepsPromises(how: string, model: () => string): void {
  const subject = { can: [], special: null, countsEachToken: true, repeats: false, draws: true };
  keepsPromisesAbout("tools", { ...subject, name: `llama-server, ${how},`, create: () => server(model()) });
}

if (LLAMA_SERVER === null) it("a real llama-server", { skip: NO_LLAMA_SERVER }, () => {});
else {
  keepsPromises("as JSON", () => modelWith(TAGGED_JSON));
  keepsPromises("between tags", () => modelWith(PARAMETER_TAGS));
  keepsPromises("by special tokens", () => modelWith(NAMED_ARGUMENTS, withMarks()));
}

const WEATHER: Tool = {
  name: "get_weather",
  description: "Tells the weather of a city.",
  parameters: {
    type: "object",
    properties: { city: { type: "string", maxLength: 20 }, unit: { enum: ["C", "F"] } },
    required: ["city", "unit"],
    additionalProperties: false,
  },
};

const QUESTION: Message = { role: "user", content: "What is the weather in Paris, in degrees Celsius?" };

function about(messages: readonly Message[], choice: "auto" | "required"): ChatRequest {
  const tools = { list: [WEATHER], choice, parallel: false };
  return { ...chatOf("", { maxTokens: 80 }), messages, tools };
}

/** @param create of a file */
function talks(create: (model: string) => Engine): void {
  let engine: Engine;
  before(async () => {
    engine = create(modelWith(TAGGED_JSON, readFileSync(instructModel()!)));
    await engine.load();
  });
  after(() => engine.stop());

  it("calls the tool with what it was asked for, and answers with its result", async () => {
    const { calls } = await ask(engine, about([QUESTION], "required"));
    assert.deepEqual(
      calls.map(({ name, arguments: args }) => [name, JSON.parse(args) as unknown]),
      [["get_weather", { city: "Paris", unit: "C" }]],
    );
    const [call] = calls;
    const told: readonly Message[] = [
      QUESTION,
      { role: "assistant", content: "", toolCalls: calls },
      { role: "tool", content: "17 degrees, light rain", toolCallId: call!.id },
    ];
    const { text, calls: more } = await ask(engine, about(told, "auto"));
    assert.match(text, /17|rain/);
    assert.deepEqual(more, []);
  });
}

describe("a real instruct model", { skip: instructModel() === null && NO_REAL_MODEL }, () => {
  describe("on the embedded engine", () => talks(embedded));
  if (LLAMA_SERVER !== null) describe("on llama-server", () => talks(server));
});
