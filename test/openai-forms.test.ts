/** Forms, tools and logprobs in OpenAI's API: what is asked, what is answered, whole and streamed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TokenLogprob } from "../src/output.ts";
import { completionOf, type Request } from "../src/request.ts";
import { type TaskSnapshot } from "../src/tasks/task-api.ts";
import { aCompletedTask, FakeRun, ID, testServer } from "./helpers/http.ts";
import { ask, briefly, type Chunk, chunksOf, envelopeOf } from "./helpers/openai.ts";

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";
const MESSAGES = [{ role: "user", content: "Hello" }];
const SCHEMA = { $schema: "http://json-schema.org/draft-07/schema#", type: "object", properties: { a: {} } };
const TOOL = { type: "function", function: { name: "look", parameters: SCHEMA, description: "", strict: true } };

test("what clients send beside messages is what the task is asked", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  const chat: Request = {
    kind: "chat",
    messages: [{ role: "user", content: "Hello" }],
    sampling: { maxTokens: 5, temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 },
  };
  const tools = { list: [TOOL.function], choice: "auto", parallel: true } as const;
  const format = { kind: "schema", name: "person", schema: SCHEMA, strict: true } as const;
  const json_schema = { name: "person", strict: true, schema: SCHEMA, x: 1 };
  const calls = [{ id: "call_1", type: "function", index: 0, function: { name: "look", arguments: "{}", parsed: {} } }];
  const answered = [
    ...MESSAGES,
    { role: "assistant", content: null, tool_calls: calls, refusal: null },
    { role: "tool", tool_call_id: "call_1", content: "sunny" },
  ];
  for (const [path, fields, request] of [
    [CHAT, { response_format: { type: "json_schema", json_schema } }, { ...chat, format }],
    [CHAT, { response_format: { type: "json_object" }, logprobs: true }, { ...chat, format: { kind: "json" }, logprobs: 0 }],
    [CHAT, { logprobs: true, top_logprobs: 20 }, { ...chat, logprobs: 20 }],
    [CHAT, { logprobs: false, top_logprobs: 0, response_format: { type: "text" }, tools: [], functions: [] }, chat],
    [CHAT, { tools: [TOOL], tool_choice: "auto", stream: false }, { ...chat, tools }],
    [CHAT, { tools: [TOOL], tool_choice: "none" }, chat],
    [CHAT, { tools: [TOOL], tool_choice: { type: "function", function: { name: "look" } }, parallel_tool_calls: false }, { ...chat, tools: { ...tools, choice: { name: "look" }, parallel: false } }],
    [CHAT, { tools: [TOOL], messages: answered }, { ...chat, tools, messages: [chat.messages[0], { role: "assistant", content: "", toolCalls: [{ id: "call_1", name: "look", arguments: "{}" }] }, { role: "tool", content: "sunny", toolCallId: "call_1", name: "look" }] }],
    [COMPLETIONS, { prompt: "x", logprobs: 5, response_format: { type: "json_object" } }, { ...completionOf("x", chat.sampling), raw: true, format: { kind: "json" }, logprobs: 5 }],
    [COMPLETIONS, { prompt: "x", logprobs: false, tools: [TOOL] }, { ...completionOf("x", chat.sampling), raw: true }],
  ] as const) {
    const response = await ask(app, path, { messages: MESSAGES, max_tokens: 5, temperature: 0, ...fields });
    assert.equal(response.statusCode, 200, response.body);
    assert.deepEqual(tasks.submitted.at(-1)!.inputs[0]!.request, request);
  } // prettier-ignore
});

const REFUSED: readonly [path: string, fields: object, param: string, sentence: RegExp][] = [
  [CHAT, { response_format: { type: "json_schema" } }, "response_format.json_schema", /is missing; it must be an object with schema/],
  [CHAT, { response_format: { type: "json_schema", json_schema: { name: "x" } } }, "response_format.json_schema.schema", /is missing; it must be a JSON schema/],
  [CHAT, { tools: [{ type: "function" }] }, "tools[0].function", /is missing; it must be an object with name/],
  [CHAT, { tools: [TOOL, TOOL] }, "tools[1].function.name", /is "look" again/],
  [CHAT, { tool_choice: "required" }, "tool_choice", /there are no tools/],
  [CHAT, { tool_choice: { type: "function" } }, "tool_choice", /^tool_choice must be "none", "auto", "required" or/],
  [CHAT, { top_logprobs: 3 }, "top_logprobs", /asks for 3 tokens, and needs logprobs to be true/],
  [CHAT, { logprobs: true, top_logprobs: 21 }, "top_logprobs", /must be an integer from 0 to 20; got 21/],
  [CHAT, { logprobs: true, top_logprobs: 20, n: 7 }, "top_logprobs", /^Of 7 choices in one answer, top_logprobs must be at most 17; got 20/],
  [COMPLETIONS, { prompt: ["x", "y"], n: 65, logprobs: 0 }, "logprobs", /^Of 130 choices in one answer, none can be told; got 0/],
  [CHAT, { logprobs: 5 }, "logprobs", /^logprobs must be true or false; got 5/],
  [COMPLETIONS, { prompt: "x", logprobs: 21 }, "logprobs", /^logprobs must be an integer from 0 to 20; got 21/],
  [COMPLETIONS, { prompt: "x", logprobs: true }, "logprobs", /^logprobs must be an integer from 0 to 20; got true/],
]; // prettier-ignore

test("a form that is none is refused with the field that its client knows", async (t) => {
  const { app, tasks } = testServer(t);
  for (const [path, fields, param, sentence] of REFUSED) {
    const error = envelopeOf(await ask(app, path, { messages: MESSAGES, ...fields }), 400);
    assert.match(error.message, sentence);
    assert.deepEqual([error.param, error.code], [param, "invalid_input"], error.message);
  }
  assert.deepEqual(tasks.submitted, []);
});

function answerOf(result: Partial<NonNullable<TaskSnapshot["result"]>>): TaskSnapshot {
  const task = aCompletedTask();
  return { ...task, result: { ...task.result!, text: "", ...result } };
}

interface Whole {
  readonly choices: { message: object; logprobs: object | null; finish_reason: string }[];
}

const CALLS = [
  { id: "call_a", name: "look", arguments: '{"a":1}' },
  { id: "call_b", name: "go", arguments: "" },
];

test("calls of tools are the answer, and null its content where there is no other", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [answerOf({ toolCalls: CALLS })];
  const whole = (await ask(app, CHAT, { messages: MESSAGES })).json<Whole>().choices[0]!;
  assert.deepEqual(whole, {
    index: 0,
    message: {
      role: "assistant",
      content: null,
      tool_calls: [
        { id: "call_a", type: "function", function: { name: "look", arguments: '{"a":1}' } },
        { id: "call_b", type: "function", function: { name: "go", arguments: "" } },
      ],
      refusal: null,
    },
    logprobs: null,
    finish_reason: "tool_calls",
  });
  const streamed = await ask(app, CHAT, { messages: MESSAGES, stream: true });
  assert.deepEqual(briefly(chunksOf(streamed.body)), [
    '0 {"role":"assistant","content":null}',
    '0 {"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look","arguments":"{\\"a\\":1}"}}]}',
    '0 {"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"go","arguments":""}}]}',
    "0 ends: tool_calls",
    "[DONE]",
  ]);
  tasks.tasks = [answerOf({ text: "Let me see.", toolCalls: CALLS, finishReason: "length" })];
  const cut = (await ask(app, CHAT, { messages: MESSAGES })).json<Whole>().choices[0]!;
  assert.deepEqual([(cut.message as { content: string }).content, cut.finish_reason], ["Let me see.", "length"]);
});

test("a call is streamed in pieces, of which the first alone says which it is", async (t) => {
  const { app, tasks } = testServer(t);
  const run = new FakeRun();
  tasks.runs.set(ID, run);
  run.once("followed", () => {
    setImmediate(() => {
      run.place(1);
      run.say("Hm.", "reasoning");
      run.say("I look.");
      run.tell({ kind: "tool_call", index: 0, call: { id: "call_a", name: "look" }, arguments: "" });
      run.tell({ kind: "tool_call", index: 0, arguments: '{"a"' });
      run.tell({ kind: "tool_call", index: 0, arguments: ":1}" });
      run.end(answerOf({ reasoning: "Hm.", text: "I look.", toolCalls: CALLS }));
    });
  });
  const { body } = await ask(app, CHAT, { messages: MESSAGES, stream: true });
  assert.deepEqual(briefly(chunksOf(body)), [
    '0 {"role":"assistant","content":""}',
    '0 {"reasoning_content":"Hm."}',
    '0 {"content":"I look."}',
    '0 {"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look","arguments":""}}]}',
    '0 {"tool_calls":[{"index":0,"function":{"arguments":"{\\"a\\""}}]}',
    '0 {"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}',
    '0 {"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"go","arguments":""}}]}',
    "0 ends: tool_calls",
    "[DONE]",
  ]);
});

test("a stream that is taken up in the middle of a call tells it whole, and a second attempt ends it", async (t) => {
  const { app, tasks } = testServer(t);
  const told = async (goOn: (run: FakeRun) => void): Promise<string[]> => {
    const run = new FakeRun();
    tasks.runs.set(ID, run);
    run.place(1, 0, "I look.");
    run.tell({ kind: "tool_call", index: 0, call: { id: "call_a", name: "look" }, arguments: '{"a"' });
    run.once("followed", () => setImmediate(() => goOn(run)));
    return briefly(chunksOf((await ask(app, CHAT, { messages: MESSAGES, stream: true })).body));
  };
  const begun = [
    '0 {"role":"assistant","content":""}',
    '0 {"content":"I look."}',
    '0 {"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"look","arguments":"{\\"a\\""}}]}',
  ];
  const whole = await told((run) => run.end(answerOf({ text: "I look.", toolCalls: CALLS.slice(0, 1) })));
  assert.deepEqual(whole, [
    ...begun,
    '0 {"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}',
    "0 ends: tool_calls",
    "[DONE]",
  ]);
  const again = await told((run) => {
    run.requeue();
    run.place(2);
  });
  assert.deepEqual(again, [...begun, "error gpu_lost"]);
});

const other = { token: "ho", bytes: [104, 111], logprob: -2.5 };
const TOKENS: TokenLogprob[] = [
  { token: "Hi", bytes: [72, 105], logprob: -0.25, top: [{ token: "Hi", bytes: [72, 105], logprob: -0.25 }, other], length: 2 },
  { token: "\ufffd", bytes: [195], logprob: -1, top: [], length: 0 },
  { token: "\ufffd", bytes: [188], logprob: -1.5, top: [{ token: "__proto__", bytes: [95], logprob: -3 }], length: 1 },
]; // prettier-ignore
const SHOWN = TOKENS.map(({ token, bytes, logprob, top }) => ({ token, bytes, logprob, top_logprobs: top }));

test("the probabilities of tokens are told with their text, in the fields of both kinds of answers", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [answerOf({ text: "Hiü", logprobs: TOKENS })];
  const whole = (await ask(app, CHAT, { messages: MESSAGES, logprobs: true })).json<Whole>().choices[0]!;
  assert.deepEqual(whole.logprobs, { content: SHOWN, refusal: null });
  const legacy = {
    tokens: ["Hi", "\ufffd", "\ufffd"],
    token_logprobs: [-0.25, -1, -1.5],
    top_logprobs: [{ Hi: -0.25, ho: -2.5 }, { "\ufffd": -1 }, { "\ufffd": -1.5, ["__proto__"]: -3 }],
    text_offset: [0, 2, 2],
  };
  const completion = (await ask(app, COMPLETIONS, { prompt: "x", logprobs: 2 })).json<Whole>().choices[0]!;
  assert.deepEqual(completion.logprobs, legacy);
  const chunks = chunksOf((await ask(app, COMPLETIONS, { prompt: "x", stream: true })).body) as Chunk[];
  assert.deepEqual([chunks[0]!.choices[0]!.logprobs, chunks[1]!.choices[0]!.logprobs], [legacy, null]);
});

test("each chunk has the probabilities of its own text", async (t) => {
  const { app, tasks } = testServer(t);
  for (const [path, body, told] of [
    [CHAT, { messages: MESSAGES, logprobs: true }, [{ content: SHOWN.slice(0, 1), refusal: null }, { content: SHOWN.slice(1), refusal: null }]],
    [COMPLETIONS, { prompt: "x", logprobs: 2 }, [[0], [2, 2]]],
  ] as const) {
    const run = new FakeRun();
    tasks.runs.set(ID, run);
    run.once("followed", () => {
      setImmediate(() => {
        run.place(1);
        run.tell({ kind: "text", text: "Hi", logprobs: TOKENS.slice(0, 1) });
        run.tell({ kind: "text", text: "ü", logprobs: TOKENS.slice(1) });
        run.end(answerOf({ text: "Hiü", logprobs: TOKENS }));
      });
    });
    const chunks = chunksOf((await ask(app, path, { ...body, stream: true })).body) as Chunk[];
    const logprobs = chunks.flatMap((chunk) => (typeof chunk === "string" ? [] : (chunk.choices[0]!.logprobs ?? [])));
    assert.deepEqual(path === CHAT ? logprobs : logprobs.map((one) => (one as { text_offset: number[] }).text_offset), told);
  } // prettier-ignore
});
