/** What clients of Anthropic's API send: what becomes of it, what is ignored, and what is refused in which words. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { type ChatRequest, TO_THE_END } from "../src/request.ts";
import { failureIn } from "./helpers/anthropic.ts";
import { aCompletedTask, AS, KEYS, testConfig, testServer, unseeded } from "./helpers/http.ts";
import { ask, envelopeOf } from "./helpers/openai.ts";

const MESSAGES_PATH = "/v1/messages";
const HELLO = { max_tokens: 9, messages: [{ role: "user", content: "Hello" }] };

function server(t: TestContext, yaml = "api: { anthropic: true }") {
  const made = testServer(t, testConfig(yaml));
  made.tasks.tasks = [aCompletedTask()];
  /** What a call is as a task, and what of it was ignored. */
  const madeOf = async (body: object, path = MESSAGES_PATH) => {
    made.tasks.submitted.length = 0;
    const response = await ask(made.app, path, { ...HELLO, ...body });
    assert.equal(response.statusCode, 200, response.body);
    const [input = assert.fail()] = unseeded(made.tasks.submitted[0]!.inputs);
    const { request, ...settings } = input;
    return { request: request as ChatRequest, settings, ignored: response.headers["x-ignored-fields"] };
  };
  /** What a call is refused with. */
  const refusalOf = async (body: object, status = 400) =>
    failureIn(await ask(made.app, MESSAGES_PATH, { ...HELLO, ...body }), status);
  return { ...made, madeOf, refusalOf };
}

test("without the switch there is no such route, and clients can read that", async (t) => {
  const { app } = server(t, "");
  const response = await ask(app, MESSAGES_PATH, HELLO);
  const { type, message } = failureIn(response, 404);
  assert.equal(type, "not_found_error");
  assert.match(
    message,
    /^There is no route POST \/v1\/messages\. Anthropic's API is off here; "api\.anthropic: true" in/,
  );
  const doubled = await ask(server(t).app, `/v1${MESSAGES_PATH}`, HELLO);
  assert.match(
    doubled.json<{ error: { message: string } }>().error.message,
    / Perhaps POST \/v1\/messages was meant\.$/,
  );
  const document = (await app.inject({ url: "/openapi.json", headers: AS.user })).body;
  assert.doesNotMatch(document, /anthropic|\/v1\/messages/i);
});

test("the defaults are Anthropic's: nothing is cut off but at the length that must be named", async (t) => {
  const { madeOf, refusalOf } = server(t);
  const { request, settings, ignored } = await madeOf({});
  assert.deepEqual(request, {
    kind: "chat",
    messages: [{ role: "user", content: "Hello" }],
    sampling: { maxTokens: 9, temperature: 1, topP: 1, topK: 0, minP: 0 },
  });
  assert.deepEqual(settings, { taskType: "text_generation", priority: "normal", timeoutSeconds: null, model: null });
  assert.equal(ignored, undefined);
  assert.equal((await madeOf({ max_tokens: 2 ** 40 })).request.sampling.maxTokens, TO_THE_END);
  const { message } = await refusalOf({ max_tokens: undefined });
  assert.equal(message, "max_tokens is missing; it must be an integer of at least 1.");
});

test("a key may come as x-api-key, with the headers and the query that clients add", async (t) => {
  const { app } = server(t);
  const headers = { "x-api-key": KEYS.user, "anthropic-version": "2023-06-01", "anthropic-beta": "a-2025,b-2026" };
  const answer = await ask(app, `${MESSAGES_PATH}?beta=true`, HELLO, headers);
  assert.equal(answer.statusCode, 200, answer.body);
  assert.equal(answer.headers["request-id"], answer.headers["x-request-id"]);
  const refused = await ask(app, `${MESSAGES_PATH}?beta=true`, HELLO, { "x-api-key": "altlas_wrong" });
  assert.equal(failureIn(refused, 401).type, "authentication_error");
});

test("what is asked for is what the task is asked", async (t) => {
  const { madeOf, tasks } = server(t);
  const { request, settings, ignored } = await madeOf(
    {
      model: "a/b c",
      system: [
        { type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } },
        { type: "text", text: "Be kind." },
      ],
      temperature: 0.5,
      top_p: 0.5,
      top_k: 3,
      stop_sequences: ["END", "\n\nHuman:"],
      metadata: { user_id: "u" },
      service_tier: "auto",
      thinking: { type: "enabled", budget_tokens: 1024 },
      context_management: { edits: [] },
      output_config: { effort: "high", format: null },
      gpu_options: { strategy: "round_robin" },
      priority: "high",
      task_type: "chat",
    },
    `${MESSAGES_PATH}?beta=true`,
  );
  assert.deepEqual(request.messages, [
    { role: "system", content: "Be brief.\nBe kind." },
    { role: "user", content: "Hello" },
  ]);
  assert.deepEqual(request.sampling, {
    maxTokens: 9,
    temperature: 0.5,
    topP: 0.5,
    topK: 3,
    minP: 0,
    stop: ["END", "\n\nHuman:"],
  });
  assert.deepEqual(settings, { taskType: "chat", priority: "high", timeoutSeconds: null, model: "a/b c" });
  assert.equal(tasks.submitted[0]!.options.strategy, "round_robin");
  assert.equal(ignored, "thinking, context_management, output_config.effort");
});

test("what tools have said becomes messages of their own, and what a model has thought is passed over", async (t) => {
  const { madeOf } = server(t);
  const { request } = await madeOf({
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "Hm.", signature: "x" },
          { type: "redacted_thinking", data: "x" },
          { type: "text", text: "I look." },
          { type: "tool_use", id: "t1", name: "weather", input: { city: "Izmir" } },
          { type: "tool_use", id: "t2", name: "clock", input: {} },
          { type: "tool_use", id: "t3", name: "clock", input: {} },
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "t1", content: "sunny", cache_control: { type: "ephemeral" } },
          {
            type: "tool_result",
            tool_use_id: "t2",
            content: [
              { type: "text", text: "no" },
              { type: "text", text: "clock" },
            ],
            is_error: true,
          },
          { type: "tool_result", tool_use_id: "t3" },
          { type: "text", text: "And?" },
        ],
      },
      { role: "system", content: "Go on." },
    ],
  });
  assert.deepEqual(request.messages, [
    { role: "user", content: "a\nb" },
    {
      role: "assistant",
      content: "I look.",
      toolCalls: [
        { id: "t1", name: "weather", arguments: '{"city":"Izmir"}' },
        { id: "t2", name: "clock", arguments: "{}" },
        { id: "t3", name: "clock", arguments: "{}" },
      ],
    },
    { role: "tool", content: "sunny", toolCallId: "t1", name: "weather" },
    { role: "tool", content: "Error: no\nclock", toolCallId: "t2", name: "clock" },
    { role: "tool", content: "", toolCallId: "t3", name: "clock" },
    { role: "user", content: "And?" },
    { role: "system", content: "Go on." },
  ]);
});

function use(id: string) {
  return { type: "tool_use", id, name: "clock", input: {} };
}

function clockCall(id: string) {
  return { id, name: "clock", arguments: "{}" };
}

test("what one side says in a row is one turn", async (t) => {
  const { madeOf } = server(t);
  const { request } = await madeOf({
    messages: [
      { role: "user", content: "a" },
      { role: "user", content: [{ type: "text", text: "b" }] },
      { role: "assistant", content: "" },
      { role: "assistant", content: [{ type: "text", text: "c" }, use("t1")] },
      { role: "assistant", content: [use("t2")] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "d" }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "t2", content: "e" }] },
      { role: "user", content: "f" },
    ],
  });
  assert.deepEqual(request.messages, [
    { role: "user", content: "a\nb" },
    { role: "assistant", content: "c", toolCalls: [clockCall("t1"), clockCall("t2")] },
    { role: "tool", content: "d", toolCallId: "t1", name: "clock" },
    { role: "tool", content: "e", toolCallId: "t2", name: "clock" },
    { role: "user", content: "f" },
  ]);
});

const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const WEATHER = { name: "weather", description: "Tells it.", input_schema: SCHEMA };

test("tools, their choice and the form of the text are those of the request", async (t) => {
  const { madeOf } = server(t);
  const long = "mcp__".padEnd(128, "x");
  const toolsOf = async (choice?: object) =>
    (
      await madeOf({
        tools: [WEATHER, { ...WEATHER, type: "custom", name: long, cache_control: {} }],
        tool_choice: choice,
      })
    ).request.tools;
  const list = [
    { name: "weather", description: "Tells it.", parameters: SCHEMA },
    { name: long, description: "Tells it.", parameters: SCHEMA },
  ];
  assert.deepEqual(await toolsOf(), { list, choice: "auto", parallel: true });
  assert.deepEqual(await toolsOf({ type: "auto", disable_parallel_tool_use: true }), {
    list,
    choice: "auto",
    parallel: false,
  });
  assert.deepEqual(await toolsOf({ type: "any" }), { list, choice: "required", parallel: true });
  assert.deepEqual(await toolsOf({ type: "tool", name: "weather" }), {
    list,
    choice: { name: "weather" },
    parallel: true,
  });
  assert.equal(await toolsOf({ type: "none" }), undefined);
  const format = { type: "json_schema", schema: SCHEMA };
  const wanted = { kind: "schema", name: "answer", schema: SCHEMA, strict: true };
  assert.deepEqual((await madeOf({ output_config: { format } })).request.format, wanted);
  assert.deepEqual((await madeOf({ output_format: format })).request.format, wanted);
});

function user(...content: object[]) {
  return { messages: [{ role: "user", content }] };
}

/** A conversation in which an assistant has said this. */
function after(...content: object[]) {
  return {
    messages: [
      { role: "user", content: "a" },
      { role: "assistant", content },
      { role: "user", content: "b" },
    ],
  };
}

test("what cannot be taken is refused in the words of the request", async (t) => {
  const { refusalOf } = server(t);
  const weather = { ...use("t1"), name: "weather" };
  const cases: readonly (readonly [body: object, words: RegExp])[] = [
    [
      user({ type: "image", source: {} }),
      /^messages\[0\]\.content\[0\] is a block of the type "image", which no model here can take there; allowed are text and tool_result\.$/,
    ],
    [user({ type: "document", source: {} }), /"document"/],
    [user({ type: "text" }), /^messages\[0\]\.content\[0\]\.text must be a string/],
    [user({ text: "a" }), /^messages\[0\]\.content\[0\]\.type is missing/],
    [{ messages: [{ role: "tool", content: "a" }] }, /^messages\[0\]\.role must be/],
    [{ messages: [] }, /^messages must be a list of 1 to 10000 messages/],
    [{ system: [{ type: "image" }] }, /^system\[0\] is a block of the type "image"/],
    [
      user({ type: "tool_result", tool_use_id: "t9", content: "a" }),
      /^messages\[0\]\.content\[0\]\.tool_use_id must be the id of a tool_use block before it; got "t9"\.$/,
    ],
    [user({ type: "tool_result", content: "a" }), /^messages\[0\]\.content\[0\]\.tool_use_id is missing/],
    [
      {
        messages: [
          { role: "user", content: "a" },
          { role: "assistant", content: [weather] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: [{ type: "image" }] }] },
        ],
      },
      /^messages\[2\]\.content\[0\]\.content\[0\] is a block of the type "image"/,
    ],
    [
      {
        messages: [
          { role: "user", content: "a" },
          { role: "assistant", content: [weather] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: 5 }] },
        ],
      },
      /^messages\[2\]\.content\[0\]\.content must be a string or a list of blocks; got 5\.$/,
    ],
    [after({ ...weather, input: "x" }), /^messages\[1\]\.content\[0\]\.input must be an object; got "x"\.$/],
    [after({ ...weather, id: "" }), /^messages\[1\]\.content\[0\]\.id must be a string that is not empty/],
    [after({ type: "server_tool_use", id: "a", name: "web_search", input: {} }), /"server_tool_use"/],
    [
      {
        messages: [
          { role: "user", content: "a" },
          { role: "assistant", content: "{" },
        ],
      },
      /^messages must not end with a message of the assistant/,
    ],
    [
      { tools: [{ type: "web_search_20250305", name: "web_search" }] },
      /^tools\[0\] is a tool of the type "web_search_20250305"/,
    ],
    [{ tools: [{ name: "a" }] }, /^tools\[0\]\.input_schema is missing/],
    [{ tools: [{ name: "a", input_schema: { type: "string" } }] }, /^tools\[0\]\.input_schema\.type must be "object"/],
    [
      { tools: [{ name: "a", input_schema: { type: "object", properties: { b: { pattern: "(" } } } }] },
      /^tools\[0\]\.input_schema at \/properties\/b/,
    ],
    [{ tools: [WEATHER, WEATHER] }, /^tools\[1\]\.name is "weather" again/],
    [
      { tools: [WEATHER], tool_choice: { type: "tool", name: "clock" } },
      /^tool_choice\.name must be the name of one of the tools \("weather"\); got "clock"\.$/,
    ],
    [{ tools: [WEATHER], tool_choice: { type: "tool" } }, /^tool_choice\.name is missing/],
    [{ tool_choice: { type: "any" } }, /^tool_choice asks for a call of a tool, and there are no tools\.$/],
    [
      { output_config: { format: { type: "json_schema", schema: { $ref: "#/nowhere" } } } },
      /^output_config\.format\.schema/,
    ],
    [{ mcp_servers: [{ url: "x" }] }, /^mcp_servers must be an empty list/],
    [{ container: "c" }, /^container must be left out/],
    [{ temperature: 1.5 }, /^temperature must be/],
    [{ stop_sequences: "END" }, /^stop_sequences must be a list/],
  ];
  for (const [body, words] of cases) {
    const { type, message } = await refusalOf(body);
    assert.equal(type, "invalid_request_error");
    assert.match(message, words);
  }
});

test("a thread is refused with the code at which clients send the whole conversation", async (t) => {
  const { refusalOf } = server(t);
  for (const thread of [{ type: "create" }, { type: "continue", previous_message_id: "msg_1" }]) {
    const { message, details } = await refusalOf({ thread });
    assert.match(message, /^thread must be left out/);
    assert.deepEqual(details, { error_code: "thread_unsupported_request" });
  }
});

test("what a model cannot do is refused with the name that the client gave it", async (t) => {
  const { refusalOf, tasks } = server(t);
  tasks.failure = new AltLasError("unsupported", "stop cannot be honoured by the model demo.", { param: "stop" });
  assert.equal((await refusalOf({})).message, "stop_sequences cannot be honoured by the model demo.");
  tasks.failure = new AltLasError("unsupported", "response_format cannot be kept to by the model demo.");
  assert.equal((await refusalOf({})).message, "output_config.format cannot be kept to by the model demo.");
});

test("where no model counts, the tokens of a prompt are an estimate that says so", async (t) => {
  const { app, state, tasks } = server(t);
  const count = (body: object = {}) => ask(app, `${MESSAGES_PATH}/count_tokens`, { ...user(), ...body });
  const messages = [{ role: "user", content: "x".repeat(39) }];
  const estimated = await count({ messages, system: "a" });
  assert.deepEqual(estimated.json(), { input_tokens: 10 });
  assert.match(String(estimated.headers["x-warning"]), /^input_tokens is an estimate/);
  state.promptTokens = 12;
  const counted = await count({ messages, model: "an-alias", thinking: { type: "disabled" } });
  assert.deepEqual(counted.json(), { input_tokens: 12 });
  assert.equal(counted.headers["x-warning"], undefined);
  assert.equal(counted.headers["x-ignored-fields"], "thinking");
  // A conversation whose answer was begun can be counted, though not gone on with.
  assert.equal((await count({ messages: [...messages, { role: "assistant", content: "a" }] })).statusCode, 200);
  const unknown = failureIn(await count({ messages, model: "nobody" }), 404);
  assert.equal(unknown.type, "not_found_error");
  assert.match(unknown.message, /^model must be the name of a model \(.+\); got "nobody"\.$/);
  assert.equal(failureIn(await count({ messages: [] }), 400).type, "invalid_request_error");
  assert.deepEqual([tasks.submitted, tasks.counted], [[], []]);
});

test("a failure has the type that clients know for its status", async (t) => {
  const { refusalOf, tasks, app } = server(t);
  const typeOf = async (error: AltLasError, status: number): Promise<string> => {
    tasks.failure = error;
    return (await refusalOf({}, status)).type;
  };
  assert.equal(await typeOf(new AltLasError("model_not_found", "No."), 404), "not_found_error");
  assert.equal(await typeOf(new AltLasError("prompt_too_long", "It has 9."), 400), "invalid_request_error");
  assert.match((await refusalOf({})).message, /^prompt is too long: /);
  assert.equal(await typeOf(new AltLasError("rate_limited", "No."), 429), "rate_limit_error");
  assert.equal(await typeOf(new AltLasError("queue_full", "No."), 503), "overloaded_error");
  assert.equal(await typeOf(new AltLasError("model_error", "No."), 500), "api_error");
  assert.equal(await typeOf(new AltLasError("conflict", "No."), 409), "invalid_request_error");
  const viewer = await ask(app, MESSAGES_PATH, HELLO, AS.viewer);
  assert.equal(failureIn(viewer, 403).type, "permission_error");
  assert.equal(failureIn(await ask(app, MESSAGES_PATH, "{"), 400).type, "invalid_request_error");
  assert.equal(failureIn(await ask(app, "/v1/messages/batches", HELLO), 404).type, "not_found_error");
  assert.equal(failureIn(await ask(app, MESSAGES_PATH), 405).type, "invalid_request_error");
  // OpenAI's own paths keep its shape.
  assert.equal(envelopeOf(await ask(app, "/v1/nothing", {}), 404).code, "not_found");
});

test("a body that is too large is told so by its type", async (t) => {
  const { app } = server(t, "api: { anthropic: true }\nlimits: { max_body_bytes: 1024, max_text_bytes: 1000 }");
  const long = { ...HELLO, messages: [{ role: "user", content: "x".repeat(2000) }] };
  assert.equal(failureIn(await ask(app, MESSAGES_PATH, long), 413).type, "request_too_large");
});

test("callers with limits are told of them in Anthropic's headers", async (t) => {
  const { app, tasks } = server(t, "api: { anthropic: true }\ncallers: { defaults: { requests_per_minute: 60 } }");
  tasks.rates = { requests: { limit: 60, remaining: 59, resetSeconds: 1 }, tokens: null };
  const { headers } = await ask(app, MESSAGES_PATH, HELLO);
  assert.equal(headers["anthropic-ratelimit-requests-limit"], "60");
  assert.equal(headers["anthropic-ratelimit-requests-remaining"], "59");
  assert.match(String(headers["anthropic-ratelimit-requests-reset"]), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});
