/** Calls of tools in generated texts, however these are cut into pieces. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { AnswerText, type AnswerShape } from "../src/engine/answer-text.ts";
import { FAMILIES, type Family } from "../src/engine/tools/families.ts";
import { type Content, contentOf, type Delta, Output } from "../src/output.ts";
import { type JsonSchema, type Tool } from "../src/request.ts";

const [JSON_TAG, PARAMETERS, NAMED, LISTED, KEYS, BARE] = FAMILIES as [Family, Family, Family, Family, Family, Family];

const WEATHER: Tool = {
  name: "weather",
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, days: { type: "integer" }, deep: { type: "object" }, any: {} },
  },
};
const TOOLS: readonly Tool[] = [WEATHER, { name: "now" }];

interface Options {
  readonly parallel?: boolean;
  readonly areSure?: boolean;
  readonly shape?: Partial<AnswerShape>;
}

/** A call without its id, which is drawn. */
interface Told {
  readonly text: string;
  readonly reasoning?: string;
  readonly calls: readonly (readonly [string, string])[];
}

function shapeOf(family: Family, { parallel = true, areSure = false, shape = {} }: Options): AnswerShape {
  return { stop: [], marks: null, tools: { family, tools: TOOLS, parallel, areSure }, ...shape };
}

/** @param whole heard by the family's reader in these pieces */
function deltasOf(family: Family, pieces: readonly string[], options: Options = {}) {
  const deltas: Delta[] = [];
  let tokens = 0;
  const answer = new AnswerText(shapeOf(family, options), (delta, count) => {
    deltas.push(delta);
    tokens += count;
  });
  const used = pieces.findIndex((piece) => answer.push(piece, 1));
  const stopped = used !== -1 || answer.end();
  return { deltas, stopped, tokens, pushed: used === -1 ? pieces.length : used + 1 };
}

function contentIn(family: Family, pieces: readonly string[], options: Options = {}): Content {
  const output = new Output();
  for (const delta of deltasOf(family, pieces, options).deltas) output.add(delta);
  return contentOf(output.deltas);
}

function told(family: Family, text: string, options: Options = {}): Told {
  const { toolCalls = [], ...rest } = contentIn(family, [text], options);
  return { ...rest, calls: toolCalls.map((one) => [one.name, one.arguments] as const) };
}

function call(family: Family, text: string): readonly (readonly [string, string])[] {
  const { text: left, calls } = told(family, text);
  assert.equal(left, "");
  return calls;
}

/** What is told with each piece. */
function steps(family: Family, pieces: readonly string[]): string[] {
  const answer: string[] = [];
  const reader = new AnswerText(shapeOf(family, {}), (delta) => answer.push(delta.kind === "text" ? delta.text : ""));
  for (const piece of pieces) reader.push(piece, 1);
  return answer;
}

/** An argument that stands between tags, as it is told. */
function valueOf(schema: JsonSchema | undefined, value: string): unknown {
  const tool: Tool = {
    name: "f",
    parameters: {
      $defs: { text: { type: "string" } },
      ...(schema !== undefined && { properties: { a: schema } }),
    },
  };
  const output = new Output();
  const shape = { family: KEYS, tools: [tool], parallel: true, areSure: false };
  const answer = new AnswerText({ stop: [], marks: null, tools: shape }, (delta) => output.add(delta));
  answer.push(`<tool_call>f<arg_key>a</arg_key><arg_value>${value}</arg_value></tool_call>`, 1);
  const [first] = contentOf(output.deltas).toolCalls ?? [];
  return (JSON.parse(first!.arguments) as { a: unknown }).a;
}

/** Ids are drawn. */
function withoutIds(content: Content) {
  return {
    ...content,
    toolCalls: content.toolCalls?.map((one) => [one.name, one.arguments]),
  };
}

describe("calls of tools", () => {
  it("are read in each family's syntax, several in a row", () => {
    const both = [
      ["weather", '{"city": "Bursa"}'],
      ["now", "{}"],
    ];
    const first = '{"city": "Bursa"}';
    const texts: readonly (readonly [Family, string])[] = [
      [
        JSON_TAG,
        `<tool_call>\n{"name": "weather", "arguments": ${first}}\n</tool_call>\n<tool_call>{"name":"now","arguments":{}}</tool_call>`,
      ],
      [
        PARAMETERS,
        "<tool_call>\n<function=weather>\n<parameter=city>\nBursa\n</parameter>\n</function>\n</tool_call>\n" +
          "<tool_call>\n<function=now>\n</function>\n</tool_call>",
      ],
      [NAMED, `[TOOL_CALLS]weather[ARGS]${first}[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{}`],
      [
        LISTED,
        `[TOOL_CALLS] [{"name": "weather", "arguments": ${first}, "id": "123456789"}, {"name": "now", "arguments": {}}]`,
      ],
      [
        KEYS,
        "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Bursa</arg_value>\n</tool_call>\n<tool_call>now</tool_call>",
      ],
      [BARE, `{"name": "weather", "parameters": ${first}}; {"name": "now", "parameters": {}}`],
    ];
    for (const [family, text] of texts) assert.deepEqual(call(family, text), both, family.name);
  });

  it("have ids of their own, as OpenAI's", () => {
    const one = '<tool_call>{"name": "now"}</tool_call>';
    const { toolCalls = [] } = contentIn(JSON_TAG, [one + one]);
    for (const { id } of toolCalls) assert.match(id, /^call_[a-z0-9]{24}$/);
    assert.equal(new Set(toolCalls.map(({ id }) => id)).size, 2);
  });

  it("come behind the text, of which nothing is told behind them", () => {
    const one = '<tool_call>{"name": "now"}</tool_call>';
    assert.deepEqual(told(JSON_TAG, `Wait.\n${one} Done. ${one}`), {
      text: "Wait.\n",
      calls: [
        ["now", "{}"],
        ["now", "{}"],
      ],
    });
    assert.deepEqual(told(JSON_TAG, `\n\n${one}\n`).text, "");
    assert.deepEqual(told(JSON_TAG, " \n ").text, " \n ");
    assert.deepEqual(told(JSON_TAG, " \n x").text, " \n x");
  });

  it("come behind the reasoning, in which there are none", () => {
    const one = '<tool_call>{"name": "now"}</tool_call>';
    const marks = { open: "<think>", close: "</think>" };
    assert.deepEqual(told(JSON_TAG, `<think>${one}</think>\n\n${one}`, { shape: { marks } }), {
      text: "",
      reasoning: one,
      calls: [["now", "{}"]],
    });
  });

  it("end the answer after the first where several are not wanted", () => {
    const one = '<tool_call>{"name": "now"}</tool_call>';
    const { deltas, stopped, pushed } = deltasOf(JSON_TAG, [...`Hm ${one}${one}`], { parallel: false });
    assert.equal(deltas.filter((delta) => delta.kind === "tool_call" && delta.call !== undefined).length, 1);
    assert(stopped);
    // The closing mark need not be waited for.
    assert.equal(pushed, "Hm ".length + one.length - "</tool_call>".length);
  });

  it("keep the arguments as the model wrote them", () => {
    const text = '{ "days" : 12345678901234567890, "city":"\\u0042\\"}{" }';
    assert.deepEqual(call(JSON_TAG, `<tool_call>{"arguments": ${text}, "name": "weather"}`), [["weather", text]]);
    assert.deepEqual(call(JSON_TAG, `<tool_call>{"name": "weather", "parameters": ${text}}`), [["weather", text]]);
    assert.deepEqual(call(JSON_TAG, `<tool_call>{"type": "function", "name": "now", "arguments": null}`), [
      ["now", "{}"],
    ]);
    assert.deepEqual(call(JSON_TAG, String.raw`<tool_call>{"name": "now", "arguments": "{\"a\": 1}"}`), [
      ["now", '{"a": 1}'],
    ]);
  });

  it("are not looked through for stop sequences", () => {
    const one = '<tool_call>{"name": "weather", "arguments": {"city": "STOP"}}';
    assert.deepEqual(told(JSON_TAG, `Yes${one}`, { shape: { stop: ["STOP", "s<"] } }), {
      text: "Yes",
      calls: [["weather", '{"city": "STOP"}']],
    });
    assert.deepEqual(told(JSON_TAG, `Yes STOP${one}`, { shape: { stop: ["STOP"] } }), { text: "Yes ", calls: [] });
    const none = '<tool_call>{"name": "STOP"}';
    assert.deepEqual(told(JSON_TAG, none, { shape: { stop: ["STOP"] } }).text, '<tool_call>{"name": "');
  });

  it("are told with all their tokens, at the latest with what follows", () => {
    const text = 'Hm <tool_call>{"name": "weather", "arguments": {"city": "Bursa"}}</tool_call> x';
    for (const areSure of [false, true]) assert.equal(deltasOf(JSON_TAG, [...text], { areSure }).tokens, text.length);
  });

  it("are told as they come where a grammar makes sure of them", () => {
    const text = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bursa"}}\n</tool_call>';
    const pieces = deltasOf(JSON_TAG, [...text], { areSure: true }).deltas.filter(
      (delta) => delta.kind === "tool_call" && (delta.call !== undefined || delta.arguments !== ""),
    );
    assert.equal(pieces.length, 1 + '{"city": "Bursa"}'.length);
    const cut = contentIn(JSON_TAG, [text.slice(0, -20)], { areSure: true });
    assert.deepEqual([cut.text, cut.toolCalls?.[0]?.arguments], ["", '{"city": "Bur'.slice(0, 11)]);
  });
});

describe("what looks like a call", () => {
  it("and is none is told whole", () => {
    const texts: readonly (readonly [Family, string])[] = [
      [JSON_TAG, "<tool_call>"],
      [JSON_TAG, "<tool_call> no <tool_call>"],
      [JSON_TAG, '<tool_call>{"name": "weather", "arguments": {"city": "Bur'],
      [JSON_TAG, '<tool_call>{"name": "weather", "arguments": {"city": Bursa}}</tool_call>'],
      [JSON_TAG, '<tool_call>{"name": "weather", "arguments": [1]}</tool_call>'],
      [JSON_TAG, '<tool_call>{"name": "other", "arguments": {}}</tool_call> Well.'],
      [JSON_TAG, '<tool_call>{"name": 5, "arguments": {}}</tool_call>'],
      [JSON_TAG, '<tool_call>{"arguments": {}}</tool_call>'],
      [JSON_TAG, '<tool_call>{"name": "now", "name": "now"}</tool_call>'],
      [JSON_TAG, '<tool_call>{"name": "now", "arguments": {}, "parameters": {}}</tool_call>'],
      [JSON_TAG, "<tool_call>{}</tool_call>"],
      [PARAMETERS, "<tool_call>\n<function=other>\n</function>\n</tool_call>"],
      [PARAMETERS, "<tool_call>\n<function=now>\n<parameter=a>\n1"],
      [PARAMETERS, "<tool_call>\n<function=now> hm </function>"],
      [NAMED, "[TOOL_CALLS]weather{}"],
      [NAMED, "[TOOL_CALLS]weather[ARGS]5"],
      [NAMED, "[TOOL_CALLS]other[ARGS]{}"],
      [LISTED, '[TOOL_CALLS][{"name": "other", "arguments": {}}]'],
      [LISTED, "[TOOL_CALLS][]"],
      [KEYS, "<tool_call>weather\n<arg_key>city</arg_key>\n"],
      [KEYS, "<tool_call></tool_call>"],
      [KEYS, "<tool_call>other</tool_call>"],
      [BARE, '{"name": "other", "parameters": {}}'],
      [BARE, '{"city": "Bursa"}'],
      [BARE, 'It is {"name": "now", "parameters": {}}'],
      [BARE, '{"name": "now", "parameters": {'],
    ];
    for (const [family, text] of texts) assert.deepEqual(told(family, text), { text, calls: [] }, text);
  });

  it("does not hide a call behind it", () => {
    const one = '<tool_call>{"name": "now"}';
    for (const none of ["<tool_call>", "<tool_call>\n", '<tool_call>{"name" ', "<tool_", '<tool_call>{"name": "x"}'])
      assert.deepEqual(told(JSON_TAG, none + one), { text: none, calls: [["now", "{}"]] }, none);
  });

  it("holds nothing back that cannot be one", () => {
    assert.deepEqual(steps(JSON_TAG, ["a <", "b", "<tool_call", "s>"]), ["a ", "<b", "", "<tool_calls>"]);
    assert.deepEqual(steps(JSON_TAG, ["<tool_call>", "\n", "x"]), ["", "", "<tool_call>\n", "x"]);
    assert.deepEqual(steps(BARE, ["a {", "{"]), ["a {", "{"]);
  });
});

describe("arguments between tags", () => {
  it("become what the tool's schema says", () => {
    assert.equal(valueOf({ type: "string" }, "5"), "5");
    assert.equal(valueOf({ type: "string" }, ' "x\n" '), ' "x\n" ');
    assert.equal(valueOf({ enum: ["1", "2"] }, "1"), "1");
    assert.equal(valueOf({ $ref: "#/$defs/text" }, "true"), "true");
    assert.equal(valueOf({ type: "integer" }, " 5\n"), 5);
    assert.equal(valueOf({ type: "boolean" }, "True"), true);
    assert.deepEqual(valueOf({ type: "array" }, '["a", 1]'), ["a", 1]);
    assert.equal(valueOf({ anyOf: [{ type: "string" }, { type: "null" }] }, "null"), null);
    assert.equal(valueOf({ anyOf: [{ type: "string" }, { type: "null" }] }, "5"), "5");
    assert.equal(valueOf({ type: ["string", "integer"] }, "5"), 5);
    assert.equal(valueOf({ type: "integer" }, "five"), "five");
  });

  it("are JSON where the schema does not say and they can be, else a text", () => {
    for (const schema of [undefined, true, {}] as const) {
      assert.equal(valueOf(schema, "5"), 5);
      assert.equal(valueOf(schema, "Bursa"), "Bursa");
      assert.deepEqual(valueOf(schema, '{"b": null}'), { b: null });
    }
  });

  it("end where their own tag does, and stand on lines of their own", () => {
    const value = "\n<arg>\n</tool_call>\n";
    const text = `<tool_call>\n<function=weather>\n<parameter=city>\n${value}\n</parameter>\n</function>\n</tool_call>`;
    assert.deepEqual(call(PARAMETERS, text), [["weather", `{"city": ${JSON.stringify(value)}}`]]);
  });
});

describe("an answer with calls", () => {
  const parts = fc.constantFrom(
    "<tool_call>",
    "</tool_call>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[",
    "]",
    "{",
    "}",
    '"',
    "\\",
    ",",
    ":",
    "\n",
    " ",
    "<",
    "x",
    '{"name": "weather", "arguments": ',
    '{"city": "Bursa"}',
    '"name": "now"',
    "weather",
    "now",
    "<function=weather>",
    "<parameter=city>",
    "</parameter>",
    "</function>",
    "<arg_key>",
    "city",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "<think>",
    "</think>",
    "😀",
    "STOP",
    '<tool_call>{"name": "now"}</tool_call>',
    "[TOOL_CALLS]now[ARGS]{}",
    '{"name": "now", "parameters": {}}',
  );

  it("is the same wherever it is cut", () => {
    const text = fc.array(parts, { maxLength: 14 }).map((all) => all.join(""));
    const options = fc.record({ parallel: fc.boolean(), areSure: fc.boolean() });
    const shape = fc.constantFrom<Partial<AnswerShape>>(
      {},
      { stop: ["STOP", "<"] },
      { marks: { open: "<think>", close: "</think>" } },
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...FAMILIES),
        text,
        options,
        shape,
        fc.infiniteStream(fc.nat(9)),
        (family, whole, how, changes, cuts) => {
          const pieces: string[] = [];
          for (let at = 0; at < whole.length;) {
            const length = 1 + cuts.next().value!;
            pieces.push(whole.slice(at, at + length));
            at += length;
          }
          const all = { ...how, shape: changes };
          assert.deepEqual(withoutIds(contentIn(family, pieces, all)), withoutIds(contentIn(family, [whole], all)));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("loses nothing but what stands around calls", () => {
    const text = fc.array(parts, { maxLength: 14 }).map((all) => all.join(""));
    fc.assert(
      fc.property(fc.constantFrom(...FAMILIES), text, (family, whole) => {
        const { text: before, toolCalls } = contentIn(family, [...whole]);
        assert(toolCalls === undefined ? before === whole : whole.startsWith(before));
        for (const { arguments: args } of toolCalls ?? []) assert.equal(typeof JSON.parse(args), "object");
      }),
      { numRuns: 3000 },
    );
  });
});
