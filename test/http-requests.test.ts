/** What `predict` and the items of a batch may ask of a model beside a text: conversations, inputs for vectors, and how to sample. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { completionOf, NO_SAMPLING, type Request, TO_THE_END } from "../src/request.ts";
import { type Clock } from "../src/common/clock.ts";
import { unitVector } from "../src/common/vectors.ts";
import { announcer } from "../src/webhooks/announcements.ts";
import { aCompletedTask, aTask, get, ID, post, refusal, testConfig, testServer, unseeded } from "./helpers/http.ts";
import { type FakeTasks } from "./helpers/http.ts";
import { type TasksAnswer } from "../src/http/schemas/tasks.ts";
import { startLocalServer } from "./helpers/local-server.ts";

const USER = { role: "user", content: "Hello" };

function asked({ submitted }: FakeTasks): Request {
  return submitted.at(-1)!.inputs[0]!.request;
}

test("a conversation is asked as it is, with parts of text joined by line breaks", async (t) => {
  const { app, tasks } = testServer(t);
  const parts = [
    { type: "text", text: "one" },
    { type: "text", text: "\ud800two" },
  ];
  const messages = [
    { role: "system", content: "" },
    { role: "user", content: parts },
    { role: "assistant", content: "yes" },
    { role: "tool", content: "42" },
    USER,
  ];
  const response = await post(app, "/predict", { messages, temperature: 0, tools: [], tool_choice: "auto" });
  assert.equal(response.statusCode, 200, response.body);
  assert.deepEqual(asked(tasks), {
    kind: "chat",
    messages: [
      { role: "system", content: "" },
      { role: "user", content: "one\n\ufffdtwo" },
      { role: "assistant", content: "yes" },
      { role: "tool", content: "42" },
      USER,
    ],
    sampling: { maxTokens: 128, temperature: 0 },
  });
});

test("inputs are one string or many, and nothing is sampled for them", async (t) => {
  const { app, tasks } = testServer(t);
  await post(app, "/predict", { input: "a", model: "minilm" });
  assert.deepEqual(asked(tasks), { kind: "embedding", inputs: ["a"], sampling: NO_SAMPLING });
  assert.equal(tasks.submitted[0]!.inputs[0]!.model, "minilm");
  await post(app, "/predict", { input: ["a", "b\udc00"] });
  assert.deepEqual(asked(tasks), { kind: "embedding", inputs: ["a", "b\ufffd"], sampling: NO_SAMPLING });
  assert.equal((await post(app, "/predict", { input: Array.from({ length: 2048 }, () => "x") })).statusCode, 200);
});

test("all that says how to sample reaches the request, and only what was said", async (t) => {
  const { app, tasks } = testServer(t);
  const said = {
    text: "x",
    raw: false,
    max_length: 7,
    temperature: 0.5,
    top_p: 0.9,
    top_k: 0,
    min_p: -0,
    seed: 2 ** 32 - 1,
    presence_penalty: -2,
    frequency_penalty: 2,
    logit_bias: { 0: -100, 42: 1.5 },
    stop: "\n",
  };
  assert.equal((await post(app, "/predict", said)).statusCode, 200);
  assert.deepEqual(asked(tasks), {
    kind: "completion",
    text: "x",
    raw: false,
    sampling: {
      maxTokens: 7,
      temperature: 0.5,
      topP: 0.9,
      topK: 0,
      minP: 0,
      seed: 2 ** 32 - 1,
      presencePenalty: -2,
      frequencyPenalty: 2,
      logitBias: { 0: -100, 42: 1.5 },
      stop: ["\n"],
    },
  });
  await post(app, "/predict", { text: "x", temperature: 0, stop: ["a", "b"] });
  assert.deepEqual(asked(tasks), completionOf("x", { temperature: 0, stop: ["a", "b"] }));
  await post(app, "/predict", { text: "x", temperature: 0, stop: [] });
  assert.deepEqual(asked(tasks), completionOf("x", { temperature: 0 }));
});

test("where no seed is named one is drawn, unless the answer is greedy", async (t) => {
  const { app, tasks } = testServer(t);
  await post(app, "/batch_predict", { batch: ["a", "b", { text: "c", seed: 5 }, { text: "d", temperature: 0 }] });
  const [a, b, c, d] = tasks.submitted[0]!.inputs.map(({ request }) => request.sampling.seed);
  assert.ok(Number.isSafeInteger(a) && a! >= 0 && a! < 2 ** 32, String(a));
  assert.notEqual(a, b);
  assert.deepEqual([c, d], [5, undefined]);
});

test("a field that decides nothing is taken, with a warning", async (t) => {
  const { app } = testServer(t);
  const cases: [body: object, warning: string | undefined][] = [
    [{ input: "x", stop: "a", raw: true, top_k: 1 }, "raw, top_k, stop mean nothing beside input."],
    [{ messages: [USER], raw: false, top_k: 1 }, "raw means nothing beside messages."],
    [{ messages: [USER], top_k: 1 }, undefined],
    [{ input: "x", temperature: 0, seed: 1 }, "temperature, seed mean nothing beside input."],
    [{ input: "x", max_length: 128 }, "max_length means nothing beside input."],
    [{ input: "x", temperature: null, max_length: null }, undefined],
    [{ messages: [USER], temperature: 0, max_length: 1 }, undefined],
    [{ text: "x", raw: true }, undefined],
  ];
  for (const [body, warning] of cases) {
    const response = await post(app, "/predict", body);
    assert.deepEqual([response.statusCode, response.headers["x-warning"]], [200, warning]);
  }
});

test("what stands beside a batch holds for all items that do not say otherwise", async (t) => {
  const { app, tasks } = testServer(t);
  const batch = ["a", { text: "b", top_k: 3, raw: false, stop: null }, { messages: [USER], model: "small" }];
  const beside = { top_k: 9, raw: true, stop: ["x"], model: "large" };
  assert.equal((await post(app, "/batch_predict", { batch, ...beside })).statusCode, 200);
  const [a, b, c] = unseeded(tasks.submitted[0]!.inputs);
  assert.deepEqual(a!.request, { ...completionOf("a", { topK: 9, stop: ["x"] }), raw: true });
  assert.deepEqual(b!.request, { ...completionOf("b", { topK: 3, stop: ["x"] }), raw: false });
  const { sampling } = completionOf("", { topK: 9, stop: ["x"] });
  assert.deepEqual(c!.request, { kind: "chat", messages: [USER], sampling });
  assert.deepEqual([a!.model, b!.model, c!.model], ["large", "large", "small"]);
});

const MISFITS: readonly [body: object, sentence: string | RegExp][] = [
  [
    { text: "x", messages: [USER] },
    "messages must not be given beside text: exactly one of text, messages and input must be.",
  ],
  [{ input: "x", text: "x" }, /^input must not be given beside text/],
  [{ input: "x", messages: [USER] }, /^input must not be given beside messages/],
  [{ messages: "hi" }, 'messages must be a list of 1 to 1000 messages, each with role and content; got "hi".'],
  [{ messages: [] }, /^messages must be a list of 1 to 1000 .*; got a list of 0\.$/],
  [{ messages: ["hi"] }, 'messages[0] must be an object with role and content; got "hi".'],
  [
    { messages: [{ role: "system", content: "x" }] },
    'messages must have at least one message with the role "user"; got the roles "system" only.',
  ],
  [
    { messages: [{ role: "developer", content: "x" }] },
    'messages[0].role must be one of "system", "user", "assistant", "tool" (what others call "developer" is "system" here); got "developer".',
  ],
  [{ messages: [{ content: "x" }] }, /^messages\[0\]\.role is missing; it must be one of "system"/],
  [
    { messages: [{ role: "user" }] },
    "messages[0].content is missing or null; it must be a string, or a list of 1 to 1000 text parts.",
  ],
  [{ messages: [{ role: "user", content: null }] }, /^messages\[0\]\.content is missing or null; it must be a string/],
  [{ messages: [{ role: "user", content: [] }] }, /^messages\[0\]\.content must be .*; got a list of 0\.$/],
  [{ messages: [{ role: "user", content: ["x"] }] }, 'messages[0].content[0] must be an object; got "x".'],
  [
    { messages: [USER, { role: "user", content: [{ type: "text" }] }] },
    "messages[1].content[0].text is missing; it must be a string.",
  ],
  [
    { messages: [{ role: "user", content: [{ type: "text", text: "x", cache: 1 }] }] },
    "messages[0].content[0].cache is not a known field; known are type, text.",
  ],
  [{ messages: [{ ...USER, names: "Bo" }] }, "messages[0].names is not a known field; perhaps name was meant."],
  [
    { messages: [USER, { role: "user", content: "12345678901" }] },
    "messages must be at most 12 bytes in UTF-8 in all; got 16 bytes.",
  ],
  [{ input: "" }, 'input must be a string that is not empty, or a list of 1 to 2048 of these; got "".'],
  [{ input: [] }, /^input must be a string .*; got a list of 0\.$/],
  [{ input: ["a", ""] }, 'input[1] must be a string that is not empty; got "".'],
  [{ input: [[1, 2]] }, "input[0] must be a string that is not empty; got a list of 2."],
  [{ input: ["1234567", "123456"] }, "input must be at most 12 bytes in UTF-8 in all; got 13 bytes."],
  [{ text: "x", model: "" }, 'model must be a string that is not empty; got "".'],
  [{ text: "x", raw: "yes" }, 'raw must be true or false; got "yes".'],
  [{ text: "x", temperature: 1.5 }, "temperature must be a number from 0 to 1; got 1.5."],
  [{ text: "x", top_p: 1.1 }, "top_p must be a number from 0 to 1; got 1.1."],
  [{ text: "x", top_k: -1 }, "top_k must be an integer of at least 0; got -1."],
  [{ text: "x", min_p: 2 }, "min_p must be a number from 0 to 1; got 2."],
  [{ text: "x", seed: 2 ** 32 }, "seed must be an integer from 0 to 4294967295; got 4294967296."],
  [{ text: "x", presence_penalty: 3 }, "presence_penalty must be a number from -2 to 2; got 3."],
  [{ text: "x", frequency_penalty: -3 }, "frequency_penalty must be a number from -2 to 2; got -3."],
  [{ text: "x", logit_bias: [1] }, /^logit_bias must be an object of at most 1024 numbers of tokens/],
  [{ text: "x", logit_bias: { hello: 1 } }, /^logit_bias must be an object of at most 1024 numbers of tokens/],
  [{ text: "x", logit_bias: { 15: 101 } }, "logit_bias[15] must be a number from -100 to 100; got 101."],
  [{ text: "x", stop: "" }, 'stop must be a string that is not empty, or a list of at most 16 of these; got "".'],
  [{ text: "x", stop: ["a", ""] }, 'stop[1] must be a string that is not empty; got "".'],
  [{ text: "x", stop: Array.from({ length: 17 }, () => "x") }, /^stop must be .*; got a list of 17\.$/],
  [{ text: "x", stop: "x".repeat(257) }, "stop must be at most 256 bytes in UTF-8; got 257 bytes."],
  [{ text: "x", stop_sequences: ["a"] }, "stop_sequences is not a known field; perhaps stop was meant."],
  [{ text: "x", topk: 1 }, "topk is not a known field; perhaps top_k was meant."],
  [{ text: "x", repeat_penalty: 1 }, "repeat_penalty is not a known field; perhaps frequency_penalty was meant."],
  [{ message: "x" }, "message is not a known field; perhaps messages was meant."],
  [{ inputs: "x" }, "inputs is not a known field; perhaps text was meant."],
  [{ text: "x", n: 2 }, /^n is not a known field; known are text, messages, input, raw, model, max_length/],
];

test("what does not go together, or is too much, is refused with a sentence", async (t) => {
  const { app, tasks } = testServer(t, testConfig("limits: { max_text_bytes: 12 }"));
  for (const [body, sentence] of MISFITS) {
    for (const [path, sent] of [
      ["/predict", body],
      ["/batch_predict", { batch: ["x", body] }],
    ] as const) {
      const said = refusal(await post(app, path, sent), 400, "invalid_input");
      const told = path === "/predict" ? said : said.replace(/^batch\[1\]\.?/, "");
      if (path !== "/predict") assert.match(said, /^batch\[1\]/);
      if (typeof sentence === "string") assert.equal(told, sentence);
      else assert.match(told, sentence);
    }
  }
  const beside = refusal(await post(app, "/batch_predict", { batch: ["x"], stop: "" }), 400, "invalid_input");
  assert.match(beside, /^stop must be a string that is not empty/);
  const whole = refusal(await post(app, "/batch_predict", { input: ["x"] }), 400, "invalid_input");
  assert.equal(whole, "input is not a known field; perhaps batch was meant.");
  assert.equal(tasks.submitted.length, 0);
});

test("a part of a message that is no text is refused by its type", async (t) => {
  const { app } = testServer(t);
  const image = { role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] };
  const sentence =
    /messages\[0\]\.content\[0\] is a part of the type "image_url", which no model here can take; allowed are/;
  assert.match(refusal(await post(app, "/predict", { messages: [image] }), 400, "unsupported"), sentence);
  const said = refusal(await post(app, "/batch_predict", { batch: [{ messages: [image] }] }), 400, "unsupported");
  assert.match(said, sentence);
  assert.match(said, /^batch\[0\]/);
});

test("a batch of conversations may be as large as one of texts", async (t) => {
  const { app } = testServer(t);
  const messages = Array.from({ length: 12 }, () => ({ role: "user", content: [{ type: "text", text: "x" }] }));
  const response = await post(app, "/batch_predict", { batch: Array.from({ length: 1000 }, () => ({ messages })) });
  assert.equal(response.statusCode, 200, response.body);
});

test("a task shows its model, all that was said of sampling, and the seed", async (t) => {
  const { app, tasks } = testServer(t);
  const sampling = { maxTokens: TO_THE_END, temperature: 0.5, topK: 3, seed: 7, stop: ["."], logitBias: { 5: -1 } };
  tasks.tasks = [aTask({ sampling, model: "small" })];
  const shown = { max_length: null, temperature: 0.5, top_k: 3, seed: 7, stop: ["."], logit_bias: { 5: -1 } };
  const waiting = (await get(app, `/task/${ID}`)).json<Record<string, unknown>>();
  for (const [name, value] of Object.entries({ ...shown, model: "small" })) assert.deepEqual(waiting[name], value);
  assert.ok(!("top_p" in waiting) && !("result" in waiting));
  // The one that ran it is the one that matters.
  tasks.tasks = [aCompletedTask({ sampling, model: null, ranModel: "large" })];
  const ran = (await get(app, `/task/${ID}`)).json<{ model: string; result: { seed: number } }>();
  assert.deepEqual([ran.model, ran.result.seed], ["large", 7]);
  const listed = (await get(app, "/tasks")).json<{ tasks: Record<string, unknown> }>().tasks[ID];
  assert.deepEqual(listed, ran);
  tasks.tasks = [aCompletedTask()];
  assert.ok(!("model" in (await get(app, `/task/${ID}`)).json<object>()));
});

test("a result has its reasoning and its vectors, which a webhook is not sent", async (t) => {
  const { app, tasks } = testServer(t);
  const { result } = aCompletedTask();
  const vectors = { embeddings: [unitVector([3, 4]), unitVector([0, -1])] };
  const webhook = { url: "http://localhost/", events: ["task.completed"] } as const;
  const task = aCompletedTask({ webhook, result: { ...result!, text: "", reasoning: "hm", ...vectors } });
  tasks.tasks = [task];
  type Shown = { result: { text: string; reasoning: string; embeddings: number[][] } };
  const shown = (await get(app, `/task/${ID}`)).json<Shown>().result;
  assert.deepEqual([shown.text, shown.reasoning], ["", "hm"]);
  assert.deepEqual(shown.embeddings, [
    [Math.fround(0.6), Math.fround(0.8)],
    [0, -1],
  ]);
  const [delivery] = announcer({ now: () => 0, ahead: 0 } as Clock).ofTask({ ...task, attempts: [...task.attempts] });
  const { data } = JSON.parse(delivery!.body) as { data: Shown };
  assert.equal(data.result.reasoning, "hm");
  assert.ok(!("embeddings" in data.result));
});

test("conversations and inputs are answered by the server as it runs, and a retry asks for the very same", async (t) => {
  const config = "engine: { simulated: { tokens_per_second: 0 } }";
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  const messages = [{ role: "user", content: [{ type: "text", text: "hello" }] }];
  const first = await server.run({ messages, max_length: 5, stop: "zzz", model: "simulated" });
  assert.equal(first.status, "completed");
  const { body } = await server.request<{ task_id: string }>("POST", `/api/v1/task/${first.task_id}/retry`);
  const again = await server.ended(body.task_id);
  assert.equal(again.retry_of, first.task_id);
  for (const name of ["model", "seed", "stop", "max_length", "temperature"] as const) {
    assert.ok(first[name] !== undefined, name);
    assert.deepEqual(again[name], first[name], name);
  }
  assert.deepEqual([again.result?.text, again.result?.seed], [first.result?.text, first.seed]);
  const { result } = await server.run({ input: ["hello", "you"] });
  assert.deepEqual([result?.text, result?.embeddings?.length], ["", 2]);
  const { body: all } = await server.request<TasksAnswer>("GET", "/api/v1/tasks");
  const kinds = Object.values(all.tasks).map(({ kind, max_length, temperature }) => [kind, max_length, temperature]);
  assert.deepEqual(kinds, [
    ["embedding", undefined, undefined],
    [undefined, 5, 0.7],
    [undefined, 5, 0.7],
  ]);
  for (const vector of result!.embeddings!) assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-6);
});
