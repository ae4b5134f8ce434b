/** `POST /predict?dry_run=true`, and `GET /callers`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hashApiKey } from "../src/auth/secrets.ts";
import { AltLasError } from "../src/errors.ts";
import { API, AS, get, post, refusal, testServer } from "./helpers/http.ts";
import { startLocalServer } from "./helpers/local-server.ts";

const DRY = "/predict?dry_run=true";

interface Dry {
  readonly gpu_id: number | null;
  readonly status: string;
  readonly placement: object | null;
  readonly waiting: { readonly reason: string; readonly ahead: number } | null;
}

test("a dry run is asked what was submitted, and answers where it would go, or why it would wait", async (t) => {
  const { app, tasks } = testServer(t);
  const candidates = [{ gpuId: 1, score: 0 }];
  const placement = { strategy: "least_loaded", gpuId: 1, reason: "So.", candidates, others: { busy: 1 } } as const;
  tasks.dry = { gpuId: 1, placement, wait: null };
  const body = { text: "x", priority: "high", gpu_options: { strategy: "random", specific_gpu_id: 1 } };
  assert.deepEqual((await post(app, DRY, body)).json(), {
    gpu_id: 1,
    status: "running",
    placement: {
      strategy: "least_loaded",
      gpu_id: 1,
      reason: "So.",
      candidates: [{ gpu_id: 1, score: 0 }],
      others: { busy: 1 },
    },
    waiting: null,
  });
  const [asked] = tasks.rehearsed;
  assert.deepEqual(
    [asked!.inputs[0]!.priority, asked!.options.strategy, asked!.options.pinnedGpuId, asked!.options.user],
    ["high", "random", 1, "user"],
  );
  const wait = { reason: "gpu_busy", sentence: "Full.", detail: "inside", since: 0, ahead: 3 } as const;
  tasks.dry = { gpuId: null, placement: null, wait };
  const waiting = { reason: "gpu_busy", sentence: "Full.", since: "1970-01-01T00:00:00.000Z", ahead: 3 };
  const queued = { gpu_id: null, status: "queued", placement: null, waiting };
  const response = await post(
    app,
    DRY,
    { text: "x", stream: true },
    { ...AS.user, prefer: "wait=5", "idempotency-key": "k" },
  );
  assert.deepEqual(response.json(), queued);
  assert.equal(response.headers["content-type"], "application/json; charset=utf-8");
});

test("it makes nothing and counts for nothing, but is refused as a submission is", async (t) => {
  const { app, tasks, webhooks } = testServer(t);
  await post(app, DRY, { text: "x" });
  assert.deepEqual([tasks.submitted, tasks.counted], [[], []]);
  await post(app, "/predict?dry_run=false", { text: "x" });
  assert.deepEqual([tasks.submitted.length, tasks.counted], [1, ["user"]]);
  refusal(await post(app, DRY, {}), 400, "invalid_input");
  webhooks.failure = new AltLasError("invalid_input", "webhook_url must be another one.");
  refusal(await post(app, DRY, { text: "x", webhook_url: "ftp://here" }), 400, "invalid_input");
  refusal(await post(app, DRY, { text: "x" }, { ...AS.user, "idempotency-key": "é" }), 400, "invalid_input");
  refusal(await post(app, "/predict?dry_run=1", { text: "x" }), 400, "invalid_input");
  refusal(await post(app, "/batch_predict?dry_run=true", { batch: ["x"] }), 400, "invalid_input");
  const asViewer = await app.inject({ method: "POST", url: API + DRY, headers: AS.viewer, payload: { text: "x" } });
  refusal(asViewer, 403, "forbidden");
  tasks.overLimit = new AltLasError("rate_limited", "Too many.", { retryAfter: 3 });
  const limited = await post(app, DRY, { text: "x" });
  refusal(limited, 429, "rate_limited");
  assert.equal(limited.headers["retry-after"], "3");
  tasks.overLimit = undefined;
  tasks.failure = new AltLasError("no_usable_gpu", "No GPU can run tasks.");
  refusal(await post(app, DRY, { text: "x" }), 503, "no_usable_gpu");
  assert.equal(tasks.submitted.length, 1);
});

test("a real server says what a submission then does, and is as it was before", async (t) => {
  const config = "gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }\nlog: { level: debug }";
  const server = await startLocalServer(t, { devices: "simulated:2", config });
  const dry = async (body: object): Promise<Dry & { readonly code?: string }> =>
    (await server.request<Dry>("POST", `${API}${DRY}`, { body })).body;
  const turns = { text: "x", max_length: 100_000, gpu_options: { strategy: "round_robin" } };
  for (const gpu of [0, 1]) {
    const [first, second] = [await dry(turns), await dry(turns)];
    assert.deepEqual(first, second);
    const { task_id, gpu_id, status } = await server.predict(turns);
    assert.deepEqual([first.gpu_id, first.status], [gpu_id, status]);
    assert.equal(gpu_id, gpu);
    assert.deepEqual(first.placement, (await server.task(task_id)).placement);
  }
  const before = await dry(turns);
  assert.deepEqual([before.gpu_id, before.status, before.placement], [null, "queued", null]);
  const { task_id } = await server.predict(turns);
  const { since: _then, ...waiting } = (await server.task(task_id)).waiting!;
  const { since: _now, ...expected } = before.waiting as unknown as typeof waiting & { since: string };
  assert.deepEqual(waiting, expected);
  assert.equal((await dry({ text: "x", model: "nowhere" })).code, "model_not_found");
  assert.equal((await server.tasks()).total, 3);
  assert.equal(server.log.filter(({ msg }) => msg === "task accepted").length, 3);
});

test("callers are shown with what they have and may have: all to admins and viewers, a user to itself", async (t) => {
  const config = `
callers: { defaults: { tokens_per_minute: 1000000 }, users: { bob: { weight: 3, max_running: 1, max_queued: 7 } } }
auth:
  users: [{ name: ada, role: admin }, { name: bob, role: user }]
  keys: [{ name: a, user: ada, sha256: "${hashApiKey("adas-key")}" }, { name: k, user: bob, sha256: "${hashApiKey("bobs-key")}" }]
gpu: { multi_gpu: { max_queue_size: 100 } }`;
  const server = await startLocalServer(t, { devices: "simulated:1", config });
  server.key = "adas-key";
  const asBob = { authorization: "Bearer bobs-key" };
  const long = { text: "x", max_length: 100_000 };
  await server.predict(long);
  for (let count = 0; count < 2; count++) await server.predict(long, asBob);
  const ada = {
    user: "ada",
    running: 1,
    queued: 0,
    share: 0.25,
    limits: { weight: 1, max_running: null, max_queued: 50, requests_per_minute: null, tokens_per_minute: 1_000_000 },
  };
  const bob = {
    user: "bob",
    running: 1,
    queued: 1,
    share: 0.75,
    limits: { weight: 3, max_running: 1, max_queued: 7, requests_per_minute: null, tokens_per_minute: 1_000_000 },
  };
  const path = `${API}/callers`;
  assert.deepEqual((await server.request("GET", path)).body, { callers: [ada, bob], teams: [], budgets: [] });
  assert.deepEqual((await server.request("GET", path, { headers: asBob })).body, {
    callers: [bob],
    teams: [],
    budgets: [],
  });
  const { app, tasks } = testServer(t);
  tasks.callersKnown = ["other", "user"].map((user) => ({
    user,
    running: 0,
    queued: 0,
    share: 0,
    limits: { weight: 1, maxRunning: null, maxQueued: 1, requestsPerMinute: null, tokensPerMinute: null },
  }));
  const usersSeen = async (as: (typeof AS)["user"]): Promise<string[]> =>
    (await get(app, "/callers", as)).json<{ callers: { user: string }[] }>().callers.map(({ user }) => user);
  assert.deepEqual(await usersSeen(AS.viewer), ["other", "user"]);
  assert.deepEqual(await usersSeen(AS.user), ["user"]);
  refusal(await get(app, "/callers?user=bob"), 400, "invalid_input");
});
