/** What callers hear of their limits, and the other way to send a key. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { unset } from "../src/common/clock.ts";
import { Callers } from "../src/scheduler/callers.ts";
import { openAiHeaders, standardHeaders } from "../src/http/rate-limits.ts";
import { aTask, API, AS, FakeRun, get, ID, KEYS, post, refusal, testConfig, testServer } from "./helpers/http.ts";
import { startLocalServer } from "./helpers/local-server.ts";

const LIMITS = testConfig("callers: { users: { user: { requests_per_minute: 60 } } }");
const NAMES = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy"];

function callers(requestsPerMinute: number | null, tokensPerMinute: number | null) {
  const limits = { weight: 1, maxQueued: null, maxQueuedKey: "", maxRunning: null, requestsPerMinute, tokensPerMinute };
  let now = 0;
  const made = new Callers(
    { limitsOf: () => limits },
    unset(() => now),
  );
  return { callers: made, later: (seconds: number) => (now += 1000 * seconds) };
}

test("what is left is what can still be taken, and fills steadily", () => {
  const { callers: all, later } = callers(60, null);
  assert.deepEqual(all.ratesOf("bo"), { requests: { limit: 60, remaining: 60, resetSeconds: 0 }, tokens: null });
  for (let i = 0; i < 60; i++) all.countRequest("bo");
  assert.deepEqual(all.ratesOf("bo").requests, { limit: 60, remaining: 0, resetSeconds: 60 });
  assert.throws(() => all.countRequest("bo"), { code: "rate_limited" });
  later(2);
  assert.deepEqual(all.ratesOf("bo").requests, { limit: 60, remaining: 2, resetSeconds: 58 });
  all.countRequest("bo");
  all.countRequest("bo");
  assert.equal(all.ratesOf("bo").requests?.remaining, 0);
  assert.equal(all.ratesOf("cy").requests?.remaining, 60, "each caller has its own");
});

test("the headers name the limit that is nearer to its end, and all limits as policies", () => {
  const requests = { limit: 60, remaining: 30, resetSeconds: 29.5 };
  const tokens = { limit: 1000, remaining: 100, resetSeconds: 54 };
  assert.deepEqual(standardHeaders({ requests, tokens }), {
    "ratelimit-limit": "1000",
    "ratelimit-remaining": "100",
    "ratelimit-reset": "54",
    "ratelimit-policy": '60;w=60;comment="requests", 1000;w=60;comment="tokens"',
  });
  assert.deepEqual(standardHeaders({ requests, tokens: null }), {
    "ratelimit-limit": "60",
    "ratelimit-remaining": "30",
    "ratelimit-reset": "30",
    "ratelimit-policy": '60;w=60;comment="requests"',
  });
  assert.deepEqual(openAiHeaders({ requests, tokens: null }), {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "30",
    "x-ratelimit-reset-requests": "29.5s",
  });
  assert.deepEqual(
    [standardHeaders, openAiHeaders].map((of) => of({ requests: null, tokens: null })),
    [{}, {}],
  );
});

test("every answer to a caller that has limits says what is left, refusals and streams as well", async (t) => {
  const { app, tasks } = testServer(t, LIMITS);
  const run = new FakeRun();
  tasks.tasks = [aTask({ status: "running" })];
  tasks.runs.set(ID, run);
  tasks.rates = { requests: { limit: 60, remaining: 59, resetSeconds: 1 }, tokens: null };
  run.once("followed", () => setImmediate(() => run.close()));
  const stream = await get(app, `/task/${ID}/events`);
  assert.match(String(stream.headers["content-type"]), /event-stream/);
  const answers = [
    stream,
    await post(app, "/predict", { text: "x" }),
    await post(app, "/predict", {}),
    await get(app, "/tasks"),
  ];
  for (const { headers } of answers) {
    assert.deepEqual(
      NAMES.map((name) => headers[name]),
      ["60", "59", "1", '60;w=60;comment="requests"'],
    );
  }
  const unknown = await get(app, "/tasks", {});
  refusal(unknown, 401, "unauthorized");
  tasks.rates = { requests: null, tokens: null };
  const free = await get(app, "/tasks", AS.admin);
  for (const { headers } of [unknown, free]) assert.ok(!NAMES.some((name) => name in headers));
});

test("under /v1 the same figures have OpenAI's names", async (t) => {
  const { app, tasks } = testServer(t, LIMITS);
  tasks.rates = { requests: { limit: 60, remaining: 59, resetSeconds: 1 }, tokens: null };
  const { headers } = await app.inject({ url: "/v1/models", headers: AS.user });
  assert.equal(headers["x-ratelimit-remaining-requests"], "59");
  assert.ok(!NAMES.some((name) => name in headers));
});

test("the figures are those after the submission, in the server as it runs", async (t) => {
  const config = "callers: { defaults: { requests_per_minute: 2 } }\nengine: { simulated: { tokens_per_second: 0 } }";
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  const left: (string | null)[] = [];
  for (const expected of [200, 200, 429]) {
    const { status, headers } = await server.request("POST", "/api/v1/predict", { body: { text: "x" } });
    assert.equal(status, expected);
    left.push(headers.get("ratelimit-remaining"));
  }
  assert.deepEqual(left, ["1", "0", "0"]);
});

test("a key may come as x-api-key, which counts where there is no Authorization header", async (t) => {
  const { app } = testServer(t);
  assert.equal((await get(app, "/tasks", { "x-api-key": KEYS.user })).statusCode, 200);
  assert.equal((await app.inject({ url: "/openapi.json", headers: { "x-api-key": KEYS.viewer } })).statusCode, 200);
  refusal(await post(app, "/predict", { text: "x" }, { "x-api-key": KEYS.viewer }), 403, "forbidden");
  const wrong: Record<string, string>[] = [
    { "x-api-key": "altlas_wrong" },
    { "x-api-key": "" },
    { "x-api-key": KEYS.user, authorization: "Bearer altlas_wrong" },
  ];
  for (const headers of wrong) {
    refusal(await app.inject({ url: `${API}/tasks`, headers }), 401, "unauthorized");
  }
});
