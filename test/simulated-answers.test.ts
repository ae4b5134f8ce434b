/** What the simulated engine answers to requests for a form, for tools and for probabilities, beyond what every engine promises. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type ChatRequest, type Message, type TextRequest, type Tool } from "../src/request.ts";
import { createEngine } from "../src/engine/open.ts";
import { ask, chatOf, STORY, textOf } from "./helpers/asking.ts";
import { refused, SIMULATED } from "./helpers/engines.ts";
import { assertMatches, formatOf, objectOf } from "./helpers/form-promises.ts";
import { type Delta } from "../src/output.ts";

const engine = await createEngine({ ...SIMULATED, simulated: { ...SIMULATED.simulated, tokens_per_second: 0 } }, 0);
await engine.load();
after(() => engine.stop());

const LIST: readonly Tool[] = [
  { name: "weather", parameters: objectOf({ city: { type: "string" } }, ["city"]) },
  { name: "clock" },
];
const SCHEMA = objectOf({ name: { type: "string" }, age: { type: "integer" } }, ["name", "age"]);

function withTools(content: string, tools: Partial<ChatRequest["tools"]> = {}): ChatRequest {
  return { ...chatOf(content, { maxTokens: 500 }), tools: { list: LIST, choice: "auto", parallel: true, ...tools } };
}

test("a simulated model calls the tools that the user names, and else answers", async () => {
  const called = async (request: ChatRequest) => (await ask(engine, request)).calls.map(({ name }) => name);
  assert.deepEqual(await called(withTools("What does the clock say of the weather?")), ["weather", "clock"]);
  assert.deepEqual(await called(withTools("And the clock?")), ["clock"]);
  assert.deepEqual(await called(withTools("weather and clock", { parallel: false })), ["weather"]);
  assert.deepEqual(await called(withTools("Hello", { choice: "required" })), ["weather"]);
  const { text, calls, finishReason } = await ask(engine, withTools("Hello"));
  assert.deepEqual([calls, text, finishReason], [[], "I call the tools that you name: weather, clock.", "stop"]);
});

test("a simulated model says what its calls have given, and ends, so that a loop of calls does", async () => {
  const { calls } = await ask(engine, withTools("weather and clock, please"));
  const messages: readonly Message[] = [
    { role: "user", content: "weather and clock, please" },
    { role: "assistant", content: "", toolCalls: calls },
    { role: "tool", content: "sunny", toolCallId: calls[0]!.id },
    { role: "tool", content: "noon", toolCallId: calls[1]!.id },
  ];
  for (const request of [withTools(""), chatOf("", { maxTokens: 50 })]) {
    const answer = await ask(engine, { ...request, messages });
    assert.deepEqual([answer.calls, answer.text, answer.finishReason], [[], "The tools say: sunny; noon", "stop"]);
  }
});

test("a simulated call comes in pieces, the first of which has its id and its name alone", async () => {
  const deltas: Delta[] = [];
  const request = withTools("weather", {});
  const emit = (delta: Delta): void => void deltas.push(delta);
  const { completionTokens } = await engine.generate({ request, signal: new AbortController().signal, emit });
  assert(deltas.length > 2 && completionTokens === deltas.length);
  const [first, ...rest] = deltas;
  assert(first?.kind === "tool_call" && first.call?.name === "weather" && first.arguments === "");
  for (const delta of rest) assert(delta.kind === "tool_call" && delta.call === undefined && delta.arguments !== "");
});

async function said(text: string, temperature: number, seed: number): Promise<string> {
  const request = textOf(text, { temperature, seed, maxTokens: 500 });
  const answer = await ask(engine, {
    ...request,
    format: formatOf(SCHEMA),
  });
  assertMatches(SCHEMA, JSON.parse(answer.text));
  return answer.text;
}

test("a simulated form follows from the prompt and the seed, the latter where there is a temperature", async () => {
  assert.equal(await said(STORY, 0, 1), await said(STORY, 0, 2));
  assert.equal(await said(STORY, 1, 1), await said(STORY, 1, 1));
  assert.notEqual(await said(STORY, 1, 1), await said(STORY, 1, 2));
  assert.notEqual(await said(STORY, 0, 1), await said("Another", 0, 1));
});

test("a simulated model refuses a schema that cannot be compiled, with the place", async () => {
  const schema = { type: "object", properties: { a: { type: "nothing" } } };
  const request = { ...textOf(STORY), format: formatOf(schema) };
  const { code, message } = await refused(ask(engine, request));
  assert.equal(code, "invalid_input");
  assert.match(message, /^The schema cannot be compiled, at \S*\/a\S*: /);
});

test("the failure script counts the tokens of forms and of calls too", async (t) => {
  const failures = [{ kind: "error", after_tokens: 2 }] as const;
  const failing = await createEngine({ ...SIMULATED, simulated: { ...SIMULATED.simulated, failures } }, 0);
  await failing.load();
  t.after(() => failing.stop());
  const formed: TextRequest = { ...textOf(STORY), format: formatOf(SCHEMA) };
  for (const request of [withTools("clock weather"), formed])
    assert.match((await refused(ask(failing, request))).message, /after 2 tokens/);
});

test("of a text that a schema wants to be enormous, no more is made up than there is room for", async () => {
  const schema = { type: "object", properties: { a: { type: "array", minItems: 1e5 } }, required: ["a"] };
  const limits = { maxTokens: 20 };
  const form = await ask(engine, {
    ...chatOf("x", limits),
    format: { kind: "schema", name: "x", schema, strict: true },
  });
  assert.deepEqual([form.finishReason, form.completionTokens], ["length", 20]);
  const tools = { list: [{ name: "f", parameters: schema }], choice: "required", parallel: true } as const;
  const call = await ask(engine, { ...chatOf("x", limits), tools });
  assert.deepEqual([call.finishReason, call.completionTokens], ["length", 20]);
});
