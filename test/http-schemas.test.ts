/** Schemas are looked at before there is a task: what cannot be used is refused with its place, and what a grammar cannot say is warned of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { aCompletedTask, AS, ID, post, refusal, testConfig, testServer } from "./helpers/http.ts";
import { ask, envelopeOf } from "./helpers/openai.ts";

const CHAT = "/v1/chat/completions";
const MESSAGES = [{ role: "user", content: "Hello" }];
const LOOSE = { type: "object", properties: { ids: { type: "array", uniqueItems: true } } };
const WRONG = { type: "object", properties: { "a/b": { type: "text" } } };
const FIELD = "response_format.json_schema.schema";

const form = (schema: unknown, strict = false) => ({
  response_format: { type: "json_schema", json_schema: { schema, strict } },
});
const tool = (parameters: unknown, strict?: boolean, name = "look") => ({ function: { name, parameters, strict } });

test("a schema that cannot be used is refused with its place, before there is a task", async (t) => {
  const { app, tasks } = testServer(t);
  const place = `${FIELD} at /properties/a~1b/type cannot be used: type must be `;
  for (const path of ["/predict", "/predict?dry_run=true"]) {
    const said = refusal(await post(app, path, { text: "x", ...form(WRONG) }), 400, "invalid_input");
    assert.ok(said.startsWith(place), said);
  }
  const ofItem = { batch: ["x", { text: "x", ...form(LOOSE) }, { text: "x", ...form(WRONG) }] };
  const said = refusal(await post(app, "/batch_predict", ofItem), 400, "invalid_input");
  assert.ok(said.startsWith(`batch[2].${place}`), said);
  const none = refusal(await post(app, "/predict", { text: "x", ...form(false) }), 400, "invalid_input");
  assert.equal(none, `${FIELD} cannot be used: no value can match the schema.`);
  const ofTool = { text: "x", tools: [tool({}), tool(WRONG, true, "other")] };
  const told = refusal(await post(app, "/predict", ofTool), 400, "invalid_input");
  assert.match(told, /^tools\[1\]\.function\.parameters at \/properties\/a~1b\/type cannot be used/);
  const ofOther = { text: "x", tools: [tool({ anyOf: [{ type: "string" }, { type: "array" }] })] };
  const why = refusal(await post(app, "/predict", ofOther), 400, "invalid_input");
  assert.equal(why, "tools[0].function.parameters at /anyOf cannot be used: with this, no value can match the schema.");
  const error = envelopeOf(await ask(app, CHAT, { messages: MESSAGES, ...form(WRONG), batch: 1 }), 400);
  assert.deepEqual([error.param, error.code], [FIELD, "invalid_input"]);
  assert.ok(error.message.startsWith(place), error.message);
  assert.deepEqual([tasks.submitted, tasks.rehearsed], [[], []]);
});

test("what no grammar can say is refused of a strict schema, and warned of else", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  const place = `${FIELD} at /properties/ids/uniqueItems cannot be made sure of: that `;
  const strict = refusal(await post(app, "/predict", { text: "x", ...form(LOOSE, true) }), 400, "unsupported");
  assert.ok(
    strict.startsWith(place) && strict.endsWith(". Without strict it is checked when the answer is there."),
    strict,
  );
  const strictTool = await post(app, "/predict", { text: "x", tools: [tool(LOOSE, true)] });
  assert.match(refusal(strictTool, 400, "unsupported"), /^tools\[0\]\.function\.parameters at \/properties\/ids/);
  const error = envelopeOf(await ask(app, CHAT, { messages: MESSAGES, ...form(LOOSE, true) }), 400);
  assert.deepEqual([error.param, error.code], [FIELD, "unsupported"]);
  assert.deepEqual(tasks.submitted, []);
  for (const [path, body, begins] of [
    ["/predict", { text: "x", ...form(LOOSE) }, place],
    ["/predict?dry_run=true", { text: "x", ...form(LOOSE) }, place],
    ["/batch_predict", { batch: ["x", { text: "y" }], ...form(LOOSE) }, `batch[0].${place}`],
  ] as const) {
    const { statusCode, headers } = await post(app, path, body);
    const warning = String(headers["x-warning"]);
    assert.equal(statusCode, 200);
    assert.ok(warning.startsWith(begins) && warning.endsWith(". It is checked when the answer is there."), warning);
    // What stands beside a batch is told of once.
    assert.equal(warning.split("uniqueItems cannot be made sure of").length, 2);
  }
  for (const stream of [false, true]) {
    const { headers } = await ask(app, CHAT, { messages: MESSAGES, stream, ...form(LOOSE) });
    assert.ok(String(headers["x-warning"]).startsWith(place), String(headers["x-warning"]));
  }
});

test("several warnings are sentences of one header, in characters that a header may have", async (t) => {
  const { app } = testServer(t);
  const odd = { properties: { "ş\r\n": { uniqueItems: true }, b: { uniqueItems: true } } };
  const { headers } = await post(app, "/predict", { text: "x", ...form(odd), tools: [tool(LOOSE)], raw: false });
  const warning = String(headers["x-warning"]);
  assert.match(warning, /^[\x20-\x7e]+$/);
  assert.match(
    warning,
    /at \/properties\/b\/uniqueItems .* The same holds at \/properties\/\\u015f\\u000d\\u000a\/uniqueItems\. It is checked/,
  );
  assert.match(warning, /there\. tools\[0\]\.function\.parameters at \/properties\/ids/);
});

test("what an answer does not match is a warning where the answer is waited for", async (t) => {
  const { app, tasks } = testServer(t);
  const task = aCompletedTask();
  const mismatch = "The answer does not match its schema: /ü must be integer.";
  tasks.tasks = [{ ...task, result: { ...task.result!, mismatch } }];
  const told = "The answer does not match its schema: /\\u00fc must be integer.";
  const waited = await post(app, "/predict", { text: "x" }, { ...AS.user, prefer: "wait=5" });
  assert.equal(waited.headers["x-warning"], told);
  assert.equal(waited.json<{ result: { mismatch: string } }>().result.mismatch, mismatch);
  for (const [path, body] of [
    [CHAT, { messages: MESSAGES }],
    ["/v1/completions", { prompt: "x" }],
  ] as const)
    assert.equal((await ask(app, path, body)).headers["x-warning"], told);
  assert.equal(tasks.tasks[0]!.id, ID);
});

test("the schemas of all tasks together have a bound, however often one stands for many items", async (t) => {
  const { app } = testServer(t, testConfig("limits: { max_body_bytes: 2000 }"));
  const schema = { title: "x".repeat(90) };
  const bytes = JSON.stringify(schema).length;
  const items = (count: number) => ({ batch: Array.from({ length: count }, () => "x"), ...form(schema) });
  const most = Math.floor(2000 / bytes);
  assert.equal((await post(app, "/batch_predict", items(most))).statusCode, 200);
  const said = refusal(await post(app, "/batch_predict", items(most + 1)), 400, "invalid_input");
  assert.equal(said, "The schemas of all tasks together must be at most 2000 bytes as JSON (limits.max_body_bytes).");
  const error = envelopeOf(await ask(app, CHAT, { messages: MESSAGES, n: most + 1, ...form(schema) }), 400);
  assert.equal(error.param, "n");
});

test("what a schema says in vain is warned of, strict or not, and refused of nobody", async (t) => {
  const { app, tasks } = testServer(t);
  const vain = {
    additionalProperties: false,
    type: "object",
    properties: { "a/b": { type: "string", format: "date-tiem" } },
  };
  const told = "perhaps date-time was meant.";
  for (const strict of [false, true]) {
    const { statusCode, headers } = await post(app, "/predict", { text: "x", ...form(vain, strict) });
    const warning = `${FIELD} at /properties/a~1b/format: this is no known format and does nothing; ${told}`;
    assert.deepEqual([statusCode, headers["x-warning"]], [200, warning]);
  }
  const ofTool = await post(app, "/predict", { text: "x", tools: [tool({ propertys: {}, requird: [] }, true)] });
  const where = "tools[0].function.parameters at ";
  const does = "this is no keyword and does nothing; perhaps";
  assert.equal(
    ofTool.headers["x-warning"],
    `${where}/propertys: ${does} properties was meant. ${where}/requird: ${does} required was meant.`,
  );
  const wrapped = { name: "x", schema: { type: "object" } };
  const { headers } = await ask(app, CHAT, { messages: MESSAGES, ...form(wrapped) });
  assert.equal(
    headers["x-warning"],
    `${FIELD}: it has no keyword, and allows any JSON; perhaps its field schema was meant.`,
  );
  assert.equal(tasks.submitted.length, 4);
});

test("a form beside a tool that must be called is said to do nothing, once", async (t) => {
  const { app } = testServer(t);
  const exact = form({ type: "object" });
  const warned = async (path: string, body: object) => (await post(app, path, body)).headers["x-warning"];
  const idle = "response_format does nothing here: tool_choice asks for a call, and a call has no text beside it.";
  const named = { type: "function", function: { name: "look" } };
  for (const choice of ["required", named]) {
    const fields = { ...exact, tools: [tool({})], tool_choice: choice };
    assert.equal(await warned("/predict", { text: "x", ...fields }), idle);
    assert.equal(await warned("/batch_predict", { batch: ["x", "y"], ...fields }), `batch[0].${idle}`);
    const json = { ...fields, response_format: { type: "json_object" } };
    assert.equal((await ask(app, CHAT, { messages: MESSAGES, n: 2, ...json })).headers["x-warning"], idle);
  }
  for (const choice of ["auto", "none"])
    assert.equal(await warned("/predict", { text: "x", ...exact, tools: [tool({})], tool_choice: choice }), undefined);
});
