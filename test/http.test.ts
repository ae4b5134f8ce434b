import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { anyText } from "./helpers/any-text.ts";
import { type FastifyInstance, type InjectOptions } from "fastify";
import { continuedText } from "./helpers/requests.ts";
import { completionOf } from "../src/request.ts";
import { AltLasError } from "../src/errors.ts";
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { type SubmitOptions } from "../src/tasks/task-api.ts";
import { type TaskInput } from "../src/task.ts";
import {
  aCompletedTask,
  API,
  AS,
  aTask,
  CPU_DEVICE,
  get,
  GPU,
  GPU_GROUP,
  ID,
  listening,
  OTHER_ID,
  post,
  refusal,
  temporaryFolder,
  testConfig,
  testServer,
  UNKNOWN_ID,
  unseeded,
  type FakeTasks,
} from "./helpers/http.ts";

/** What the task book is asked for `{"text": "x"}`. */
const INPUT: TaskInput = {
  request: { kind: "completion", text: "x", sampling: { maxTokens: 128, temperature: 0.7 } },
  taskType: "text_generation",
  priority: "normal",
  timeoutSeconds: null,
  model: null,
};
const OPTIONS: SubmitOptions = {
  user: "user",
  keyName: "user-key",
  team: null,
  strategy: "least_loaded",
  pinnedGpuId: null,
  batch: null,
  webhook: null,
  idempotency: null,
  endsWithClient: false,
};

test("predict answers with the document's three fields, and passes on what was asked", async (t) => {
  const { app, tasks } = testServer(t);
  const response = await post(app, "/predict", {
    text: "Sample input text",
    max_length: 64,
    temperature: 0.5,
    gpu_options: { strategy: "round_robin", specific_gpu_id: 3, batch_split: true },
    task_type: "summary",
  });
  assert.equal(response.statusCode, 200);
  assert.deepEqual(response.json(), { task_id: ID, gpu_id: 0, status: "running" });
  const [{ inputs, options }] = tasks.submitted as [FakeTasks["submitted"][number]];
  const request = completionOf("Sample input text", { maxTokens: 64, temperature: 0.5 });
  assert.deepEqual(unseeded(inputs), [{ ...INPUT, request, taskType: "summary" }]);
  assert.deepEqual(options, { ...OPTIONS, strategy: "round_robin", pinnedGpuId: 3 });
  assert.equal(tasks.submitted.length, 1);
});

test("what a request leaves out, or sets to null, has its default", async (t) => {
  const { app, tasks } = testServer(t);
  const bodies = [
    { text: "x" },
    { text: "x", max_length: null, temperature: null, task_type: null, gpu_options: null },
    { text: "x", priority: null, timeout_seconds: null, stream: null, cancel_on_disconnect: null },
    { text: "x", webhook_url: null, webhook_events: null },
    { text: "x", gpu_options: { strategy: null, specific_gpu_id: null, batch_split: null } },
    { text: "x", messages: null, input: null, raw: null, model: null, top_p: null, top_k: null, min_p: null },
    { text: "x", seed: null, presence_penalty: null, frequency_penalty: null, logit_bias: null, stop: null },
    { text: "x", response_format: null, tools: null, tool_choice: null, parallel_tool_calls: null, logprobs: null },
    { text: "x", nobody_knows_this: null },
  ];
  for (const body of bodies) assert.equal((await post(app, "/predict", body)).statusCode, 200);
  for (const { inputs, options } of tasks.submitted) {
    assert.deepEqual(unseeded(inputs), [INPUT]);
    assert.deepEqual(options, OPTIONS);
  }
});

test("defaults come from the configuration", async (t) => {
  const config = testConfig(
    "gpu: { multi_gpu: { default_strategy: random, strategies: [random, round_robin], batch_split: false } }\n" +
      "tasks: { timeout: 90 }",
  );
  const { app, tasks } = testServer(t, config);
  await post(app, "/batch_predict", { batch: [{ text: "x" }] });
  assert.deepEqual(tasks.submitted[0]!.options, { ...OPTIONS, strategy: "random", batch: { split: false } });
  assert.equal(tasks.submitted[0]!.inputs[0]!.timeoutSeconds, 90);
  await post(app, "/predict", { text: "x", timeout_seconds: 0.5 });
  assert.equal(tasks.submitted[1]!.inputs[0]!.timeoutSeconds, 0.5);
  const refused = await post(app, "/predict", { text: "x", gpu_options: { strategy: "least_loaded" } });
  assert.equal(
    refusal(refused, 400, "invalid_input"),
    'gpu_options.strategy must be one of "random", "round_robin"; got "least_loaded".',
  );
});

test("a batch answers in the order of its items", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.submission = {
    batchId: OTHER_ID,
    batchStatus: "mixed",
    tasks: [
      { id: ID, gpuId: 1, status: "running" },
      { id: OTHER_ID, gpuId: null, status: "queued" },
    ],
    replayed: false,
  };
  const response = await post(app, "/batch_predict", {
    batch: [
      { text: "a", max_length: null },
      { text: "b", task_type: "summary", temperature: 0, priority: "high", timeout_seconds: 60 },
    ],
    gpu_options: { strategy: "round_robin", batch_split: true, specific_gpu_id: null },
  });
  assert.deepEqual(response.json(), {
    status: "mixed",
    tasks: [
      { task_id: ID, gpu_id: 1, status: "running" },
      { task_id: OTHER_ID, gpu_id: null, status: "queued" },
    ],
    batch_id: OTHER_ID,
  });
  assert.deepEqual(unseeded(tasks.submitted[0]!.inputs), [
    { ...INPUT, request: completionOf("a") },
    {
      ...INPUT,
      request: completionOf("b", { temperature: 0 }),
      taskType: "summary",
      priority: "high",
      timeoutSeconds: 60,
    },
  ]);
});

const MISSING = "text is missing; it must be a string that is not empty, or messages or input must be given.";
const TIMEOUT = "must be a number of seconds above 0, at most 315360000";

test("bad bodies are refused with a sentence that names the field, the value and what is allowed", async (t) => {
  const { app, tasks } = testServer(t, testConfig("limits: { max_text_bytes: 10, max_batch_size: 2 }"));
  const cases: [path: string, body: string, sentence: string | RegExp][] = [
    ["/predict", "{}", MISSING],
    ["/predict", '{"text":null}', MISSING],
    ["/predict", '{"text":""}', 'text must be a string that is not empty; got "".'],
    ["/predict", '{"text":5}', "text must be a string that is not empty; got 5."],
    ["/predict", '{"text":"ğüşıöç"}', "text must be at most 10 bytes in UTF-8; got 12 bytes."],
    ["/predict", '{"text":"x","max_length":"128"}', /^max_length must be an integer of at least 1; got "128"\.$/],
    ["/predict", '{"text":"x","max_length":0}', /^max_length must be an integer .*; got 0\.$/],
    ["/predict", '{"text":"x","max_length":-0}', /^max_length must be an integer .*; got 0\.$/],
    ["/predict", '{"text":"x","max_length":1.5}', /^max_length must be an integer .*; got 1\.5\.$/],
    ["/predict", '{"text":"x","max_length":1e400}', /^max_length must be an integer .*; got Infinity\.$/],
    ["/predict", '{"text":"x","temperature":1.1}', "temperature must be a number from 0 to 1; got 1.1."],
    ["/predict", '{"text":"x","temperature":true}', "temperature must be a number from 0 to 1; got true."],
    ["/predict", '{"text":"x","temperature":1e400}', "temperature must be a number from 0 to 1; got Infinity."],
    ["/predict", '{"text":"x","priority":"urgent"}', 'priority must be one of "high", "normal", "low"; got "urgent".'],
    ["/predict", '{"text":"x","timeout_seconds":-1}', `timeout_seconds ${TIMEOUT}; got -1.`],
    ["/predict", '{"text":"x","timeout_seconds":0}', `timeout_seconds ${TIMEOUT}; got 0.`],
    ["/predict", '{"text":"x","timeout_seconds":315360001}', `timeout_seconds ${TIMEOUT}; got 315360001.`],
    ["/predict", '{"text":"x","timeout_seconds":"5"}', `timeout_seconds ${TIMEOUT}; got "5".`],
    ["/predict", '{"text":"x","stream":1}', "stream must be true or false; got 1."],
    ["/predict", '{"text":"x","cancel_on_disconnect":"yes"}', 'cancel_on_disconnect must be true or false; got "yes".'],
    ["/batch_predict", '{"batch":[{"text":"x","priority":1}]}', /^batch\[0\]\.priority must be one of "high"/],
    [
      "/batch_predict",
      '{"batch":[{"text":"x","timeout_seconds":-5}]}',
      /^batch\[0\]\.timeout_seconds must .* got -5\.$/,
    ],
    ["/batch_predict", '{"batch":[{"text":"x"}],"stream":true}', /^stream is not a known field; /],
    ["/predict", '{"text":"x","temprature":1}', "temprature is not a known field; perhaps temperature was meant."],
    ["/predict", '{"text":"x","gpu_options":[]}', "gpu_options must be an object; got a list of 0."],
    [
      "/predict",
      '{"text":"x","gpu_options":{"strategy":"fastest"}}',
      /^gpu_options\.strategy must be one of "round_robin"/,
    ],
    [
      "/predict",
      '{"text":"x","gpu_options":{"specific_gpu_id":-1}}',
      /^gpu_options\.specific_gpu_id must be .*; got -1\.$/,
    ],
    [
      "/predict",
      '{"text":"x","gpu_options":{"specific_gpu_id":"0"}}',
      /^gpu_options\.specific_gpu_id must be .*"0"\.$/,
    ],
    [
      "/predict",
      '{"text":"x","gpu_options":{"batch_split":1}}',
      "gpu_options.batch_split must be true or false; got 1.",
    ],
    ["/predict", '{"text":"x","gpu_options":{"a":1}}', /^gpu_options\.a is not a known field; known are strategy/],
    [
      "/predict",
      '{"text":"x","gpu_options":{"gpu":1}}',
      /^gpu_options\.gpu is .*; perhaps specific_gpu_id was meant\.$/,
    ],
    ["/predict", '{"text":"x","max_tokens":5}', "max_tokens is not a known field; perhaps max_length was meant."],
    ["/predict", '{"text":"x","temp":1}', "temp is not a known field; perhaps temperature was meant."],
    ["/predict", '{"text":"x","tmie":1}', /^tmie is not a known field; known are/],
    ["/predict", '{"text":"x","timeout":5}', "timeout is not a known field; perhaps timeout_seconds was meant."],
    ["/predict", '{"prompt":"x"}', "prompt is not a known field; perhaps text was meant."],
    ["/predict", '{"Text":"x"}', "Text is not a known field; perhaps text was meant."],
    ["/predict", '{"text":"x","strategy":"random"}', /^strategy is .*; perhaps gpu_options\.strategy was meant\.$/],
    ["/batch_predict", '{"prompts":["x"]}', "prompts is not a known field; perhaps batch was meant."],
    ["/batch_predict", '{"batch":[{"prompt":"x"}]}', /^batch\[0\]\.prompt is .*; perhaps text was meant\.$/],
    ["/batch_predict", '{"batch":["x"],"max_length":0}', "max_length must be an integer of at least 1; got 0."],
    ["/batch_predict", '{"batch":["x",""]}', 'batch[1].text must be a string that is not empty; got "".'],
    [
      "/batch_predict",
      '{"batch":[5]}',
      "batch[0] must be an object with text, messages or input, or a text alone; got 5.",
    ],
    ["/batch_predict", '{"batch":"x"}', 'batch must be a list of 1 to 2 items; got "x".'],
    ["/predict", '{"text":"x","__proto__":{"a":1}}', /^__proto__ is not a known field/],
    ["/predict", '{"text":"x","gpu_options":{"__proto__":{}}}', /^gpu_options\.__proto__ is not a known field/],
    ["/predict", '{"text":"x","constructor":{"prototype":{}}}', /^constructor is not a known field/],
    ["/predict", "[]", "the body must be an object; got a list of 0."],
    ["/predict", '"text"', 'the body must be an object; got "text".'],
    ["/predict", "null", "The body is empty; it must be a JSON object."],
    ["/batch_predict", "{}", "batch is missing; it must be a list of 1 to 2 items."],
    ["/batch_predict", '{"batch":[]}', "batch must be a list of 1 to 2 items; got a list of 0."],
    ["/batch_predict", '{"batch":[{},{},{}]}', "batch must be a list of 1 to 2 items; got a list of 3."],
    ["/batch_predict", '{"batch":{"0":{"text":"x"}}}', "batch must be a list of 1 to 2 items; got an object."],
    [
      "/batch_predict",
      '{"batch":[{"text":"x"},null]}',
      "batch[1] must be an object with text, messages or input, or a text alone; got null.",
    ],
    ["/batch_predict", '{"batch":[{"text":"x"},{}]}', `batch[1].${MISSING}`],
    ["/batch_predict", '{"batch":[{"text":"x"},{"text":"x","max_length":0}]}', /^batch\[1\]\.max_length must be/],
    ["/batch_predict", '{"batch":[{"text":"x"},{"text":"ğüşıöç"}]}', /^batch\[1\]\.text must be at most 10 bytes/],
    [
      "/batch_predict",
      '{"batch":[{"text":"x"}],"gpu_options":{"specific_gpu_id":0}}',
      /^gpu_options\.specific_gpu_id is not/,
    ],
  ];
  for (const [path, body, sentence] of cases) {
    const said = refusal(await post(app, path, body), 400, "invalid_input");
    if (typeof sentence === "string") assert.equal(said, sentence);
    else assert.match(said, sentence);
  }
  assert.equal(tasks.submitted.length, 0);
  assert.equal(({} as { a?: unknown }).a, undefined);
});

test("extreme but legal values are accepted as they are", async (t) => {
  const { app, tasks } = testServer(t, testConfig("limits: { max_text_bytes: 12 }"));
  const body = '{"text":"ğüşıöç","max_length":9007199254740991,"temperature":-0,"gpu_options":{"specific_gpu_id":-0}}';
  assert.equal((await post(app, "/predict", body)).statusCode, 200);
  const { inputs, options } = tasks.submitted[0]!;
  assert.equal(inputs[0]!.request.sampling.maxTokens, Number.MAX_SAFE_INTEGER);
  assert.ok(Object.is(inputs[0]!.request.sampling.temperature, 0));
  assert.ok(Object.is(options.pinnedGpuId, 0));
  await post(app, "/predict", '{"text":"\\ud800","max_length":1e2}');
  assert.equal(continuedText(tasks.submitted[1]!.inputs[0]!.request), "\ufffd");
  assert.equal(tasks.submitted[1]!.inputs[0]!.request.sampling.maxTokens, 100);
});

test("what is not JSON is refused, and a byte order mark is not held against anybody", async (t) => {
  const { app } = testServer(t);
  assert.match(refusal(await post(app, "/predict", '{"text":'), 400, "malformed_json"), /^The body is not JSON: /);
  assert.match(refusal(await post(app, "/predict", '{"text":NaN}'), 400, "malformed_json"), /^The body is not JSON: /);
  const latin1 = Buffer.from('{"text":"göz"}', "latin1");
  assert.equal(refusal(await post(app, "/predict", latin1), 400, "malformed_json"), "The body is not UTF-8.");
  const empty = "The body is empty; it must be a JSON object.";
  assert.equal(refusal(await post(app, "/predict", ""), 400, "invalid_input"), empty);
  const none = await app.inject({ method: "POST", url: `${API}/predict`, headers: AS.user });
  assert.equal(refusal(none, 400, "invalid_input"), empty);
  assert.equal((await post(app, "/predict", '\ufeff{"text":"x"}')).statusCode, 200);
});

test("a body with a million lists, nested or not, is refused before it costs anything", async (t) => {
  const { app } = testServer(t);
  const deep = "[".repeat(1e6) + "]".repeat(1e6);
  const sentence = "The body has more than 138000 lists, objects and members, which no valid request has.";
  for (const body of [deep, `{"text":${deep}}`, `{"batch":[${deep}]}`, `{"batch":[${"{},".repeat(1e6)}{}]}`]) {
    assert.equal(refusal(await post(app, "/batch_predict", body), 400, "invalid_input"), sentence);
  }
  const nested = "[".repeat(60_000) + "]".repeat(60_000);
  for (const body of [nested, `{"text":${nested}}`, `{"text":"x","gpu_options":${nested}}`]) {
    refusal(await post(app, "/predict", body), 400, "invalid_input");
  }
  const long = await post(app, "/batch_predict", { batch: Array.from({ length: 5000 }, () => ({ text: "x" })) });
  assert.equal(refusal(long, 400, "invalid_input"), "batch must be a list of 1 to 1000 items; got a list of 5000.");
});

test("brackets and commas inside a text are only text", async (t) => {
  const { app, tasks } = testServer(t);
  const text = `${'[{,"\\'.repeat(50_000)}"`;
  assert.equal((await post(app, "/predict", { text })).statusCode, 200);
  assert.equal(continuedText(tasks.submitted[0]!.inputs[0]!.request), text);
});

test("only application/json is read", async (t) => {
  const { app } = testServer(t);
  const sentence = "The Content-Type header must be application/json.";
  for (const type of ["text/plain", "application/xml", "application/x-www-form-urlencoded", "nonsense"]) {
    const headers = { ...AS.user, "content-type": type };
    assert.equal(
      refusal(await post(app, "/predict", '{"text":"x"}', headers), 415, "unsupported_media_type"),
      sentence,
    );
  }
  const untyped = await app.inject({
    method: "POST",
    url: `${API}/predict`,
    headers: AS.user,
    payload: Buffer.from("{}"),
  });
  assert.equal(refusal(untyped, 415, "unsupported_media_type"), sentence);
  const headers = { ...AS.user, "content-type": "Application/JSON; charset=utf-8" };
  assert.equal((await post(app, "/predict", '{"text":"x"}', headers)).statusCode, 200);
});

test("a body over the limit is a 413 that says the limit", async (t) => {
  const { app } = testServer(t, testConfig("limits: { max_body_bytes: 1024 }"));
  const response = await post(app, "/predict", { text: "x".repeat(1024) });
  assert.equal(refusal(response, 413, "body_too_large"), "The body must be at most 1024 bytes.");
});

test("without credentials, or with wrong ones, there is a 401 that names both schemes", async (t) => {
  const { app, tasks } = testServer(t);
  const attempts: Record<string, string>[] = [
    {},
    { authorization: "" },
    { authorization: "Bearer" },
    { authorization: "Bearer altlas_wrong" },
    { authorization: "Digest x" },
    { authorization: `Basic ${Buffer.from("nocolon").toString("base64")}` },
    { authorization: "Basic !!!" },
  ];
  for (const headers of attempts) {
    const paths = ["/predict", "/gpus", "/gpus/0", "/tasks", `/task/${ID}`];
    for (const path of paths) {
      const response =
        path === "/predict" ? await post(app, path, { text: "x" }, headers) : await get(app, path, headers);
      refusal(response, 401, "unauthorized");
      assert.deepEqual(response.headers["www-authenticate"], [
        'Basic realm="ALT_LAS", charset="UTF-8"',
        'Bearer realm="ALT_LAS"',
      ]);
    }
  }
  refusal(await app.inject("/openapi.json"), 401, "unauthorized");
  assert.equal(tasks.submitted.length, 0);
});

test("a viewer sees everything and submits nothing", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask()];
  const sentence = "Submitting a task needs the role user or admin; viewer has the role viewer.";
  assert.equal(refusal(await post(app, "/predict", { text: "x" }, AS.viewer), 403, "forbidden"), sentence);
  assert.equal(refusal(await post(app, "/batch_predict", "not even JSON", AS.viewer), 403, "forbidden"), sentence);
  assert.equal((await get(app, `/task/${ID}`, AS.viewer)).statusCode, 200);
  assert.equal((await get(app, "/gpus", AS.viewer)).statusCode, 200);
  await get(app, "/tasks", AS.viewer);
  assert.equal(tasks.filters[0]!.user, undefined);
});

test("a user sees its own tasks, an admin all of them", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask(), aTask({ id: OTHER_ID, user: "somebody" })];
  assert.equal((await get(app, `/task/${ID}`)).statusCode, 200);
  const hidden = refusal(await get(app, `/task/${OTHER_ID}?wait=300`), 404, "not_found");
  assert.equal(hidden, `There is no task ${OTHER_ID}, or it belongs to somebody else.`);
  assert.equal(refusal(await get(app, `/task/${UNKNOWN_ID}`), 404, "not_found"), hidden.replace(OTHER_ID, UNKNOWN_ID));
  assert.equal(tasks.waits.length, 0, "nobody waits for a task that is not theirs");
  assert.equal((await get(app, `/task/${OTHER_ID}`, AS.admin)).statusCode, 200);
  await get(app, "/tasks");
  await get(app, "/tasks", AS.admin);
  assert.deepEqual(
    tasks.filters.map((filter) => filter.user),
    ["user", undefined],
  );
});

test("a completed task has the document's fields and ours", async (t) => {
  const { app, tasks } = testServer(t);
  const use = {
    queued: 0.008,
    firstOutput: 0.1,
    lastOutput: 0.4000001,
    promptTokens: 8,
    completionTokens: 4,
    cachedTokens: null,
    gpuSeconds: 0.30000000000000004,
    energyJoules: 90.5,
  };
  tasks.tasks = [aCompletedTask({ batchId: OTHER_ID, use })];
  assert.deepEqual((await get(app, `/task/${ID.toUpperCase()}`)).json(), {
    task_id: ID,
    gpu_id: 0,
    status: "completed",
    user: "user",
    result: {
      text: "Generated text response",
      execution_time: 0.5,
      timestamp: "2025-08-10T12:34:56.789Z",
      finish_reason: "stop",
      usage: { prompt_tokens: 4, completion_tokens: 3, cached_tokens: 0 },
    },
    usage: {
      prompt_tokens: 8,
      completion_tokens: 4,
      cached_tokens: null,
      gpu_seconds: 0.3,
      energy_joules: 90.5,
    },
    timing: { queued: 0.008, prompt: 0.1, first_token: 0.108, generation: 0.3 },
    created_at: "2025-08-10T12:34:56.281Z",
    started_at: "2025-08-10T12:34:56.289Z",
    finished_at: "2025-08-10T12:34:56.789Z",
    strategy: "least_loaded",
    task_type: "text_generation",
    max_length: 128,
    temperature: 0.7,
    priority: "normal",
    timeout_seconds: null,
    deadline_at: null,
    batch_id: OTHER_ID,
    attempts: [
      {
        gpu_id: 0,
        started_at: "2025-08-10T12:34:56.289Z",
        ended_at: "2025-08-10T12:34:56.789Z",
        reason: "completed",
      },
    ],
    placement: {
      strategy: "least_loaded",
      gpu_id: 0,
      reason: "GPU 0 has the lowest load, 0.",
      candidates: [
        { gpu_id: 0, score: 0 },
        { gpu_id: 1, score: null },
      ],
      others: { draining: 2 },
    },
  });
});

test("fields that a task has not got yet are absent", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask()];
  const queued: Record<string, unknown> = (await get(app, `/task/${ID}`)).json();
  const absent = ["result", "usage", "error", "error_code", "placement", "batch_id", "retry_of", "webhook_url"];
  for (const field of absent) assert.ok(!(field in queued), field);
  assert.equal(queued["gpu_id"], null);
  assert.equal(queued["started_at"], null);
  const { queued: sinceSubmission, ...unreached } = queued["timing"] as Record<string, number | null>;
  assert.ok(sinceSubmission! > 0);
  assert.deepEqual(unreached, { prompt: null, first_token: null, generation: null });
  tasks.tasks = [aTask({ status: "failed", error: { code: "worker_crash", sentence: "It crashed." } })];
  const failed: Record<string, unknown> = (await get(app, `/task/${ID}`, AS.admin)).json();
  assert.equal(failed["error"], "It crashed.");
  assert.equal(failed["error_code"], "worker_crash");
});

test("of a task that an earlier version ran, only what its result tells is known", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  const { usage, timing } = (await get(app, `/task/${ID}`)).json<TaskView>();
  const unknown = { gpu_seconds: null, energy_joules: null };
  assert.deepEqual(usage, { prompt_tokens: 4, completion_tokens: 3, cached_tokens: 0, ...unknown });
  assert.deepEqual(timing, { queued: 0.008, prompt: null, first_token: null, generation: null });
});

test("ids that cannot be ids, and routes that don't exist, are 404", async (t) => {
  const { app } = testServer(t);
  for (const id of ["1", "nonsense", "a".repeat(5000), "%00", "..%2f..%2fetc", `${ID}x`]) {
    assert.match(
      refusal(await get(app, `/task/${id}`), 404, "not_found"),
      /^There is no task ".*"?; a task_id is a UUID\.$/,
    );
  }
  assert.equal(refusal(await get(app, "/nothing?a=b"), 404, "not_found"), "There is no route GET /api/v1/nothing.");
  refusal(await app.inject("/nothing"), 404, "not_found");
  refusal(await app.inject("/api/v1"), 404, "not_found");
  refusal(await post(app, "/nothing", "not JSON", {}), 404, "not_found");
  refusal(await app.inject("/%zz"), 400, "invalid_input");
});

test("a known path with another method is a 405 that says which are allowed", async (t) => {
  const { app } = testServer(t);
  const cases: [method: "GET" | "DELETE" | "PUT" | "POST" | "OPTIONS", path: string, allow: string][] = [
    ["GET", `${API}/predict`, "POST"],
    ["PUT", `${API}/batch_predict`, "POST"],
    ["POST", `${API}/gpus`, "GET, HEAD"],
    ["DELETE", `${API}/tasks?status=queued`, "GET, HEAD"],
    ["POST", `${API}/task/${ID}`, "GET, HEAD, DELETE"],
    ["GET", `${API}/task/${ID}/cancel`, "POST"],
    ["GET", `${API}/tasks/cancel`, "POST"],
    ["POST", `${API}/task/${ID}/events`, "GET, HEAD"],
    ["PUT", `${API}/webhook_secret`, "GET, HEAD, POST"],
    ["OPTIONS", `${API}/gpus`, "GET, HEAD"],
    ["POST", `${API}/gpus/0`, "GET, HEAD"],
    ["GET", `${API}/gpus/0/drain`, "POST"],
    ["DELETE", `${API}/gpus/0/resume`, "POST"],
    ["POST", "/livez", "GET, HEAD"],
  ];
  for (const [method, url, allow] of cases) {
    const response = await app.inject({ method, url, headers: AS.user });
    const path = url.split("?")[0];
    assert.equal(refusal(response, 405, "method_not_allowed"), `${path} allows ${allow}, not ${method}.`);
    assert.equal(response.headers.allow, allow);
  }
  const head = await app.inject({ method: "HEAD", url: `${API}/gpus`, headers: AS.user });
  assert.equal(head.statusCode, 200);
  assert.equal(head.body, "");
});

/** A filter of a user that selects nothing. */
const ANY = {
  user: "user",
  team: undefined,
  status: undefined,
  batchId: undefined,
  taskType: undefined,
  gpuId: undefined,
  model: undefined,
  since: undefined,
  until: undefined,
  after: undefined,
};

test("query strings are read as numbers, and checked", async (t) => {
  const { app, tasks } = testServer(t);
  await get(app, "/tasks?status=completed&limit=10&offset=20");
  await get(app, "/tasks");
  assert.deepEqual(tasks.filters, [
    { ...ANY, status: "completed", limit: 10, offset: 20 },
    { ...ANY, limit: 100, offset: 0 },
  ]);
  const cases: [query: string, sentence: string | RegExp][] = [
    ["/tasks?limit=0", "limit must be an integer from 1 to 1000; got 0."],
    ["/tasks?limit=1001", "limit must be an integer from 1 to 1000; got 1001."],
    ["/tasks?limit=ten", 'limit must be an integer from 1 to 1000; got "ten".'],
    ["/tasks?limit=", 'limit must be an integer from 1 to 1000; got "".'],
    ["/tasks?limit=1&limit=2", "limit must be an integer from 1 to 1000; got a list of 2."],
    ["/tasks?offset=-1", /^offset must be an integer .*; got -1\.$/],
    ["/tasks?status=done", /^status must be one of "queued", "running", .*; got "done"\.$/],
    ["/tasks?states=queued", "states is not a known field; perhaps status was meant."],
    ["/tasks?__proto__=1", /^__proto__ is not a known field/],
    ...["0x10", "0b11", "1e2", "%2B5", "%205", "5.0", "05", "-0", "1_0", "٥"].map((number): [string, RegExp] => [
      `/tasks?limit=${encodeURI(number)}`,
      /^limit must be an integer from 1 to 1000; got "/,
    ]),
    [`/task/${ID}?wait=-1`, "wait must be a number of at least 0; got -1."],
    [`/task/${ID}?wait=soon`, 'wait must be a number of at least 0; got "soon".'],
    [`/task/${ID}?wait=1e1`, 'wait must be a number of at least 0; got "1e1".'],
    [`/batch/${ID}/results?follow=1`, 'follow must be true or false; got "1".'],
    [`/task/${ID}?hold=1`, "hold is not a known field; known are wait, include."],
    ["/gpus?a=1", "a is not a known field; nothing is allowed there."],
  ];
  for (const [url, sentence] of cases) {
    const said = refusal(await get(app, url), 400, "invalid_input");
    if (typeof sentence === "string") assert.equal(said, sentence);
    else assert.match(said, sentence);
  }
});

test("tasks come as an object in the order of the list, with how many match", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask({ id: OTHER_ID }), aCompletedTask()];
  const response = await get(app, "/tasks");
  const body: { tasks: Record<string, { task_id: string; status: string }>; total: number } = response.json();
  assert.deepEqual(Object.keys(body.tasks), [OTHER_ID, ID]);
  assert.equal(body.tasks[ID]!.status, "completed");
  assert.equal(body.total, 2);
});

const GPU_VIEW = {
  id: 0,
  name: "NVIDIA A100",
  utilization: 30,
  memory_used: 4_000_000_000,
  memory_total: 16_000_000_000,
  task_count: 2,
  uuid: "GPU-1",
  pci_bus_id: "0000:65:00.0",
  kind: "gpu",
  status: "ready",
  reason: null,
  since: "2025-08-10T12:34:56.789Z",
  crowded: null,
  slots: 8,
  load: 0.25,
  temperature: 45,
  max_temperature: 87,
  power: 130.5,
  power_limit: 400,
  energy: 7_200_000,
  throttle: ["sw_power_cap"],
  ecc: { corrected: 2, uncorrected: 0 },
  xids: { 13: 2 },
  others_memory: 0.03,
  others_utilization: 0.1,
  memory_free: 12_000_000_000,
  compute_capability: 8,
  model: "a model",
  model_name: "a model",
  capabilities: ["chat", "completion"],
  chat_template: true,
  context: 8192,
  memory_note: null,
  device: "NVIDIA A100 (CUDA)",
  restarts: 0,
  instances: [
    {
      model: "a model",
      state: "ready",
      reason: null,
      memory_bytes: 3_500_000_000,
      load_seconds: 2.5,
      last_used_at: "2025-08-10T12:34:56.789Z",
      running: 2,
      slots: 4,
      context: 2048,
      kv_bytes_per_token: 36_864,
    },
  ],
  settings: [{ name: "threads", value: 1, reason: "a GPU computes" }],
  upstream: null,
};

test("GPUs are listed with the document's fields first, and with why one cannot be used", async (t) => {
  const { app, state } = testServer(t);
  state.gpus = [
    GPU,
    { ...GPU, id: 1, status: "unfit", reason: "Out of memory." },
    { ...GPU, id: 2, crowded: "memory_taken" },
  ];
  const { gpus } = (await get(app, "/gpus", AS.admin)).json<{ gpus: Record<string, unknown>[] }>();
  assert.deepEqual(gpus[0], GPU_VIEW);
  const first = ["id", "name", "utilization", "memory_used", "memory_total", "task_count"];
  assert.deepEqual(Object.keys(gpus[0]!).slice(0, 6), first);
  assert.equal(gpus[1]!["status"], "unfit");
  assert.equal(gpus[1]!["reason"], "Out of memory.");
  assert.deepEqual([gpus[2]!["status"], gpus[2]!["crowded"]], ["ready", "memory taken by others"]);
});

test("what drivers said that have no GPU to offer is told beside the GPUs, and nothing where all answer", async (t) => {
  const driverNotes = ["nvidia-smi lists no GPU: Failed to initialize NVML: Unknown Error."];
  const silent = (await get(testServer(t, testConfig(), { driverNotes }).app, "/gpus", AS.admin)).json<object>();
  assert.deepEqual(Object.keys(silent), ["gpus", "notes"]);
  assert.deepEqual((silent as { notes: string[] }).notes, driverNotes);
  assert.deepEqual(Object.keys((await get(testServer(t).app, "/gpus")).json<object>()), ["gpus"]);
});

test("what a device does not tell is null, neither 0 nor absent", async (t) => {
  const { app, state } = testServer(t);
  state.gpus = [CPU_DEVICE];
  const listed = (await get(app, "/gpus")).json<{ gpus: Record<string, unknown>[] }>().gpus[0]!;
  const one = (await get(app, "/gpus/1")).json<Record<string, unknown>>();
  assert.deepEqual(Object.keys(listed).toSorted(), Object.keys(GPU_VIEW).toSorted());
  const unknown = Object.keys(GPU_VIEW).filter((field) => listed[field] === null);
  assert.deepEqual(unknown, [
    "utilization",
    "memory_used",
    "memory_total",
    "pci_bus_id",
    "reason",
    "crowded",
    "temperature",
    "max_temperature",
    "power",
    "power_limit",
    "energy",
    "throttle",
    "ecc",
    "others_memory",
    "others_utilization",
    "memory_free",
    "compute_capability",
    "model",
    "model_name",
    "capabilities",
    "chat_template",
    "context",
    "memory_note",
    "device",
    "settings",
    "upstream",
  ]);
  assert.deepEqual(one, { ...listed, pid: null, processes: null, events: [], running_tasks: [] });
});

test("figures that are 0, and lists that are empty, are not taken for unknown ones", async (t) => {
  const { app, state } = testServer(t);
  const ecc = { corrected: 0, uncorrected: 0 };
  state.gpus = [{ ...GPU, utilization: 0, power: 0, energy: 0, othersMemory: 0, throttle: [], ecc, processes: [] }];
  const gpu = (await get(app, "/gpus/0")).json<Record<string, unknown>>();
  for (const field of ["utilization", "power", "energy", "others_memory"]) assert.equal(gpu[field], 0, field);
  assert.deepEqual([gpu["throttle"], gpu["ecc"], gpu["processes"]], [[], ecc, []]);
});

test("bytes are whole, also where a device has a share of the machine's memory", async (t) => {
  const { app, state } = testServer(t);
  const processes = [{ pid: 1, memory: 0.6, utilization: 0.5, own: true }];
  state.gpus = [{ ...GPU, memoryTotal: 1e10 / 3, memoryUsed: 1.5, memoryFree: 0.1, processes }];
  const gpu = (await get(app, "/gpus/0")).json<Record<string, unknown>>();
  assert.deepEqual([gpu["memory_total"], gpu["memory_used"], gpu["memory_free"]], [3_333_333_333, 2, 0]);
  assert.deepEqual(gpu["processes"], [{ pid: 1, memory: 1, utilization: 0.5, own: true }]);
});

test("GPUs that hold one model together have lists of names, a part of a card has one", async (t) => {
  const { app, state } = testServer(t);
  const mig = "MIG-e06cf44c-6756-5e30-9acd-1e0b6d0f5bc4";
  state.gpus = [{ ...GPU, uuids: [mig] }, GPU_GROUP];
  const [part, group] = (await get(app, "/gpus")).json<{ gpus: Record<string, unknown>[] }>().gpus;
  assert.deepEqual([part!["uuid"], part!["pci_bus_id"]], [mig, "0000:65:00.0"]);
  assert.ok(!("uuids" in part!) && !("pci_bus_ids" in part!));
  assert.deepEqual(group!["uuids"], ["GPU-2", "GPU-3"]);
  assert.deepEqual(group!["pci_bus_ids"], ["0000:66:00.0", "0000:67:00.0"]);
  assert.ok(!("uuid" in group!) && !("pci_bus_id" in group!));
  assert.deepEqual((await get(app, "/gpus/2")).json<Record<string, unknown>>()["uuids"], ["GPU-2", "GPU-3"]);
});

const STARTED = Date.UTC(2025, 7, 10, 12, 35);
const RUNNING = [
  { id: ID, user: "user", team: null, startedAt: STARTED },
  { id: OTHER_ID, user: "somebody", team: null, startedAt: STARTED + 1 },
];

test("one GPU is shown with its processes, events and running tasks", async (t) => {
  const { app, state } = testServer(t);
  state.running = RUNNING;
  const response = await get(app, "/gpus/0", AS.viewer);
  assert.deepEqual(response.json(), {
    ...GPU_VIEW,
    pid: 4711,
    processes: [
      { pid: 4711, memory: 3_500_000_000, utilization: 20, own: true },
      { pid: 99, memory: 500_000_000, utilization: null, own: false },
    ],
    events: [
      { at: "2025-08-10T12:34:55.789Z", event: "starting", reason: "The model is being loaded." },
      { at: "2025-08-10T12:34:56.789Z", event: "ready", reason: "The model is loaded." },
    ],
    running_tasks: [
      { task_id: ID, user: "user", started_at: "2025-08-10T12:35:00.000Z" },
      { task_id: OTHER_ID, user: "somebody", started_at: "2025-08-10T12:35:00.001Z" },
    ],
  });
  const listed = (await get(app, "/gpus")).json<{ gpus: object[] }>().gpus[0]!;
  for (const field of ["pid", "processes", "events", "running_tasks"]) assert.ok(!(field in listed), field);
});

test("a user sees its own tasks on a GPU, and how many there are in all", async (t) => {
  const { app, state } = testServer(t);
  state.running = RUNNING;
  const seenBy = async (role: keyof typeof AS) => {
    const gpu = (await get(app, "/gpus/0", AS[role])).json<{
      task_count: number;
      running_tasks: { task_id: string }[];
    }>();
    return [gpu.task_count, ...gpu.running_tasks.map((task) => task.task_id)];
  };
  assert.deepEqual(await seenBy("user"), [2, ID]);
  assert.deepEqual(await seenBy("viewer"), [2, ID, OTHER_ID]);
  assert.deepEqual(await seenBy("admin"), [2, ID, OTHER_ID]);
});

test("a GPU that is not there is a 404 with those that are", async (t) => {
  const { app, state, operations } = testServer(t);
  state.gpus = [GPU, { ...GPU, id: 2 }];
  for (const id of ["1", "-0", "00", "0.0", "1e0", "gpu_0", "%20", "0%00", "a".repeat(5000)]) {
    const sentences = [
      refusal(await get(app, `/gpus/${id}`), 404, "not_found"),
      refusal(await post(app, `/gpus/${id}/drain`, {}, AS.admin), 404, "not_found"),
      refusal(await post(app, `/gpus/${id}/resume`, {}, AS.admin), 404, "not_found"),
    ];
    for (const sentence of sentences) assert.match(sentence, /^There is no GPU ".*; the GPUs are 0, 2\.$/);
  }
  state.gpus = [];
  assert.equal(refusal(await get(app, "/gpus/0"), 404, "not_found"), 'There is no GPU "0"; there are none.');
  assert.deepEqual(operations, []);
});

test("an admin drains a GPU and resumes it, and is answered with the GPU as it is then", async (t) => {
  const { app, state, operations } = testServer(t, testConfig(), {
    drainGpu: (gpuId, options) => {
      operations.push({ drain: gpuId, ...options });
      state.gpus = [{ ...GPU, status: "draining", reason: "admin asked for it." }];
    },
  });
  state.running = RUNNING;
  const drained = await post(app, "/gpus/0/drain", { deadline_seconds: 90.5 }, AS.admin);
  assert.equal(drained.statusCode, 200);
  const body = drained.json<Record<string, unknown>>();
  assert.deepEqual([body["status"], body["reason"]], ["draining", "admin asked for it."]);
  assert.deepEqual(body, (await get(app, "/gpus/0", AS.admin)).json());
  state.gpus = [GPU];
  const resumed = await post(app, "/gpus/0/resume", {}, AS.admin);
  assert.equal(resumed.statusCode, 200);
  assert.equal(resumed.json<{ status: string }>().status, "ready");
  assert.deepEqual(operations, [
    { drain: 0, deadlineSeconds: 90.5, by: "admin" },
    { resume: 0, by: "admin" },
  ]);
});

test("only an admin drains and resumes, and others are refused before their body is read", async (t) => {
  const { app, operations } = testServer(t);
  for (const role of ["user", "viewer"] as const) {
    assert.equal((await get(app, "/gpus/0", AS[role])).statusCode, 200);
    for (const path of ["/gpus/0/drain", "/gpus/0/resume", "/gpus/99/drain"]) {
      assert.equal(
        refusal(await post(app, path, "not even JSON", AS[role]), 403, "forbidden"),
        `Draining and resuming a GPU needs the role admin; ${role} has the role ${role}.`,
      );
    }
  }
  refusal(await post(app, "/gpus/0/drain", {}, {}), 401, "unauthorized");
  assert.deepEqual(operations, []);
});

function declaring(contentType: string): Record<string, string> {
  return { ...AS.admin, "content-type": contentType };
}

test("a drain needs no body, and no deadline", async (t) => {
  const { app, operations } = testServer(t);
  const url = `${API}/gpus/0/drain`;
  const requests: InjectOptions[] = [
    { url, headers: AS.admin },
    { url, headers: declaring("application/json") },
    { url, headers: declaring("application/json; charset=utf-8"), payload: "" },
    { url, headers: { ...declaring("application/x-www-form-urlencoded"), "content-length": "0" } },
    { url, headers: { ...declaring("nonsense"), "content-length": "0" } },
    { url, headers: declaring("application/json"), payload: "null" },
    { url, headers: declaring("application/json"), payload: "{}" },
    { url, headers: declaring("application/json"), payload: '{"deadline_seconds":null}' },
  ];
  for (const request of requests) {
    const drained = await app.inject({ method: "POST", ...request });
    assert.equal(drained.statusCode, 200, drained.body);
    const resumed = await app.inject({ method: "POST", ...request, url: `${API}/gpus/0/resume` });
    assert.equal(resumed.statusCode, 200, resumed.body);
  }
  assert.equal(operations.length, 2 * requests.length);
  for (const operation of operations) if ("drain" in operation) assert.equal(operation.deadlineSeconds, null);
});

test("an empty body sent in chunks is an empty body", async (t) => {
  const { app, operations } = testServer(t);
  const port = await listening(app);
  const head = `POST ${API}/gpus/0/drain HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${AS.admin.authorization}\r\n`;
  const rest = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n";
  assert.match(await raw(port, head + rest), /^HTTP\/1\.1 200 OK\r\n/);
  assert.deepEqual(operations, [{ drain: 0, deadlineSeconds: null, by: "admin" }]);
});

test("a deadline is a number of seconds from 0 to a day, and there is nothing else to say", async (t) => {
  const { app, operations } = testServer(t);
  const cases: [body: string, sentence: string][] = [
    ['{"deadline_seconds":-1}', "deadline_seconds must be a number from 0 to 86400; got -1."],
    ['{"deadline_seconds":86401}', "deadline_seconds must be a number from 0 to 86400; got 86401."],
    ['{"deadline_seconds":1e400}', "deadline_seconds must be a number from 0 to 86400; got Infinity."],
    ['{"deadline_seconds":"60"}', 'deadline_seconds must be a number from 0 to 86400; got "60".'],
    ['{"deadline_seconds":[60]}', "deadline_seconds must be a number from 0 to 86400; got a list of 1."],
    ['{"deadline":60}', "deadline is not a known field; known are deadline_seconds."],
    ["[]", "the body must be an object; got a list of 0."],
    ["60", "the body must be an object; got 60."],
  ];
  for (const [body, sentence] of cases) {
    assert.equal(refusal(await post(app, "/gpus/0/drain", body, AS.admin), 400, "invalid_input"), sentence);
  }
  assert.equal(
    refusal(await post(app, "/gpus/0/resume", '{"deadline_seconds":1}', AS.admin), 400, "invalid_input"),
    "deadline_seconds is not a known field; nothing is allowed there.",
  );
  refusal(await post(app, "/gpus/0/drain?now=1", {}, AS.admin), 400, "invalid_input");
  refusal(await post(app, "/gpus/0/drain", "{", AS.admin), 400, "malformed_json");
  for (const type of ["text/plain", "nonsense"]) {
    const headers = { ...AS.admin, "content-type": type };
    refusal(await post(app, "/gpus/0/drain", '{"deadline_seconds":1}', headers), 415, "unsupported_media_type");
  }
  assert.equal(operations.length, 0);
  for (const seconds of ["0", "-0", "86400"]) {
    assert.equal((await post(app, "/gpus/0/drain", `{"deadline_seconds":${seconds}}`, AS.admin)).statusCode, 200);
  }
  const deadlines = operations.map((operation) => "drain" in operation && operation.deadlineSeconds);
  assert.ok(deadlines.every((seconds) => !Object.is(seconds, -0)));
  assert.deepEqual(deadlines, [0, 0, 86_400]);
});

function refuse(): never {
  throw new AltLasError("conflict", "GPU 0 cannot be drained now.");
}

test("what the pool refuses keeps its status and sentence", async (t) => {
  const { app } = testServer(t, testConfig(), { drainGpu: refuse, resumeGpu: refuse });
  for (const path of ["/gpus/0/drain", "/gpus/0/resume"]) {
    const said = refusal(await post(app, path, "", AS.admin), 409, "conflict");
    assert.equal(said, "GPU 0 cannot be drained now.");
  }
});

test("Prefer: wait holds the answer, which is then the whole task", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  const cases: [prefer: string, seconds: number | undefined][] = [
    ["wait=30", 30],
    ["respond-async, Wait = 10; foo=bar", 10],
    ['wait="7"', 7],
    ["wait=0", 0],
    ["wait=86400", 300],
    ["wait=5, wait=6", 5],
    ["wait", undefined],
    ["wait=-1", undefined],
    ["wait=soon", undefined],
    ["await=5", undefined],
    ["", undefined],
  ];
  for (const [prefer, seconds] of cases) {
    tasks.waits.length = 0;
    const response = await post(app, "/predict", { text: "x" }, { ...AS.user, prefer });
    assert.equal(response.json<{ status: string }>().status, seconds === undefined ? "running" : "completed", prefer);
    assert.deepEqual(
      tasks.waits.map((wait) => wait.seconds),
      seconds === undefined ? [] : [seconds],
      prefer,
    );
    const applied = seconds === undefined ? undefined : `wait=${seconds}`;
    assert.equal(response.headers["preference-applied"], applied);
  }
});

test("?wait holds GET /task until the task has ended, and not at all when it has", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask({ status: "running" })];
  tasks.onWait = async () => aCompletedTask();
  assert.equal((await get(app, `/task/${ID}?wait=12.5`)).json<{ status: string }>().status, "completed");
  assert.equal(tasks.waits[0]!.seconds, 12.5);
  assert.equal((await get(app, `/task/${ID}?wait=0`)).json<{ status: string }>().status, "running");
  tasks.tasks = [aCompletedTask()];
  await get(app, `/task/${ID}?wait=30`);
  assert.equal(tasks.waits.length, 1);
});

/** A wait that ends when its signal aborts; `begun` resolves with that signal. */
function holdWaits(tasks: FakeTasks): { begun: Promise<AbortSignal> } {
  const { promise, resolve } = Promise.withResolvers<AbortSignal>();
  tasks.onWait = async (_id, signal) => {
    resolve(signal);
    if (!signal.aborted) await once(signal, "abort");
    return aTask();
  };
  return { begun: promise };
}

test("a client that disconnects ends its wait", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask()];
  const port = await listening(app);
  const waits: { path: string; method: string; headers: Record<string, string>; body?: string }[] = [
    { method: "GET", path: `${API}/task/${ID}?wait=300`, headers: AS.user },
    {
      method: "POST",
      path: `${API}/predict`,
      headers: { ...AS.user, prefer: "wait=300", "content-type": "application/json" },
      body: '{"text":"x"}',
    },
  ];
  for (const { body, ...options } of waits) {
    const { begun } = holdWaits(tasks);
    const client = httpRequest({ port, ...options }).on("error", () => {});
    client.end(body);
    const signal = await begun;
    assert.equal(signal.aborted, false);
    const aborted = once(signal, "abort");
    client.destroy();
    await aborted;
  }
});

/** Sends raw bytes and returns all that comes back until the server closes. */
async function raw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.end(bytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test("what is not HTTP, and headers without end, get an answer in the usual shape", async (t) => {
  const { app } = testServer(t);
  const port = await listening(app);
  const garbage = await raw(port, "this is not HTTP\r\n\r\n");
  assert.match(garbage, /^HTTP\/1\.1 400 Bad Request\r\n/);
  assert.match(garbage, /\r\nX-Request-Id: [\w.-]+\r\n/);
  assert.match(garbage, /\r\n\r\n\{"error":"This is not a valid HTTP request: [A-Z_]+\.","code":"invalid_input"\}$/);
  const nameless = await raw(port, "GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n");
  assert.match(nameless, /^HTTP\/1\.1 400 Bad Request\r\nx-request-id: /);
  assert.match(nameless, /\{"error":"The Host header is missing\.","code":"invalid_input"\}$/);
  const large = await raw(port, `GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`);
  assert.match(large, /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/);
  assert.match(large, /"code":"headers_too_large"\}$/);
});

test("every answer carries the request's id, the client's own when it is sane", async (t) => {
  const { app } = testServer(t);
  const idOf = async (id: string | undefined, url = "/livez") => {
    const headers = id === undefined ? {} : { "x-request-id": id };
    return String((await app.inject({ url, headers })).headers["x-request-id"]);
  };
  assert.equal(await idOf("trace-1.a_B"), "trace-1.a_B");
  assert.equal(await idOf("trace-2", "/nothing"), "trace-2");
  assert.equal(await idOf("trace-3", "/%zz"), "trace-3");
  assert.equal(await idOf("trace-4", `${API}/gpus`), "trace-4");
  const made = await Promise.all([undefined, "has spaces", "x".repeat(129), "<script>", ""].map((id) => idOf(id)));
  assert.equal(new Set(made).size, made.length);
  for (const id of made) assert.match(id, /^[0-9a-f]{12}-[0-9a-z]+$/);
});

test("answers are not cached, and not sniffed", async (t) => {
  const { app } = testServer(t);
  for (const url of ["/livez", `${API}/gpus`, "/nothing"]) {
    const { headers } = await app.inject({ url, headers: AS.user });
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["x-content-type-options"], "nosniff");
  }
});

test("refusals of the scheduler and store keep their status, sentence and Retry-After", async (t) => {
  const { app, tasks } = testServer(t);
  const cases: [error: AltLasError, status: number, retryAfter: string | undefined][] = [
    [new AltLasError("queue_full", "Full.", { retryAfter: 3.2 }), 503, "4"],
    [new AltLasError("queue_full", "Full.", { retryAfter: 0 }), 503, "1"],
    [new AltLasError("no_usable_gpu", "None."), 503, "1"],
    [new AltLasError("store_unavailable", "Disk full."), 503, "1"],
    [new AltLasError("rate_limited", "Too many.", { retryAfter: 7 }), 429, "7"],
    [new AltLasError("conflict", "Ended already."), 409, undefined],
    [new AltLasError("prompt_too_long", "9 tokens, but 8 fit."), 400, undefined],
  ];
  for (const [error, status, retryAfter] of cases) {
    tasks.failure = error;
    const response = await post(app, "/predict", { text: "x" }, AS.admin);
    assert.equal(refusal(response, status, error.code), error.message);
    assert.equal(response.headers["retry-after"], retryAfter);
  }
});

test("a bug is a 500 that gives the request id and nothing of the inside", async (t) => {
  const { app, tasks, log } = testServer(t);
  for (const error of [new TypeError("secret of the inside"), new AltLasError("model_error", "secret of the inside")]) {
    tasks.failure = error;
    const response = await get(app, "/tasks", { ...AS.user, "x-request-id": "find-me" });
    const sentence = refusal(response, 500, "internal_error");
    assert.equal(sentence, "Internal error; the server's log says more under the request id find-me.");
    const line = log.find((entry) => entry.includes('"level":50'));
    assert.match(line ?? "", /"request_id":"find-me"/);
    assert.match(line ?? "", /secret of the inside.*helpers\/http\.ts|http\.test\.ts/);
    log.length = 0;
  }
});

test("while the server drains it takes no tasks, and still tells about the old ones", async (t) => {
  const { app, tasks, state } = testServer(t, testConfig("server: { drain_timeout: 12 }"));
  tasks.tasks = [aTask()];
  state.draining = true;
  for (const path of ["/predict", "/batch_predict"]) {
    const response = await post(app, path, { text: "x" });
    assert.equal(refusal(response, 503, "draining"), "The server is stopping and takes no new tasks.");
    assert.equal(response.headers["retry-after"], "12");
  }
  assert.equal((await get(app, `/task/${ID}`)).statusCode, 200);
  assert.equal((await get(app, "/tasks")).statusCode, 200);
  assert.equal((await app.inject("/livez")).statusCode, 200);
  assert.deepEqual((await app.inject("/readyz")).json(), {
    status: "not ready",
    reason: "The server is stopping.",
    error: "Not ready. The server is stopping.",
    code: "not_ready",
  });
});

test("health needs no credentials, and ready means ready", async (t) => {
  const { app, state } = testServer(t);
  assert.deepEqual((await app.inject("/livez")).json(), { status: "alive" });
  assert.deepEqual((await app.inject("/readyz")).json(), { status: "ready" });
  state.gpus = [GPU, GPU_GROUP, { ...CPU_DEVICE, status: "drained" }, { ...GPU, status: "lost" }];
  const none = { starting: 0, hot: 0, draining: 0, unfit: 0, faulted: 0 };
  const counts = { total: 4, ...none, ready: 2, drained: 1, lost: 1 };
  assert.deepEqual((await app.inject("/healthz")).json(), { status: "ready", version: "1.2.3", gpus: counts });
  state.readiness = { ready: false, reason: "No GPU is usable." };
  for (const url of ["/readyz", "/healthz"]) {
    const response = await app.inject(url);
    assert.equal(response.statusCode, 503);
    assert.equal(response.headers["retry-after"], "5");
    assert.equal(response.json<{ reason: string }>().reason, "No GPU is usable.");
    assert.equal(response.json<{ error: string }>().error, "Not ready. No GPU is usable.");
  }
});

function preflight(app: FastifyInstance, origin: string) {
  const headers = { origin, "access-control-request-method": "POST" };
  return app.inject({ method: "OPTIONS", url: `${API}/predict`, headers });
}

test("web pages may call only when the configuration lists them", async (t) => {
  const origin = "https://app.example.com";
  const { app } = testServer(t, testConfig(`server: { cors_origins: ["${origin}"] }`));
  const allowed = await preflight(app, origin);
  assert.equal(allowed.statusCode, 204);
  assert.equal(allowed.headers["access-control-allow-origin"], origin);
  const refused = await get(app, "/gpus", { origin });
  assert.equal(refused.statusCode, 401);
  assert.equal(refused.headers["access-control-allow-origin"], origin, "a page must be able to read a refusal");
  const missing = await get(app, "/nothing", { origin });
  assert.equal(missing.headers["access-control-allow-origin"], origin);
  const methods = allowed.headers["access-control-allow-methods"];
  assert.equal(methods, "GET, HEAD, POST, PATCH, DELETE", "a page may remove a task");
  assert.match(
    String(refused.headers["access-control-expose-headers"]),
    /Idempotent-Replayed, X-Task-Id, X-Task-Ids, X-Gpu-Id, X-Ignored-Fields, X-Warning, Location/,
  );
  assert.equal((await preflight(app, "https://evil.example")).headers["access-control-allow-origin"], undefined);
  const closed = testServer(t).app;
  assert.equal((await preflight(closed, origin)).statusCode, 405);
});

function badConfig(sentence: string) {
  return (error: unknown) =>
    error instanceof AltLasError && error.code === "bad_config" && error.message.includes(sentence);
}

test("a certificate that cannot be used stops the start, naming the file", (t) => {
  const folder = temporaryFolder(t);
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const config = testConfig(`server: { tls: { cert: "${cert}", key: "${key}" } }`);
  const start = () => testServer(t, config);
  assert.throws(start, badConfig("server.tls.cert cannot be read: ENOENT"));
  writeFileSync(cert, "no certificate");
  assert.throws(start, badConfig("server.tls.key cannot be read: ENOENT"));
  writeFileSync(key, "no key");
  assert.throws(start, badConfig(`server.tls: ${cert} and ${key} cannot be used together: `));
});

test("nothing a client sends reaches the log", async (t) => {
  const { app, tasks, log } = testServer(t);
  await post(app, "/predict", { text: "PROMPT-SECRET" }, { ...AS.user, "x-secret": "HEADER-SECRET" });
  await post(app, "/predict", '{"text":"PROMPT-SECRET', AS.user);
  const message = { role: "user", content: "PROMPT-SECRET" };
  await post(app, "/predict", { messages: [message], stop: "PROMPT-SECRET" });
  await get(app, "/gpus", { "x-api-key": "KEY-SECRET" });
  await get(app, "/gpus?q=QUERY-SECRET");
  await get(app, "/gpus", { authorization: "Bearer KEY-SECRET" });
  tasks.failure = new Error("a bug");
  await post(app, "/predict", { text: "PROMPT-SECRET" });
  await post(app, "/predict", { messages: [message] });
  assert.ok(log.length >= 5);
  assert.doesNotMatch(log.join(""), /SECRET|altlas_/);
});

test("no body, whatever it is, crashes the server or is its fault", async (t) => {
  const { app } = testServer(t);
  const known = fc.constantFrom(
    "text",
    "max_length",
    "temperature",
    "gpu_options",
    "task_type",
    "batch",
    "strategy",
    "timeout_seconds",
    "webhook_events",
    "task_ids",
    "messages",
    "role",
    "content",
    "input",
    "stop",
    "logit_bias",
    "15",
    "__proto__",
  );
  const value = fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { depthSize: "small" },
      fc.oneof(fc.jsonValue(), anyText(), fc.double(), fc.integer()),
      fc.array(tie("node"), { maxLength: 3 }),
      fc.dictionary(known, tie("node"), { maxKeys: 4 }),
    ),
  })).node;
  const paths = ["/predict", "/batch_predict", "/gpus/0/drain", "/tasks/cancel"];
  const whole = fc.oneof(
    value,
    value.map((text) => ({ text: "x", gpu_options: text })),
    value.map((item) => ({ batch: [{ text: "x" }, item] })),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), whole, async (path, body) => {
      const response = await post(app, path, JSON.stringify(body) ?? "", AS.admin);
      assert.ok([200, 400].includes(response.statusCode), response.body);
      if (response.statusCode === 400) assert.equal(typeof response.json<{ error: string }>().error, "string");
    }),
    { numRuns: 200 },
  );
  await fc.assert(
    fc.asyncProperty(anyText(), fc.uint8Array(), async (path, bytes) => {
      assert.ok((await post(app, `/predict?${encodeURI(path.toWellFormed())}`, Buffer.from(bytes))).statusCode < 500);
      assert.ok((await get(app, `/task/${encodeURIComponent(path.toWellFormed())}`)).statusCode < 500);
      assert.ok((await get(app, `/gpus/${encodeURIComponent(path.toWellFormed())}`)).statusCode < 500);
    }),
    { numRuns: 100 },
  );
});
