/** What grammars of calls allow, read back: every text of theirs is calls whose arguments match the tools' schemas. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AnswerText } from "../src/engine/answer-text.ts";
import { EngineFailure } from "../src/engine/failures.ts";
import { textGrammar } from "../src/engine/forms/answer-grammar.ts";
import { formOf } from "../src/engine/forms/questions.ts";
import { FAMILIES, type Family } from "../src/engine/tools/families.ts";
import { maySeveral, mustCall } from "../src/engine/tools/tool-choice.ts";
import { randomText } from "../src/grammar/random-text.ts";
import { seededRandom } from "../src/common/seeded.ts";
import { textWithout } from "../src/grammar/free-text.ts";
import { contentOf, Output } from "../src/output.ts";
import { type AnswerFormat, type ChatRequest, type JsonSchema, type Tool, type Tools } from "../src/request.ts";
import { assertMatches } from "./helpers/form-promises.ts";

const object = (properties: Readonly<Record<string, JsonSchema>>, required: readonly string[], rest: object = {}) => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
  ...rest,
});

const TOOLS: readonly Tool[] = [
  { name: "none" },
  {
    name: "weather",
    parameters: object({ city: { type: "string" }, days: { type: "integer", minimum: 1 } }, ["city"]),
  },
  {
    name: "book-table",
    parameters: object(
      {
        where: { enum: ["in", "out"] },
        at: { $ref: "#/$defs/time" },
        guests: { type: "array", items: object({ name: { type: "string" }, age: { type: "number" } }, ["name"]) },
        note: { anyOf: [{ type: "string" }, { type: "null" }] },
        smokes: { type: "boolean" },
        none: { type: "null" },
      },
      ["where", "at", "smokes"],
      { $defs: { time: object({ hour: { type: "integer" } }, ["hour"]) } },
    ),
  },
  {
    name: "by_reference",
    parameters: { $ref: "#/$defs/all", $defs: { all: object({ x: { type: "number" } }, ["x"]) } },
  },
  { name: "any", parameters: {} },
  {
    name: "enums",
    parameters: object({ a: { enum: ["</parameter>", "</arg_value>", 'q"', ""] }, b: { enum: [1, "1", null] } }, ["b"]),
  },
];

function asking(tools: Partial<Tools>, format?: AnswerFormat): ChatRequest {
  const all: Tools = { list: TOOLS, choice: "required", parallel: true, ...tools };
  return {
    kind: "chat",
    messages: [],
    tools: all,
    sampling: { maxTokens: 1, temperature: 0 },
    ...(format && { format }),
  };
}

const syntaxOf = (family: Family) => ({ family, severalCalls: true, shortIds: false, anyArguments: true });

/** A text that the request's grammar allows, and what is read in it. */
function drawn(request: ChatRequest, family: Family, seed: number) {
  const syntax = syntaxOf(family);
  const whole = randomText(textGrammar(formOf(request, syntax)!), seededRandom(seed));
  const output = new Output();
  const tools = request.tools!;
  const shape = { family, tools: tools.list, parallel: maySeveral(tools, syntax), areSure: mustCall(tools) };
  const answer = new AnswerText({ stop: [], marks: null, tools: shape }, (delta) => output.add(delta));
  if (!answer.push(whole, 1)) answer.end();
  return { whole, ...contentOf(output.deltas) };
}

describe("the grammar of calls", () => {
  for (const family of FAMILIES)
    it(`allows nothing but calls of the tools, as ${family.name}`, () => {
      const names = new Set<string>();
      for (let seed = 0; seed < 16; seed++) {
        const { whole, text, toolCalls = [] } = drawn(asking({ parallel: seed % 2 === 0 }), family, seed);
        assert.equal(text, "", whole);
        assert(toolCalls.length > 0 && toolCalls.length <= (seed % 2 === 0 ? 16 : 1), whole);
        for (const { name, arguments: args } of toolCalls) {
          names.add(name);
          assertMatches(TOOLS.find((tool) => tool.name === name)!.parameters ?? object({}, []), JSON.parse(args));
        }
      }
      assert.equal(names.size, TOOLS.length);
    });

  it("allows one call of the tool that is named", () => {
    for (const family of FAMILIES)
      for (let seed = 0; seed < 10; seed++) {
        const { toolCalls } = drawn(asking({ choice: { name: "none" } }), family, seed);
        assert.deepEqual(
          toolCalls?.map(({ name, arguments: args }) => [name, args]),
          [["none", "{}"]],
        );
      }
  });

  it("is none where the model decides, unless the answer has a form: then it allows both", () => {
    const format: AnswerFormat = { kind: "schema", name: "", strict: false, schema: { type: "integer" } };
    for (const family of FAMILIES) {
      assert.equal(formOf(asking({ choice: "auto" }), syntaxOf(family)), null);
      const seen = new Set<string>();
      for (let seed = 0; seed < 20; seed++) {
        const { text, toolCalls } = drawn(asking({ choice: "auto" }, format), family, seed);
        seen.add(toolCalls === undefined ? "document" : "calls");
        if (toolCalls === undefined) assert.equal(typeof JSON.parse(text), "number");
        else assert.equal(text, "");
      }
      assert.equal(seen.size, 2);
    }
  });

  it("allows any object where a schema cannot be compiled, unless the tool is strict", () => {
    const bad: JsonSchema = { type: "object", properties: { a: { $ref: "#/nowhere" } } };
    const [family] = FAMILIES;
    const { toolCalls } = drawn(asking({ list: [{ name: "f", parameters: bad }] }), family!, 1);
    assert.equal(typeof JSON.parse(toolCalls![0]!.arguments), "object");
    const strict = asking({ list: [{ name: "f", parameters: bad, strict: true }] });
    assert.throws(
      () => textGrammar(formOf(strict, syntaxOf(family!))!),
      (error) => error instanceof EngineFailure && error.code === "invalid_input",
    );
  });
});

describe("a text without a mark", () => {
  it("is any text in which it does not stand", () => {
    for (const mark of ["</arg_value>", "aab", "<", "abab"]) {
      const free = textWithout(mark);
      for (let seed = 0; seed < 200; seed++) assert(!randomText(free, seededRandom(seed)).includes(mark));
    }
  });
});
