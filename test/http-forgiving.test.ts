/** What people type: paths that are nearly right, batches in their short forms, waits that are too long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { completionOf } from "../src/request.ts";
import { API, AS, aTask, get, ID, OTHER_ID, post, refusal, testConfig, testServer, unseeded } from "./helpers/http.ts";

test("slashes that are doubled or at the end of a path mean nothing, and a POST keeps its body", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask()];
  const payload = { text: "x" };
  for (const url of [`${API}/predict/`, `//${API}//predict`, `${API}/predict/?`]) {
    const response = await app.inject({ method: "POST", url, headers: AS.user, payload });
    assert.equal(response.statusCode, 200, `${url}: ${response.body}`);
  }
  assert.equal(tasks.submitted.length, 3);
  assert.equal((await get(app, `/task/${ID}/`)).statusCode, 200);
  assert.ok(Array.isArray((await get(app, "/gpus/")).json<{ gpus: unknown }>().gpus));
  assert.equal((await app.inject("/livez/")).statusCode, 200);
  assert.match(refusal(await post(app, "/gpus/", {}), 405, "method_not_allowed"), /\/api\/v1\/gpus allows GET, HEAD/);
});

test("a path that is nearly one of ours is told which", async (t) => {
  const { app } = testServer(t);
  const cases: [method: "GET" | "POST" | "DELETE", url: string, meant: string | null][] = [
    ["GET", `${API}/tasks/${ID}`, "GET /api/v1/task/{task_id}"],
    ["DELETE", `${API}/tasks/${ID}`, "DELETE /api/v1/task/{task_id}"],
    ["GET", `${API}/batches`, "GET /api/v1/batch/{batch_id}"],
    ["GET", `${API}/gpu`, "GET /api/v1/gpus"],
    ["POST", "/predict", "POST /api/v1/predict"],
    ["GET", "/gpus", "GET /api/v1/gpus"],
    ["GET", `${API}${API}/gpus`, "GET /api/v1/gpus"],
    ["GET", `${API}/openapi.json`, "GET /openapi.json"],
    ["GET", "/health", "GET /healthz"],
    ["GET", `${API}/Tasks`, "GET /api/v1/tasks"],
    ["GET", `${API}/nothing`, null],
    ["GET", `/${"a/".repeat(1000)}`, null],
  ];
  for (const [method, url, meant] of cases) {
    const sentence = refusal(await app.inject({ method, url, headers: AS.user }), 404, "not_found");
    const hint = meant === null ? /\.$/ : ` Perhaps ${meant} was meant.`;
    if (typeof hint === "string") assert.ok(sentence.endsWith(hint), sentence);
    else assert.doesNotMatch(sentence, /Perhaps/, sentence);
  }
});

test("a path of an API that is off says what switches it on", async (t) => {
  const { app } = testServer(t);
  const told = async (url: string, made = app) =>
    refusal(await made.inject({ method: "POST", url, headers: AS.user }), 404, "not_found");
  const off = `Ollama's API is off here; "api.ollama: true" in the configuration switches it on at the next start.`;
  for (const path of ["/api/tags", "/api/chat", "/api/show/"]) {
    const sentence = await told(path);
    assert.ok(sentence.endsWith(` ${off}`), sentence);
  }
  assert.doesNotMatch(await told("/api/nothing"), /Ollama/);
  const below = { method: "POST", url: "/v1/api/chat", headers: AS.user } as const;
  const failure = (await app.inject(below)).json<{ error: { message: string } }>();
  assert.ok(failure.error.message.endsWith(`${off} Its paths have no /v1 before them.`), failure.error.message);
  const on = testServer(t, testConfig("api: { ollama: true }")).app;
  const meant = (await on.inject(below)).json<{ error: { message: string } }>();
  assert.equal(meant.error.message, "There is no route POST /v1/api/chat. Perhaps POST /api/chat was meant.");
});

test("what cannot be the id of a response is no path of one", async (t) => {
  const { app } = testServer(t);
  const asked = async (url: string) => {
    const response = await app.inject({ method: "POST", url, headers: AS.user });
    return [response.statusCode, response.json<{ error: { message: string } }>().error.message];
  };
  for (const name of ["input_tokens", "compact"])
    assert.deepEqual(await asked(`/v1/responses/${name}`), [404, `There is no route POST /v1/responses/${name}.`]);
  assert.equal((await asked(`/v1/responses/resp_${"0".repeat(32)}`))[0], 405);
});

test("a preflight of a page that may not call says which key would let it", async (t) => {
  const { app } = testServer(t);
  const ask = { origin: "https://app.example", "access-control-request-method": "POST" };
  const response = await app.inject({ method: "OPTIONS", url: `${API}/predict`, headers: ask });
  assert.match(refusal(response, 405, "method_not_allowed"), /server\.cors_origins/);
  const plain = await app.inject({ method: "OPTIONS", url: `${API}/predict` });
  assert.doesNotMatch(refusal(plain, 405, "method_not_allowed"), /cors_origins/);
});

test("an item of a batch may be its text, and what stands beside the batch holds for items that do not say otherwise", async (t) => {
  const { app, tasks } = testServer(t, testConfig("tasks: { timeout: 60 }"));
  const body = {
    batch: ["a", { text: "b", max_length: 5, priority: null }, { text: "c", temperature: 0, timeout_seconds: 9 }],
    max_length: 77,
    temperature: 0.25,
    task_type: "summary",
    priority: "high",
    timeout_seconds: null,
  };
  assert.equal((await post(app, "/batch_predict", body)).statusCode, 200);
  const shared = { taskType: "summary", priority: "high", model: null };
  assert.deepEqual(unseeded(tasks.submitted[0]!.inputs), [
    { request: completionOf("a", { maxTokens: 77, temperature: 0.25 }), timeoutSeconds: 60, ...shared },
    { request: completionOf("b", { maxTokens: 5, temperature: 0.25 }), timeoutSeconds: 60, ...shared },
    { request: completionOf("c", { maxTokens: 77, temperature: 0 }), timeoutSeconds: 9, ...shared },
  ]);
  // Without any, an item is as it always was.
  assert.equal((await post(app, "/batch_predict", { batch: ["a"] })).statusCode, 200);
  const [plain] = unseeded(tasks.submitted[1]!.inputs);
  assert.deepEqual(
    [plain?.request.sampling, plain?.taskType],
    [{ maxTokens: 128, temperature: 0.7 }, "text_generation"],
  );
});

test("the short forms of a batch are refused as the long ones are", async (t) => {
  const { app, tasks } = testServer(t, testConfig("limits: { max_text_bytes: 10 }"));
  const said = async (body: object): Promise<string> =>
    refusal(await post(app, "/batch_predict", body), 400, "invalid_input");
  assert.match(await said({ batch: ["x", "ğüşıöç"] }), /^batch\[1\]\.text must be at most 10 bytes/);
  assert.match(await said({ batch: ["x"], temperature: 2 }), /^temperature must be a number from 0 to 1; got 2/);
  assert.match(await said({ batch: ["x"], text: "y" }), /^text is not a known field/);
  assert.match(
    await said({ batch: [["x"]] }),
    /^batch\[0\] must be an object with text, messages or input, or a text alone/,
  );
  assert.match(await said({ batch: { length: 1 }, max_length: 5 }), /^batch must be a list/);
  assert.equal(tasks.submitted.length, 0);
});

test("?wait and Prefer: wait are cut to 300 seconds alike, and say so", async (t) => {
  const { app, tasks } = testServer(t);
  tasks.tasks = [aTask({ status: "running" })];
  tasks.onWait = async () => tasks.tasks[0]!;
  for (const [wait, seconds] of [
    ["1000", 300],
    ["12.5", 12.5],
    ["99999999999999999999", 300],
  ] as const) {
    const response = await get(app, `/task/${ID}?wait=${wait}`);
    assert.equal(response.headers["preference-applied"], `wait=${seconds}`);
    assert.equal(tasks.waits.at(-1)?.seconds, seconds);
  }
  const preferred = await post(app, "/predict", { text: "x" }, { ...AS.user, prefer: "wait=1000" });
  assert.equal(preferred.headers["preference-applied"], "wait=300");
  assert.equal((await get(app, `/task/${ID}`)).headers["preference-applied"], undefined);
  refusal(await get(app, `/task/${OTHER_ID}?wait=1000`), 404, "not_found");
});
