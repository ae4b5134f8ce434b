/** What Ollama's API makes of its requests, over a task book that only remembers them. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type ModelStatus } from "../src/gpu/models.ts";
import { TO_THE_END } from "../src/request.ts";
import { type TaskInput } from "../src/task.ts";
import { nameMeant, tagged } from "../src/http/ollama/names.ts";
import {
  aCompletedTask,
  AS,
  CPU_DEVICE,
  FakeRun,
  ID,
  listening,
  MODEL,
  testConfig,
  testServer,
} from "./helpers/http.ts";

const CONFIG = "api: { ollama: true }";

function ollamaServer(t: TestContext, yaml = CONFIG) {
  const server = testServer(t, testConfig(yaml));
  server.tasks.tasks = [aCompletedTask()];
  const ask = (path: string, body: object, headers: Record<string, string> = {}) =>
    server.app.inject({
      method: "POST",
      url: path,
      headers: { ...AS.user, ...headers },
      payload: JSON.stringify(body),
    });
  const submitted = async (path: string, body: object): Promise<TaskInput> => {
    const response = await ask(path, { stream: false, model: "a model", ...body });
    assert.equal(response.statusCode, 200, response.body);
    return server.tasks.submitted.at(-1)!.inputs[0]!;
  };
  return { ...server, ask, submitted };
}

const MESSAGES = [{ role: "user", content: "Hello" }];

test("the defaults of sampling are Ollama's, and a name may have :latest", async (t) => {
  const { submitted } = ollamaServer(t);
  const { request, model, taskType, priority } = await submitted("/api/chat", {
    model: "a model:latest",
    messages: MESSAGES,
  });
  const { seed, ...sampling } = request.sampling;
  assert.equal(typeof seed, "number");
  assert.deepEqual(sampling, { maxTokens: TO_THE_END, temperature: 0.8, topP: 0.9, minP: 0 });
  assert.deepEqual([model, taskType, priority], ["a model", "text_generation", "normal"]);
});

const OPTIONS: readonly [options: object, sampling: object][] = [
  [{ num_predict: -1 }, { maxTokens: TO_THE_END }],
  [{ num_predict: -2 }, { maxTokens: TO_THE_END }],
  [{ num_predict: 7 }, { maxTokens: 7 }],
  [{ seed: 42 }, { seed: 42 }],
  [{ seed: 2 ** 32 + 1 }, { seed: 1 }],
  [{ stop: "x" }, { stop: ["x"] }],
  [{ stop: ["x", "y"] }, { stop: ["x", "y"] }],
  [
    { top_k: 3, top_p: 0.5, min_p: 0.1 },
    { topK: 3, topP: 0.5, minP: 0.1 },
  ],
  [
    { presence_penalty: 0.5, frequency_penalty: -0.5 },
    { presencePenalty: 0.5, frequencyPenalty: -0.5 },
  ],
];

test("the options are heard", async (t) => {
  const { submitted } = ollamaServer(t);
  for (const [options, wanted] of OPTIONS) {
    const { request } = await submitted("/api/generate", { prompt: "x", options });
    assert.deepEqual({ ...request.sampling, ...wanted }, request.sampling, JSON.stringify(options));
  }
});

test("without a number of tokens the operator's holds, and a seed below 0 is drawn", async (t) => {
  const { submitted } = ollamaServer(t, "api: { ollama: true, openai: { default_max_tokens: 9 } }");
  const first = await submitted("/api/generate", { prompt: "x", options: { seed: -1 } });
  assert.equal(first.request.sampling.maxTokens, 9);
  assert.ok(first.request.sampling.seed! >= 0);
  const second = await submitted("/api/generate", { prompt: "x", options: { num_predict: -1 } });
  assert.equal(second.request.sampling.maxTokens, TO_THE_END);
});

test("a prompt is a message where there is a template, one of the system stands before it, and raw continues it", async (t) => {
  const { submitted, ask } = ollamaServer(t);
  const plain = await submitted("/api/generate", { prompt: "x" });
  assert.deepEqual({ ...plain.request, raw: false, kind: "completion", text: "x" }, plain.request);
  const raw = await submitted("/api/generate", { prompt: "x", raw: true });
  assert.deepEqual({ ...raw.request, raw: true }, raw.request);
  const { request } = await submitted("/api/generate", { prompt: "x", system: "Be brief." });
  assert.deepEqual(request.kind === "chat" && request.messages, [
    { role: "system", content: "Be brief." },
    { role: "user", content: "x" },
  ]);
  const both = await ask("/api/generate", { model: "a model", prompt: "x", system: "y", raw: true });
  assert.equal(both.statusCode, 400);
  assert.match(both.json<{ error: string }>().error, /^system must be left out/);
});

function call(name: string, args: object | string) {
  return { function: { name, arguments: args } };
}

test("calls of tools in a conversation have arguments that are objects, and are found by the names of their tools", async (t) => {
  const { submitted } = ollamaServer(t);
  const { request } = await submitted("/api/chat", {
    messages: [
      ...MESSAGES,
      {
        role: "assistant",
        content: "",
        thinking: "hm",
        images: [],
        tool_calls: [call("a", { x: 1 }), call("b", "{}")],
      },
      { role: "tool", content: "of b", tool_name: "b" },
      { role: "tool", content: "of a" },
      { role: "assistant", tool_calls: [{ id: "mine", ...call("a", {}) }] },
      { role: "tool", content: "of mine", tool_call_id: "mine" },
    ],
  });
  assert.deepEqual(request.kind === "chat" && request.messages.slice(1), [
    {
      role: "assistant",
      content: "",
      toolCalls: [
        { id: "call_0", name: "a", arguments: '{"x":1}' },
        { id: "call_1", name: "b", arguments: "{}" },
      ],
    },
    { role: "tool", content: "of b", toolCallId: "call_1", name: "b" },
    { role: "tool", content: "of a", toolCallId: "call_0", name: "a" },
    { role: "assistant", content: "", toolCalls: [{ id: "mine", name: "a", arguments: "{}" }] },
    { role: "tool", content: "of mine", toolCallId: "mine", name: "a" },
  ]);
});

test("what is not known is ignored and named, inside the options, too; what clients always send is not", async (t) => {
  const { ask } = ollamaServer(t);
  const { statusCode, headers } = await ask("/api/chat", {
    model: "a model",
    messages: MESSAGES,
    stream: false,
    keep_alive: "5m",
    think: true,
    truncate: true,
    options: { mirostat: 1, num_gpu: null, repeat_penalty: 1.1, temperature: 0 },
  });
  assert.equal(statusCode, 200);
  assert.equal(headers["x-ignored-fields"], "truncate, options.mirostat, options.repeat_penalty");
  assert.equal(headers["x-warning"], undefined);
});

test("num_ctx changes nothing, and says so", async (t) => {
  const { ask } = ollamaServer(t);
  const warned = async (num_ctx: number) => {
    const { headers } = await ask("/api/chat", {
      model: "a model",
      messages: MESSAGES,
      stream: false,
      options: { num_ctx },
    });
    return headers["x-warning"];
  };
  assert.equal(
    await warned(2048),
    "options.num_ctx is 2048 and changes nothing: the context of the model is 8192 tokens.",
  );
  assert.equal(await warned(8192), undefined);
});

const REFUSED: readonly [path: string, body: object, sentence: RegExp][] = [
  ["/api/generate", { suffix: "x" }, /^suffix must be left out/],
  ["/api/generate", { template: "x" }, /^template must be left out/],
  ["/api/generate", { context: [1] }, /^context must be an empty list/],
  ["/api/generate", { images: ["aGk="] }, /^images must be an empty list/],
  ["/api/chat", { messages: [{ role: "user", content: "x", images: ["aGk="] }] }, /^messages\[0\]\.images must be/],
  [
    "/api/chat",
    { messages: [{ role: "system", content: "x" }] },
    /must have at least one message with the role "user"/,
  ],
  ["/api/chat", { messages: MESSAGES, format: "xml" }, /^format must be "json" or a JSON schema/],
  ["/api/chat", { messages: MESSAGES, options: { temperature: 3 } }, /^options\.temperature must be/],
  ["/api/chat", { messages: MESSAGES, top_logprobs: 3 }, /needs logprobs/],
  ["/api/chat", { messages: MESSAGES, model: "" }, /^model must be/],
  ["/api/embed", { input: ["x", ""] }, /^input\[1\] must be a text that is not empty/],
  ["/api/embed", { input: "x", dimensions: 3 }, /^dimensions must be left out/],
  ["/api/show", { model: null }, /^model is missing/],
];

test("what would change the answer and cannot be honoured is refused by name", async (t) => {
  const { ask } = ollamaServer(t);
  for (const [path, body, sentence] of REFUSED) {
    const response = await ask(path, { model: "a model", prompt: "x", ...body });
    assert.equal(response.statusCode, 400, response.body);
    assert.match(response.json<{ error: string }>().error, sentence);
  }
});

test("routes that change which models there are say what does so here", async (t) => {
  const { app } = ollamaServer(t);
  for (const [method, url, instead] of [
    ["POST", "/api/pull", /POST \/api\/v1\/models/],
    ["POST", "/api/create", /GGUF/],
    ["POST", "/api/copy", /aliases/],
    ["DELETE", "/api/delete", /alt-las rm/],
  ] as const) {
    const response = await app.inject({ method, url, headers: AS.admin, payload: '{"model":"x"}' });
    assert.equal(response.statusCode, 400);
    assert.match(response.json<{ error: string }>().error, instead);
  }
});

test("sentences about a form are about the field that its client knows", async (t) => {
  const { ask } = ollamaServer(t);
  const format = { type: "string", pattern: "(" };
  const refused = await ask("/api/chat", { model: "a model", messages: MESSAGES, format });
  assert.match(refused.json<{ error: string }>().error, /^format at \/pattern cannot be used/);
  const { headers } = await ask("/api/chat", {
    model: "a model",
    messages: MESSAGES,
    stream: false,
    format: { type: "object", requierd: ["x"] },
  });
  assert.match(String(headers["x-warning"]), /^format at /);
});

test("empty and null fields refuse nothing", async (t) => {
  const { submitted } = ollamaServer(t);
  await submitted("/api/generate", { prompt: "x", suffix: "", template: "", context: [], images: [], format: "" });
  await submitted("/api/generate", { prompt: "x", suffix: null, system: null, format: null, options: null });
  await submitted("/api/chat", { messages: [{ role: "user", content: "x", images: [], tool_calls: null }], tools: [] });
});

test("with the switch off none of the routes exist, and / is the dashboard for all", async (t) => {
  const { app } = testServer(t);
  for (const path of ["/api/chat", "/api/generate", "/api/embed", "/api/show"]) {
    const response = await app.inject({ method: "POST", url: path, headers: AS.user, payload: "{}" });
    assert.equal(response.statusCode, 404, path);
  }
  assert.equal((await app.inject({ url: "/api/tags", headers: AS.user })).statusCode, 404);
  assert.match((await app.inject({ url: "/", headers: { accept: "*/*" } })).body, /<!doctype html>/i);
});

test("without a dashboard everybody is told at / that it runs", async (t) => {
  const { app } = testServer(t, testConfig("api: { ollama: true }\ndashboard: { enabled: false }"));
  assert.equal((await app.inject({ url: "/", headers: { accept: "text/html" } })).body, "Ollama is running");
});

test("a path that is nearly one of the routes is answered with a hint, of the right API", async (t) => {
  const { app } = testServer(t, testConfig(CONFIG));
  const hint = async (method: "GET" | "POST", url: string): Promise<string> =>
    (await app.inject({ method, url, headers: AS.user })).json<{ error: string }>().error;
  assert.match(await hint("POST", "/api/chats"), /Perhaps POST \/api\/chat was meant/);
  assert.match(await hint("GET", "/api/tasks"), /Perhaps GET \/api\/v1\/tasks was meant/);
  assert.match(await hint("POST", "/api/predict"), /Perhaps POST \/api\/v1\/predict was meant/);
  assert.match(await hint("GET", "/api/chat"), /allows POST, not GET/);
});

test("a body is JSON whatever it says of itself, and no page of another origin can use that", async (t) => {
  const { ask, app } = ollamaServer(t);
  const body = { model: "a model", prompt: "x", stream: false };
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json"])
    assert.equal((await ask("/api/generate", body, { "content-type": type })).statusCode, 200, type);
  const foreign = await ask("/api/generate", body, { "content-type": "text/plain", origin: "https://evil.example" });
  assert.equal(foreign.statusCode, 403);
  const broken = await app.inject({ method: "POST", url: "/api/chat", headers: AS.user, payload: "{" });
  assert.equal(broken.statusCode, 400);
  assert.match(broken.json<{ error: string }>().error, /is not JSON/);
});

test("a user who is no admin has nothing loaded or unloaded by a call without a prompt", async (t) => {
  const { ask, operations } = ollamaServer(t);
  const loaded = await ask("/api/generate", { model: "a model" });
  assert.equal(loaded.json<{ done_reason: string }>().done_reason, "load");
  assert.match(String(loaded.headers["x-warning"]), /needs the role admin/);
  assert.equal((await ask("/api/generate", { model: "a model", keep_alive: "0s" })).statusCode, 403);
  assert.deepEqual(operations, []);
});

test("an answer that fails after it began ends with a line that has the error; what the model thinks is apart", async (t) => {
  const { tasks, app } = ollamaServer(t);
  const run = new FakeRun();
  tasks.runs.set(ID, run);
  run.once("followed", () => {
    run.place(1);
    run.say("hm", "reasoning");
    run.say("Hello");
    run.end({
      ...aCompletedTask(),
      status: "failed",
      result: null,
      error: { code: "internal_error", sentence: "It broke." },
    });
  });
  const response = await app.inject({
    method: "POST",
    url: "/api/chat",
    headers: AS.admin,
    payload: JSON.stringify({ model: "a model", messages: MESSAGES }),
  });
  const lines = response.body
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { message?: object; error?: string });
  assert.deepEqual(
    lines.map(({ message, error }) => message ?? error),
    [{ role: "assistant", content: "", thinking: "hm" }, { role: "assistant", content: "Hello" }, "It broke."],
  );
});

test("a client that leaves in the middle of an answer has its task canceled", async (t) => {
  const { tasks, app } = ollamaServer(t);
  const run = new FakeRun();
  tasks.runs.set(ID, run);
  run.once("followed", () => run.place(1, 0, "Hello"));
  const canceled = new Promise<string>((resolve) => (tasks.onCancel = resolve));
  const port = await listening(app);
  const leaving = new AbortController();
  const response = await fetch(`http://127.0.0.1:${port}/api/generate`, {
    method: "POST",
    headers: AS.user,
    body: JSON.stringify({ model: "a model", prompt: "x" }),
    signal: leaving.signal,
  });
  const { value } = await response.body!.getReader().read();
  assert.match(Buffer.from(value!).toString(), /"response":"Hello"/);
  leaving.abort();
  assert.equal(await canceled, ID);
});

test("models that are loaded are told with what they take of GPUs, and when they go", async (t) => {
  const { app, state } = ollamaServer(t);
  const running = async () =>
    (await app.inject({ url: "/api/ps", headers: AS.user })).json<{ models: Record<string, unknown>[] }>().models;
  const [{ digest, ...model } = {}] = await running();
  assert.match(String(digest), /^[0-9a-f]{64}$/);
  assert.deepEqual(model, {
    name: "a model:latest",
    model: "a model:latest",
    size: 3_500_000_000,
    size_vram: 3_500_000_000,
    context_length: 8192,
    expires_at: "2300-01-01T00:00:00.000Z",
    details: {
      parent_model: "",
      format: "gguf",
      family: "",
      families: [],
      parameter_size: "",
      quantization_level: "Q4",
    },
  });
  state.gpus = [CPU_DEVICE];
  assert.deepEqual(await running(), []);
});

test("with think: false what the model wrote for itself is left out", async (t) => {
  const { ask, tasks } = ollamaServer(t);
  const task = aCompletedTask();
  tasks.tasks = [{ ...task, result: { ...task.result!, reasoning: "hm" } }];
  const thinking = async (think: boolean | undefined) => {
    const response = await ask("/api/chat", { model: "a model", messages: MESSAGES, stream: false, think });
    return response.json<{ message: { thinking?: string } }>().message.thinking;
  };
  assert.deepEqual([await thinking(true), await thinking(undefined), await thinking(false)], ["hm", "hm", undefined]);
});

test("a call whose arguments are no object is text, as the model wrote it", async (t) => {
  const { ask, tasks } = ollamaServer(t);
  const task = aCompletedTask();
  const toolCalls = [
    { id: "1", name: "good", arguments: '{"x":1}' },
    { id: "2", name: "bad", arguments: '{"x":' },
  ];
  tasks.tasks = [{ ...task, result: { ...task.result!, text: "", toolCalls } }];
  const response = await ask("/api/chat", { model: "a model", messages: MESSAGES, stream: false });
  assert.deepEqual(response.json<{ message: object }>().message, {
    role: "assistant",
    content: '{"name":"bad","arguments":"{\\"x\\":"}',
    tool_calls: [{ id: "1", function: { name: "good", arguments: { x: 1 } } }],
  });
});

function models(...names: string[]): ModelStatus[] {
  return names.map((name) => ({ ...MODEL, name, aliases: [], file: null }));
}

test("names with and without :latest are the same where only one exists", () => {
  assert.equal(nameMeant("a:latest", models("a")), "a");
  assert.equal(nameMeant("a", models("a:latest")), "a:latest");
  assert.equal(nameMeant("a", models("a", "a:latest")), "a");
  assert.equal(nameMeant("a:latest", models("a", "a:latest")), "a:latest");
  assert.equal(nameMeant("b:latest", models("a")), "b:latest");
  assert.equal(nameMeant("a:7b", models("a")), "a:7b");
  assert.deepEqual(["a", "a:7b", "host:80/a", "o/a:q4"].map(tagged), [
    "a:latest",
    "a:7b",
    "host:80/a:latest",
    "o/a:q4",
  ]);
});
