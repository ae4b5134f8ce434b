/** What `predict` and the items of a batch may say of an answer's form: what it becomes, how it is shown, and what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { completionOf, type Request, type Tools } from "../src/request.ts";
import { aCompletedTask, aTask, type FakeTasks, get, ID, post, refusal, testServer } from "./helpers/http.ts";

const USER = { role: "user", content: "Hello" } as const;
const PERSON = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
const LOOK = { name: "look_up", description: "Looks", parameters: PERSON, strict: true };
const TOOL = { type: "function", function: LOOK };
const TOOLS: Tools = { list: [LOOK], choice: "auto", parallel: true };
const GREEDY = { maxTokens: 128, temperature: 0 };

function asked({ submitted }: FakeTasks): Request {
  return submitted.at(-1)!.inputs[0]!.request;
}

const form = (fields: object) => ({ response_format: { type: "json_schema", json_schema: fields } });

const ASKED: readonly [what: string, fields: object, request: Request][] = [
  ["no form", { text: "x", response_format: { type: "text" }, tools: [], tool_choice: "none" }, completionOf("x", GREEDY)],
  ["an object", { text: "x", response_format: { type: "json_object" } }, { ...completionOf("x", GREEDY), format: { kind: "json" } }],
  ["a schema", { text: "x", raw: true, ...form({ name: "person", schema: PERSON, strict: true }) }, { ...completionOf("x", GREEDY), raw: true, format: { kind: "schema", name: "person", schema: PERSON, strict: true } }],
  ["a schema alone", { messages: [USER], ...form({ schema: true }) }, { kind: "chat", messages: [USER], format: { kind: "schema", name: "answer", schema: true, strict: false }, sampling: GREEDY }],
  ["what it is for", { text: "x", ...form({ schema: PERSON, description: "A person" }) }, { ...completionOf("x", GREEDY), format: { kind: "schema", name: "answer", schema: { ...PERSON, description: "A person" }, strict: false } }],
  ["nulls of its own", { text: "x", ...form({ name: null, strict: null, schema: { enum: [null], default: null } }) }, { ...completionOf("x", GREEDY), format: { kind: "schema", name: "answer", schema: { enum: [null], default: null }, strict: false } }],
  ["logprobs", { text: "x", logprobs: -0 }, { ...completionOf("x", GREEDY), logprobs: 0 }],
  ["tools of a text", { text: "Hello", tools: [TOOL] }, { kind: "chat", messages: [USER], tools: TOOLS, sampling: GREEDY }],
  ["a tool of few words", { messages: [USER], tools: [{ function: { name: "a", parameters: null } }], tool_choice: "required", parallel_tool_calls: false, logprobs: 20 }, { kind: "chat", messages: [USER], logprobs: 20, tools: { list: [{ name: "a" }], choice: "required", parallel: false }, sampling: GREEDY }],
  ["the tool to call", { messages: [USER], tools: [TOOL], tool_choice: { type: "function", function: { name: "look_up" } } }, { kind: "chat", messages: [USER], tools: { ...TOOLS, choice: { name: "look_up" } }, sampling: GREEDY }],
  ["tools that are not to be called", { text: "x", tools: [TOOL], tool_choice: "none" }, completionOf("x", GREEDY)],
]; // prettier-ignore

for (const [what, fields, request] of ASKED) {
  test(`the form of an answer reaches the request: ${what}`, async (t) => {
    const { app, tasks } = testServer(t);
    const response = await post(app, "/predict", { temperature: 0, ...fields });
    assert.equal(response.statusCode, 200, response.body);
    assert.deepEqual(asked(tasks), request);
    assert.equal((await post(app, "/batch_predict", { batch: [{ temperature: 0, ...fields }] })).statusCode, 200);
    assert.deepEqual(asked(tasks), request);
    // What is shown may be sent again, and asks for the same.
    tasks.tasks = [aTask({ request })];
    const shown = (await get(app, `/task/${ID}?include=text`)).json<{ request: object }>().request;
    assert.equal((await post(app, "/predict", shown)).statusCode, 200);
    assert.deepEqual(asked(tasks), request);
  });
}

test("calls of tools and their answers are parts of a conversation", async (t) => {
  const { app, tasks } = testServer(t);
  const call = { id: "call_1", type: "function", function: { name: "look_up", arguments: '{"name":' } };
  const messages = [
    USER,
    { role: "assistant", content: null, tool_calls: [call] },
    { role: "tool", tool_call_id: "call_1", content: "none" },
    { role: "tool", name: "other", content: [{ type: "text", text: "some" }] },
    { role: "assistant", tool_calls: [], content: "Nobody." },
  ];
  assert.equal((await post(app, "/predict", { messages, temperature: 0 })).statusCode, 200);
  const request: Request = {
    kind: "chat",
    messages: [
      USER,
      {
        role: "assistant",
        content: "",
        toolCalls: [{ id: "call_1", name: "look_up", arguments: '{"name":' }],
      },
      { role: "tool", content: "none", toolCallId: "call_1", name: "look_up" },
      { role: "tool", content: "some", name: "other" },
      { role: "assistant", content: "Nobody." },
    ],
    sampling: GREEDY,
  };
  assert.deepEqual(asked(tasks), request);
  tasks.tasks = [aTask({ request })];
  const shown = (await get(app, `/task/${ID}?include=text`)).json<{ request: { messages: object[] } }>().request;
  assert.deepEqual(shown.messages[1], { role: "assistant", content: "", tool_calls: [call] });
  await post(app, "/predict", shown);
  assert.deepEqual(asked(tasks), request);
});

test("a form beside a batch holds for the items that have none of their own", async (t) => {
  const { app, tasks } = testServer(t);
  const beside = { response_format: { type: "json_object" }, logprobs: 2, tools: [TOOL], tool_choice: "none" };
  const batch = [
    "a",
    { text: "b", response_format: { type: "text" }, logprobs: 0 },
    { text: "c", tool_choice: "auto" },
  ];
  assert.equal((await post(app, "/batch_predict", { batch, temperature: 0, ...beside })).statusCode, 200);
  const format = { kind: "json" } as const;
  assert.deepEqual(
    tasks.submitted[0]!.inputs.map(({ request }) => request),
    [
      { ...completionOf("a", GREEDY), format, logprobs: 2 },
      { ...completionOf("b", GREEDY), logprobs: 0 },
      { kind: "chat", messages: [{ role: "user", content: "c" }], format, logprobs: 2, tools: TOOLS, sampling: GREEDY },
    ],
  );
});

test("what is no text has no form, and is told so", async (t) => {
  const { app } = testServer(t);
  for (const [fields, warning] of [
    [{ response_format: { type: "json_object" }, tools: [TOOL], logprobs: 0 }, "response_format, tools, logprobs mean nothing beside input."],
    [{ response_format: { type: "text" }, tools: [], tool_choice: "auto" }, undefined],
  ] as const) {
    const { statusCode, headers } = await post(app, "/predict", { input: "x", ...fields });
    assert.deepEqual([statusCode, headers["x-warning"]], [200, warning]);
  } // prettier-ignore
});

function nested(depth: number): object {
  let inner: object = {};
  for (let level = 1; level < depth; level++) inner = { a: inner };
  return inner;
}

const call = (fields: object) => ({ messages: [USER, { role: "assistant", tool_calls: [fields] }] });
const MISFITS: readonly [fields: object, sentence: string | RegExp, code?: string][] = [
  [{ text: "x", response_format: "json" }, 'response_format must be an object with type; got "json".'],
  [{ text: "x", response_format: { type: "xml" } }, 'response_format.type must be one of "text", "json_object", "json_schema"; got "xml".'],
  [{ text: "x", response_format: {} }, /^response_format\.type is missing; it must be one of/],
  [{ text: "x", response_format: { type: "json_object", schema: {} } }, "response_format.schema is not a known field; perhaps json_schema.schema was meant."],
  [{ text: "x", response_format: { type: "json_object", json_schema: { schema: {} } } }, 'response_format.json_schema must not be given beside the type "json_object".'],
  [{ text: "x", response_format: { type: "json_schema" } }, "response_format.json_schema is missing; it must be an object with schema."],
  [{ text: "x", ...form({ name: "x" }) }, "response_format.json_schema.schema is missing; it must be a JSON schema."],
  [{ text: "x", ...form({ schema: [] }) }, "response_format.json_schema.schema must be a JSON schema; got a list of 0."],
  [{ text: "x", ...form({ schema: {}, name: "a b" }) }, 'response_format.json_schema.name must be 1 to 64 of the characters a-z, A-Z, 0-9, _ and -; got "a b".'],
  [{ text: "x", ...form({ schema: nested(101) }) }, /^response_format\.json_schema\.schema at …?(\/a)+ has more than 100 lists and objects within each other\.$/],
  [{ text: "x", ...form({ schema: nested(3000) }) }, /has more than 100 lists and objects within each other\.$/],
  [{ text: "x", ...form({ schema: { "a/b": ["\ud800"] } }) }, "response_format.json_schema.schema at /a~1b/0 has half of a surrogate pair, which is no character."],
  [{ text: "x", ...form({ schema: { a: { "\udc00": 1 } } }) }, "response_format.json_schema.schema at /a/\ufffd has half of a surrogate pair, which is no character."],
  [{ text: "x", ...form({ schema: { title: "x".repeat(262_133) } }) }, "response_format.json_schema.schema must be at most 262144 bytes as JSON; got 262145 bytes."],
  [{ text: "x", json_schema: {} }, "json_schema is not a known field; perhaps response_format was meant."],
  [{ text: "x", functions: [] }, "functions is not a known field; perhaps tools was meant."],
  [{ text: "x", tools: {} }, "tools must be a list of at most 128 tools; got an object."],
  [{ text: "x", tools: Array.from({ length: 129 }, () => TOOL) }, "tools must be a list of at most 128 tools; got a list of 129."],
  [{ text: "x", tools: ["a"] }, 'tools[0] must be an object with type and function; got "a".'],
  [{ text: "x", tools: [TOOL, { type: "web_search" }] }, 'tools[1] is a tool of the type "web_search", which no model here can call; allowed are tools of the type "function".', "unsupported"],
  [{ text: "x", tools: [{ type: "function" }] }, "tools[0].function is missing; it must be an object with name."],
  [{ text: "x", tools: [{ function: {} }] }, "tools[0].function.name is missing; it must be 1 to 64 of the characters a-z, A-Z, 0-9, _ and -."],
  [{ text: "x", tools: [{ function: { name: "ü" } }] }, 'tools[0].function.name must be 1 to 64 of the characters a-z, A-Z, 0-9, _ and -; got "ü".'],
  [{ text: "x", tools: [TOOL, { function: { name: "a" } }, TOOL] }, 'tools[2].function.name is "look_up" again; each tool must have a name of its own.'],
  [{ text: "x", tools: [{ function: { name: "a", parameters: true } }] }, "tools[0].function.parameters must be a JSON schema of an object; got true."],
  [{ text: "x", tools: [{ function: { name: "a", parameters: { type: "string" } } }] }, 'tools[0].function.parameters.type must be "object", as the arguments of a tool are one; got "string".'],
  [{ text: "x", tools: [{ function: { name: "a", parameters: nested(200) } }] }, /^tools at …ters\/a.* has more than 100 lists and objects within each other\.$/],
  [{ text: "x", tools: [TOOL], raw: true }, "raw cannot be true beside tools, which a model is told of by its chat template."],
  [{ text: "x", tool_choice: "any" }, 'tool_choice must be "none", "auto", "required" or {"type": "function", "function": {"name": …}}; got "any".'],
  [{ text: "x", tool_choice: "required" }, "tool_choice asks for a call of a tool, and there are no tools."],
  [{ text: "x", tools: [], tool_choice: { function: { name: "a" } } }, 'tool_choice asks for a call of "a", and there are no tools.'],
  [{ text: "x", tools: [TOOL], tool_choice: { function: { name: "a" } } }, 'tool_choice.function.name must be the name of one of the tools ("look_up"); got "a".'],
  [{ text: "x", parallel_tool_calls: "no" }, 'parallel_tool_calls must be true or false; got "no".'],
  [{ text: "x", logprobs: 21 }, "logprobs must be an integer from 0 to 20; got 21."],
  [{ text: "x", logprobs: true }, "logprobs must be an integer from 0 to 20; got true."],
  [{ text: "x", top_logprobs: 3 }, "top_logprobs is not a known field; perhaps logprobs was meant."],
  [call({}), "messages[1].tool_calls[0].id is missing; it must be a string that is not empty."],
  [call({ id: "1", function: { name: "a", arguments: {} } }), "messages[1].tool_calls[0].function.arguments must be a string, which is JSON; got an object."],
  [call({ id: "1", type: "custom", function: { name: "a", arguments: "" } }), 'messages[1].tool_calls[0].type must be one of "function"; got "custom".'],
  [{ messages: [{ ...USER, tool_calls: [{ id: "1", function: { name: "a", arguments: "" } }] }] }, 'messages[0].tool_calls must be left out of a message with the role "user"; an assistant calls tools.'],
  [{ messages: [USER, { role: "tool", tool_call_id: "1", content: "" }] }, 'messages[1].tool_call_id must be the id of a call in a message before it; got "1".'],
  [{ messages: [USER, { role: "tool", tool_call_id: "1" }] }, "messages[1].content is missing or null; it must be a string, or a list of 1 to 1000 text parts."],
]; // prettier-ignore

function called(id: string, name: string) {
  return { id, function: { name, arguments: "{}" } };
}

function toolSays(fields: object) {
  return { role: "tool", content: "a", ...fields };
}

test("a tool's message without an id answers the first call that none has answered yet, of its tool", async (t) => {
  const { app, tasks } = testServer(t);
  const messages = [
    USER,
    { role: "assistant", tool_calls: [called("1", "a"), called("2", "b"), called("3", "b"), called("4", "a")] },
    toolSays({ name: "b" }),
    toolSays({ tool_call_id: "4" }),
    toolSays({ tool_call_id: "" }),
    toolSays({ tool_call_id: null }),
    // Nothing is open any more; an id may be answered twice.
    toolSays({ name: "b" }),
    toolSays({ tool_call_id: "1" }),
    toolSays({}),
  ];
  assert.equal((await post(app, "/predict", { messages })).statusCode, 200);
  const { request } = tasks.submitted[0]!.inputs[0]!;
  assert(request.kind === "chat");
  assert.deepEqual(
    request.messages.slice(2).map(({ toolCallId, name }) => [toolCallId, name]),
    [
      ["2", "b"],
      ["4", "a"],
      ["1", "a"],
      ["3", "b"],
      [undefined, "b"],
      ["1", "a"],
      [undefined, undefined],
    ],
  );
});

test("a form that is none is refused with its place, and an item of a batch with its own", async (t) => {
  const { app, tasks } = testServer(t);
  for (const [fields, sentence, code = "invalid_input"] of MISFITS) {
    const said = refusal(await post(app, "/predict", fields), 400, code);
    if (typeof sentence === "string") assert.equal(said, sentence);
    else assert.match(said, sentence);
    const ofItem = refusal(await post(app, "/batch_predict", { batch: ["x", fields] }), 400, code);
    // Of a place that is cut short, the beginning is longer there.
    if (!said.includes("…/")) assert.equal(ofItem, `batch[1].${said}`);
  }
  assert.deepEqual(tasks.submitted, []);
});

const sized = (bytes: number) => ({
  messages: [
    { role: "user", content: "" },
    { role: "assistant", tool_calls: [{ id: "i", function: { name: "n", arguments: "x".repeat(bytes - 2) } }] },
  ],
});

test("the calls of messages count as their bytes", async (t) => {
  const { app } = testServer(t);
  const limit = 1024 * 1024;
  assert.equal((await post(app, "/predict", sized(limit))).statusCode, 200);
  const said = refusal(await post(app, "/predict", sized(limit + 1)), 400, "invalid_input");
  assert.equal(said, `messages must be at most ${limit} bytes in UTF-8 in all; got ${limit + 1} bytes.`);
});

function likely(place: number) {
  return { token: `"${place}"`, logprob: -(place + 1) / 7, bytes: [34, 200, 34] };
}

test("very many probabilities are answered as few are", async (t) => {
  const { app, tasks } = testServer(t);
  const places = Array.from({ length: 2000 }, (_, place) => place);
  const logprobs = places.map((place) => ({ ...likely(place), length: 3, top: [likely(place), likely(place + 1)] }));
  const done = aCompletedTask();
  tasks.tasks = [{ ...done, result: { ...done.result!, logprobs } }];
  const { result } = (await get(app, `/task/${ID}`)).json<{ result: { text: string; logprobs: unknown[] } }>();
  assert.equal(result.text, done.result!.text);
  assert.deepEqual(
    result.logprobs,
    places.map((place) => ({ ...likely(place), top_logprobs: [likely(place), likely(place + 1)] })),
  );
});
