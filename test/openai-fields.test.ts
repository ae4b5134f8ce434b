/** The fields that clients of OpenAI's API send: what becomes of them, which are ignored, and which are refused in which words. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { TO_THE_END } from "../src/request.ts";
import { type TaskInput } from "../src/task.ts";
import { aCompletedTask, AS, testConfig, testServer } from "./helpers/http.ts";
import { ask, envelopeOf } from "./helpers/openai.ts";

const CHAT = "/v1/chat/completions";
const MESSAGES = [{ role: "user", content: "Hello" }];

function server(t: TestContext, yaml = "") {
  const made = testServer(t, testConfig(yaml));
  const done = aCompletedTask();
  made.tasks.tasks = [{ ...done, result: { ...done.result!, embeddings: ["AACAPw=="] } }];
  /** What a call is as tasks, and what of it was ignored. */
  const madeOf = async (path: string, body: object): Promise<{ inputs: readonly TaskInput[]; ignored: unknown }> => {
    made.tasks.submitted.length = 0;
    const response = await ask(made.app, path, body);
    assert.equal(response.statusCode, 200, response.body);
    return { inputs: made.tasks.submitted[0]!.inputs, ignored: response.headers["x-ignored-fields"] };
  };
  return { ...made, madeOf };
}

test("the defaults are OpenAI's: nothing is cut off, and the answer goes to its end", async (t) => {
  const { madeOf } = server(t);
  const [{ request, ...settings } = assert.fail()] = (await madeOf(CHAT, { messages: MESSAGES })).inputs;
  const { seed, ...sampling } = request.sampling;
  assert.ok(Number.isInteger(seed));
  assert.deepEqual(sampling, { maxTokens: TO_THE_END, temperature: 1, topP: 1, topK: 0, minP: 0 });
  assert.deepEqual(settings, { taskType: "text_generation", priority: "normal", timeoutSeconds: null, model: null });
});

test("the configuration may bound an answer that names no length", async (t) => {
  const { madeOf } = server(t, "api: { openai: { default_max_tokens: 50 } }");
  const lengthOf = async (body: object): Promise<number> =>
    (await madeOf(CHAT, { messages: MESSAGES, ...body })).inputs[0]!.request.sampling.maxTokens;
  assert.equal(await lengthOf({}), 50);
  assert.equal(await lengthOf({ max_tokens: 900 }), 900);
  assert.equal(await lengthOf({ max_completion_tokens: 20 }), 20);
  assert.equal(await lengthOf({ max_tokens: 10, max_completion_tokens: 20 }), 10);
  assert.equal(await lengthOf({ max_tokens: null }), 50);
  assert.equal(await lengthOf({ max_tokens: 2 ** 40 }), TO_THE_END);
});

test("what is asked for is what the task is asked", async (t) => {
  const { madeOf, tasks } = server(t);
  const { inputs } = await madeOf(CHAT, {
    model: "a/b c",
    messages: [
      { role: "developer", content: "Be brief.", name: "boss" },
      { role: "user", content: [{ type: "text", text: "a", cache_control: {} }, { type: "text", text: "b" }] },
      { role: "assistant", content: "c", tool_calls: [], refusal: null },
      { role: "assistant", content: null, tool_calls: null },
      { role: "function", content: "d", name: "f" },
    ],
    max_tokens: 5,
    temperature: 2,
    top_p: 0.5,
    top_k: 3,
    min_p: 0.1,
    seed: 7,
    presence_penalty: 1,
    frequency_penalty: -1,
    logit_bias: { 5: -100 },
    stop: "END",
    gpu_options: { strategy: "round_robin", specific_gpu_id: 1 },
    priority: "high",
    task_type: "chat",
  }); // prettier-ignore
  assert.deepEqual(inputs, [
    {
      request: {
        kind: "chat",
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "a\nb" },
          { role: "assistant", content: "c" },
          { role: "assistant", content: "" },
          { role: "tool", content: "d", name: "f" },
        ],
        sampling: {
          maxTokens: 5,
          temperature: 2,
          topP: 0.5,
          topK: 3,
          minP: 0.1,
          seed: 7,
          presencePenalty: 1,
          frequencyPenalty: -1,
          logitBias: { 5: -100 },
          stop: ["END"],
        },
      },
      taskType: "chat",
      priority: "high",
      timeoutSeconds: null,
      model: "a/b c",
    },
  ]);
  const { strategy, pinnedGpuId, user, batch } = tasks.submitted[0]!.options;
  assert.deepEqual([strategy, pinnedGpuId, user, batch], ["round_robin", 1, "user", null]);
});

test("a completion is continued as it is, and vectors need no sampling", async (t) => {
  const { madeOf } = server(t);
  const { inputs } = await madeOf("/v1/completions", { prompt: ["a", "b"], n: 2, seed: 1 });
  assert.deepEqual(
    inputs.map(({ request }) => request.kind === "completion" && [request.text, request.raw, request.sampling.seed]),
    [
      ["a", true, 1],
      ["a", true, 2],
      ["b", true, 1],
      ["b", true, 2],
    ],
  );
  for (const [input, asked] of [
    ["a", ["a"]],
    [
      ["a", "b"],
      ["a", "b"],
    ],
    [[1, 2], [[1, 2]]],
    [
      [[1, 2], [3]],
      [[1, 2], [3]],
    ],
  ] as const) {
    const [{ request } = assert.fail()] = (await madeOf("/v1/embeddings", { input })).inputs;
    assert.deepEqual(request, { kind: "embedding", inputs: asked, sampling: { maxTokens: 0, temperature: 0 } });
  }
});

test("many lists of tokens are one call, as clients cut long documents into them", async (t) => {
  const { app, tasks } = server(t);
  const input = Array.from({ length: 300 }, () => Array.from({ length: 1000 }, (_, index) => index));
  assert.equal((await ask(app, "/v1/embeddings", { input })).statusCode, 200);
  const [{ request } = assert.fail()] = tasks.submitted[0]!.inputs;
  assert.equal(request.kind === "embedding" && request.inputs.length, 300);
  const response = await ask(app, CHAT, { messages: MESSAGES, x: input });
  assert.match(envelopeOf(response, 400).message, /more than \d+ lists, objects and members/);
});

test("unknown fields are ignored and named; what is harmless or null is not even that", async (t) => {
  const { madeOf } = server(t);
  const harmless = {
    user: "me",
    metadata: { a: 1 },
    store: true,
    service_tier: "auto",
    parallel_tool_calls: false,
    stream_options: { include_usage: true, include_obfuscation: false },
    response_format: { type: "text" },
    tools: [],
    functions: [],
    tool_choice: "none",
    logprobs: false,
    top_logprobs: 0,
    modalities: ["text"],
    audio: null,
    verbosity: "medium",
    reasoning_effort: null,
    stop: [],
    unheard_of: null,
    presence_penalty: 0,
    logit_bias: {},
  };
  assert.equal((await madeOf(CHAT, { messages: MESSAGES, ...harmless })).ignored, undefined);
  const odd = { prediction: {}, "x\r\nSet-Cookie: a": 1, ü: 2, text: "x" };
  assert.equal(
    (await madeOf(CHAT, { messages: MESSAGES, ...odd })).ignored,
    "prediction, x%0D%0ASet-Cookie%3A%20a, %C3%BC, text",
  );
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`field_${index}`, 1]));
  const { ignored } = await madeOf("/v1/embeddings", { input: "x", ...many });
  assert.match(String(ignored), /^field_0, .*field_19, \.\.\.$/);
  const long = { ["x".repeat(2_000_000)]: 1, ["😀".repeat(1_000_000)]: 2, ["a\ud83d"]: 3 };
  assert.equal(
    (await madeOf(CHAT, { messages: MESSAGES, ...long })).ignored,
    `${"x".repeat(100)}, ${"%F0%9F%98%80".repeat(8)}, a%EF%BF%BD`,
  );
  const nothing = Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`field_${index}`, null]));
  const last = { messages: MESSAGES, early: 1, ...nothing, late: 1 };
  assert.equal((await madeOf(CHAT, last)).ignored, "early, ...");
});

const REFUSED: readonly [path: string, body: object, param: string | null, code: string, sentence: RegExp][] = [
  [CHAT, {}, "messages", "invalid_input", /^messages is missing; it must be a list of 1 to 1000 messages/],
  [CHAT, { messages: [] }, "messages", "invalid_input", /^messages must be a list of 1 to 1000 messages.*; got a list of 0\.$/],
  [CHAT, { messages: [{ role: "system", content: "x" }] }, "messages", "invalid_input", /at least one message with the role "user"; got the roles "system" only\.$/],
  [CHAT, { messages: [{ role: "king", content: "x" }] }, "messages[0].role", "invalid_input", /^messages\[0\]\.role must be one of "system", "developer"/],
  [CHAT, { messages: [{ role: "user" }] }, "messages[0].content", "invalid_input", /^messages\[0\]\.content is missing or null; it must be a string/],
  [CHAT, { messages: [{ role: "user", content: null }] }, "messages[0].content", "invalid_input", /^messages\[0\]\.content is missing or null/],
  [CHAT, { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] }] }, "messages[0].content[0]", "unsupported", /a part of the type "image_url", which no model here can take/],
  [CHAT, { messages: [{ role: "user", content: [{ type: "input_audio" }] }] }, "messages[0].content[0]", "unsupported", /"input_audio"/],
  [CHAT, { messages: MESSAGES, n: 129 }, "n", "invalid_input", /^n must be an integer from 1 to 128; got 129\.$/],
  [CHAT, { messages: MESSAGES, n: 0 }, "n", "invalid_input", /^n must be/],
  [CHAT, { messages: MESSAGES, stop: "" }, "stop", "invalid_input", /^stop must be a string that is not empty/],
  [CHAT, { messages: MESSAGES, stop: ["a", ""] }, "stop[1]", "invalid_input", /^stop\[1\] must be a string that is not empty/],
  [CHAT, { messages: MESSAGES, temperature: 2.1 }, "temperature", "invalid_input", /^temperature must be a number from 0 to 2; got 2\.1\.$/],
  [CHAT, { messages: MESSAGES, top_p: -1 }, "top_p", "invalid_input", /^top_p must be/],
  [CHAT, { messages: MESSAGES, max_tokens: 0 }, "max_tokens", "invalid_input", /^max_tokens must be an integer of at least 1/],
  [CHAT, { messages: MESSAGES, seed: "x" }, "seed", "invalid_input", /^seed must be an integer; got "x"\.$/],
  [CHAT, { messages: MESSAGES, presence_penalty: 3 }, "presence_penalty", "invalid_input", /from -2 to 2/],
  [CHAT, { messages: MESSAGES, logit_bias: { a: 1 } }, "logit_bias", "invalid_input", /^logit_bias must be an object/],
  [CHAT, { messages: MESSAGES, model: "" }, "model", "invalid_input", /^model must be/],
  [CHAT, { messages: MESSAGES, stream: "yes" }, "stream", "invalid_input", /^stream must be true or false; got "yes"\.$/],
  [CHAT, { messages: MESSAGES, priority: "urgent" }, "priority", "invalid_input", /^priority must be one of/],
  [CHAT, { messages: MESSAGES, gpu_options: { gpus: 1 } }, "gpu_options.gpus", "invalid_input", /is not a known field/],
  [CHAT, { messages: MESSAGES, functions: [{}] }, "functions", "unsupported", /^functions must be an empty list: tools has taken its place/],
  [CHAT, { messages: MESSAGES, modalities: ["audio"] }, "modalities[0]", "unsupported", /^modalities\[0\] must be "text"/],
  [CHAT, { messages: MESSAGES, audio: { voice: "x" } }, "audio", "unsupported", /^audio must be left out/],
  [CHAT, { messages: MESSAGES, reasoning_effort: "high" }, "reasoning_effort", "unsupported", /^reasoning_effort must be left out/],
  ...["guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs", "json_schema", "grammar", "regex", "ebnf"].flatMap((field) =>
    ([[CHAT, { messages: MESSAGES }], ["/v1/completions", { prompt: "x" }]] as const).map(
      ([path, body]): (typeof REFUSED)[number] => [path, { ...body, [field]: "a|b" }, field, "unsupported", /must be left out: response_format says/],
    ),
  ),
  ["/v1/completions", {}, "prompt", "invalid_input", /^prompt is missing; it must be a string that is not empty/],
  ["/v1/completions", { prompt: "" }, "prompt", "invalid_input", /^prompt must be a string that is not empty/],
  ["/v1/completions", { prompt: [1, 2] }, "prompt[0]", "invalid_input", /lists of tokens are taken by \/v1\/embeddings alone/],
  ["/v1/completions", { prompt: "x", suffix: "y" }, "suffix", "unsupported", /^suffix must be left out/],
  ["/v1/completions", { prompt: "x", best_of: 2 }, "best_of", "unsupported", /^best_of must be 1/],
  ["/v1/completions", { prompt: "x", echo: true }, "echo", "unsupported", /^echo must be false/],
  ["/v1/completions", { prompt: Array.from({ length: 9 }, () => "x"), n: 128 }, "n", "invalid_input", /^prompt and n ask for 9 × 128 choices/],
  ["/v1/embeddings", {}, "input", "invalid_input", /^input is missing/],
  ["/v1/embeddings", { input: "" }, "input", "invalid_input", /^input must be/],
  ["/v1/embeddings", { input: [] }, "input", "invalid_input", /^input must be/],
  ["/v1/embeddings", { input: ["a", ""] }, "input[1]", "invalid_input", /^input\[1\] must not be empty\.$/],
  ["/v1/embeddings", { input: [1, "a"] }, "input[0]", "invalid_input", /a number among texts/],
  ["/v1/embeddings", { input: [[1], []] }, "input[1]", "invalid_input", /^input\[1\] must not be empty\.$/],
  ["/v1/embeddings", { input: "x", dimensions: 3 }, "dimensions", "unsupported", /^dimensions must be left out/],
  ["/v1/embeddings", { input: "x", encoding_format: "hex" }, "encoding_format", "invalid_input", /^encoding_format must be one of "float", "base64"/],
  ["/v1/embeddings", { input: Array.from({ length: 2049 }, () => "x") }, "input", "invalid_input", /at most 2048; got 2049\.$/],
]; // prettier-ignore

test("what cannot be honoured is refused by its name", async (t) => {
  const { app, tasks } = server(t);
  for (const [path, body, param, code, sentence] of REFUSED) {
    const error = envelopeOf(await ask(app, path, body), 400);
    assert.match(error.message, sentence);
    assert.deepEqual([error.param, error.code, error.type], [param, code, "invalid_request_error"], error.message);
  }
  assert.deepEqual(tasks.submitted, []);
});

test("a refusal of many choices names the field that asks for them", async (t) => {
  const { app, tasks } = server(t);
  const why = "bob may have 5: 4 waiting (limits), the rest running.";
  tasks.failure = new AltLasError("invalid_input", `batch has 6 items; ${why}`, { param: "batch" });
  for (const [path, body, param, begins] of [
    [CHAT, { messages: MESSAGES, n: 6 }, "n", "n asks for"],
    ["/v1/completions", { prompt: "x", n: 6 }, "n", "n asks for"],
    ["/v1/completions", { prompt: ["x", "y", "z"], n: 2 }, "prompt", "prompt and n ask for"],
  ] as const) {
    const error = envelopeOf(await ask(app, path, body), 400);
    assert.deepEqual([error.param, error.message], [param, `${begins} 6 choices; ${why}`]);
  }
});

test("models are not listed before there is one, and clients try again", async (t) => {
  const { app, state } = server(t);
  const [model] = state.models.splice(0);
  state.readiness = { ready: false, reason: "2 of 2 GPUs are still loading." };
  for (const path of ["/v1/models", "/v1/models/a%20model"]) {
    const response = await ask(app, path);
    const { message, code } = envelopeOf(response, 503);
    assert.deepEqual([message, code], ["No model is loaded yet. 2 of 2 GPUs are still loading.", "not_ready"]);
    assert.equal(response.headers["retry-after"], "5");
    assert.equal(response.headers["x-should-retry"], undefined);
  }
  state.models.push(model!);
  state.readiness = { ready: false, reason: "1 of 2 GPUs are still loading." };
  assert.equal((await ask(app, "/v1/models")).json<{ data: unknown[] }>().data.length, 1);
  assert.equal((await ask(app, "/v1/models/a%20model")).statusCode, 200);
  assert.equal(envelopeOf(await ask(app, "/v1/models/other"), 404).code, "model_not_found");
});

test("who may not submit may list models, and nobody may without credentials", async (t) => {
  const { app } = server(t);
  const refused = envelopeOf(await ask(app, CHAT, { messages: MESSAGES }, AS.viewer), 403);
  assert.deepEqual([refused.type, refused.code], ["permission_error", "forbidden"]);
  assert.equal((await ask(app, "/v1/models", undefined, AS.viewer)).statusCode, 200);
  for (const path of ["/v1/models", "/v1/models/x", "/models"]) {
    const response = await ask(app, path, undefined, {});
    assert.deepEqual(envelopeOf(response, 401).code, "invalid_api_key");
    assert.match(String(response.headers["www-authenticate"]), /Bearer/);
  }
});

test("a body that is none, or too large, or said to be something else has its refusal in the envelope", async (t) => {
  const { app } = server(t, "limits: { max_body_bytes: 2000 }");
  assert.equal(envelopeOf(await ask(app, CHAT, "{"), 400).code, "malformed_json");
  assert.equal(envelopeOf(await ask(app, CHAT, ""), 400).code, "invalid_input");
  assert.equal(envelopeOf(await ask(app, CHAT, { messages: "x".repeat(3000) }), 413).code, "body_too_large");
  const plain = await ask(app, CHAT, "x", { ...AS.user, "content-type": "text/plain" });
  assert.equal(envelopeOf(plain, 415).code, "unsupported_media_type");
  const wrong = await app.inject({ method: "DELETE", url: CHAT, headers: AS.user });
  assert.equal(envelopeOf(wrong, 405).code, "method_not_allowed");
  assert.equal(wrong.headers.allow, "POST");
  const unknown = await ask(app, "/v1/models/not/there", undefined);
  assert.deepEqual(envelopeOf(unknown, 404).code, "model_not_found");
});

test("web pages may call where the configuration lists them, and are refused in the envelope elsewhere", async (t) => {
  const { app } = server(t, 'server: { cors_origins: ["https://app.example.com"] }');
  const preflight = await app.inject({
    method: "OPTIONS",
    url: CHAT,
    headers: {
      origin: "https://app.example.com",
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization, x-stainless-lang",
    },
  });
  assert.equal(preflight.statusCode, 204);
  assert.equal(preflight.headers["access-control-allow-headers"], "authorization, x-stainless-lang");
  const listed = { ...AS.user, origin: "https://app.example.com", "sec-fetch-site": "cross-site" };
  const answer = await ask(app, CHAT, { messages: MESSAGES }, listed);
  assert.equal(answer.statusCode, 200);
  assert.match(String(answer.headers["access-control-expose-headers"]), /X-Task-Ids, X-Gpu-Id, X-Ignored-Fields/);
  const foreign = { ...AS.user, origin: "https://evil.example.com", "sec-fetch-site": "cross-site" };
  assert.equal(envelopeOf(await ask(app, CHAT, { messages: MESSAGES }, foreign), 403).code, "forbidden");
});

test("a header names no more tasks than clients take headers", async (t) => {
  const { app, tasks } = server(t);
  const { submission } = tasks;
  tasks.submission = { ...submission, tasks: Array.from({ length: 900 }, () => submission.tasks[0]!) };
  const { headers } = await ask(app, "/v1/completions", { prompt: Array.from({ length: 900 }, () => "x") });
  assert.equal(String(headers["x-task-ids"]).split(", ").length, 128);
});

test("a model is found by the name of its file, too", async (t) => {
  const { app } = server(t);
  for (const name of ["a%20model", "a-file.Q4", "a-file.Q4.gguf"])
    assert.equal((await ask(app, `/v1/models/${name}`)).json<{ id: string }>().id, "a model");
  envelopeOf(await ask(app, "/v1/models/models/a-file.Q4.gguf"), 404);
});
