/** The figures for Prometheus, of a whole server in the test's own process. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRORS } from "../src/errors.ts";
import { AS, testConfig, testServer } from "./helpers/http.ts";
import { type Series, seriesOf, valueOf } from "./helpers/exposition.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";
import { deadline } from "./helpers/server-handle.ts";

async function scrape(server: LocalServer): Promise<Series[]> {
  const headers = { authorization: `Bearer ${server.key}` };
  const answer = await fetch(`${server.url}/metrics`, { headers, signal: deadline() });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  return seriesOf(await answer.text());
}

test("a task is counted: its placement, its wait, its tokens, its end", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const { result } = await server.run({ text: "hello there", max_length: 5 });
  const series = await scrape(server);
  const value = (name: string, labels?: Series["labels"]): number => valueOf(series, `altlas_${name}`, labels);
  assert.equal(value("placements_total", { strategy: "least_loaded", gpu: "0" }), 1);
  assert.equal(value("tasks_ended_total", { status: "completed", model: "simulated" }), 1);
  assert.equal(value("tokens_total", { kind: "completion", model: "simulated" }), 5);
  assert.equal(value("tokens_total", { kind: "prompt" }), result!.usage.prompt_tokens);
  assert.equal(value("user_tokens_total", { user: "admin", kind: "completion" }), 5);
  assert.equal(value("user_tasks_total", { user: "admin" }), 1);
  for (const name of ["queue_wait", "time_to_first_token", "task_duration"])
    assert.equal(value(`${name}_seconds_count`), 1, name);
  assert.ok(value("store_commit_seconds_count") > 0);
  assert.equal(value("tasks", { status: "completed" }), 1);
  assert.equal(value("tasks", { status: "queued" }), 0);
  assert.equal(value("queue_depth"), 0);
  assert.equal(value("queue_oldest_seconds"), 0);
  assert.equal(value("ready"), 1);
  assert.equal(value("http_requests_total", { route: "predict", status: "200" }), 1);
  assert.equal(value("http_requests_open"), 1, "this scrape");
});

test("the figures of GPUs have the contract's labels, and what a device does not tell has no series", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:2" });
  await server.loaded();
  const series = await scrape(server);
  const slots = series.filter(({ name }) => name === "altlas_gpu_slots");
  assert.deepEqual(
    slots.map(({ labels: { gpu, gpu_uuid, name } }) => ({ gpu, gpu_uuid, name })),
    [0, 1].map((id) => ({ gpu: `${id}`, gpu_uuid: `SIMULATED-${id}`, name: `Simulated device ${id}` })),
  );
  assert.ok(slots.every(({ labels: { machine } }) => machine !== undefined && machine !== ""));
  assert.equal(valueOf(series, "altlas_gpu_state", { gpu: "1", state: "ready" }), 1);
  assert.equal(valueOf(series, "altlas_gpu_state", { gpu: "1" }), 1, "it is in one state");
  assert.equal(valueOf(series, "altlas_model_instances", { model: "simulated", state: "ready" }), 2);
  assert.ok(Number.isNaN(valueOf(series, "altlas_gpu_temperature_celsius")));
});

test("tasks that wait, are cut off, fail or are canceled are counted as such", async (t) => {
  const server = await startLocalServer(t, {
    config: "tasks: { max_attempts: 2, retry_backoff: 0 }\ngpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }",
    devices: "simulated:1",
  });
  await server.loaded();
  const running = await server.predict({ text: "a", max_length: 100_000 });
  const waiting = await server.predict({ text: "b", max_length: 5 });
  assert.equal(valueOf(await scrape(server), "altlas_queue_depth"), 1);
  assert.equal(valueOf(await scrape(server), "altlas_tasks", { status: "running" }), 1);
  await server.request("POST", `/api/v1/task/${waiting.task_id}/cancel`);
  for (const times of [2, 3]) {
    server.signalWorker(0, "SIGKILL");
    await server.became(0, "ready", times);
  }
  await server.ended(running.task_id);
  const series = await scrape(server);
  assert.equal(valueOf(series, "altlas_task_retries_total", { reason: "worker_crash" }), 1);
  assert.equal(valueOf(series, "altlas_task_failures_total", { code: "poison" }), 1);
  assert.equal(valueOf(series, "altlas_tasks_ended_total", { status: "failed" }), 1);
  assert.equal(valueOf(series, "altlas_tasks_ended_total", { status: "canceled", model: "none" }), 1);
  assert.equal(valueOf(series, "altlas_gpu_worker_restarts_total"), 2);
  assert.equal(valueOf(series, "altlas_task_duration_seconds_count"), 2);
});

test("refusals are counted by the codes of the error table, whatever was asked", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  await server.request("POST", "/api/v1/predict", { body: { text: "" } });
  await server.request("GET", "/api/v1/a-route-that-nobody-knows");
  await server.request("GET", "/api/v1/another-one");
  await server.request("POST", "/v1/chat/completions", { body: { model: "unheard-of", messages: [] } });
  const series = await scrape(server);
  assert.equal(valueOf(series, "altlas_refusals_total", { code: "not_found" }), 2);
  assert.equal(valueOf(series, "altlas_refusals_total"), 4);
  for (const { name, labels } of series) {
    if (name === "altlas_refusals_total") assert.ok(Object.hasOwn(ERRORS, labels["code"]!), labels["code"]);
    assert.ok(!Object.values(labels).some((value) => /nobody|another|unheard/.test(value)), name);
  }
  assert.equal(valueOf(series, "altlas_http_requests_total", { route: "unknown", status: "404" }), 2);
});

async function metrics(): Promise<{ contentType: string; text: string }> {
  return { contentType: "text/plain; version=0.0.4; charset=utf-8", text: "up 1\n" };
}

test("metrics are for admins and viewers, and for everybody when they are public", async (t) => {
  const { app } = testServer(t, testConfig(), { metrics });
  for (const role of ["admin", "viewer"] as const) {
    const answer = await app.inject({ url: "/metrics", headers: AS[role] });
    assert.equal(answer.body, "up 1\n");
  }
  const refused = await app.inject({ url: "/metrics", headers: AS.user });
  assert.equal(refused.statusCode, 403);
  assert.equal(refused.json().error, "Reading metrics needs the role admin or viewer; user has the role user.");
  assert.equal((await app.inject("/metrics")).statusCode, 401);
  const { app: open } = testServer(t, testConfig("metrics: { public: true }"), { metrics });
  assert.equal((await open.inject("/metrics")).statusCode, 200);
});

test("public metrics name no user", async (t) => {
  const server = await startLocalServer(t, { config: "metrics: { public: true }", devices: "simulated:1" });
  await server.run({ text: "hello", max_length: 2 });
  const series = seriesOf(await (await fetch(`${server.url}/metrics`)).text());
  assert.equal(valueOf(series, "altlas_tasks_ended_total"), 1);
  assert.ok(series.every(({ labels }) => labels["user"] === undefined));
});

test("without metrics nothing is counted, and the answer says why", async (t) => {
  const server = await startLocalServer(t, { config: "metrics: { enabled: false }", devices: "simulated:1" });
  const { status, body } = await server.request("GET", "/metrics");
  assert.deepEqual([status, body.error], [404, "There are no metrics: metrics.enabled is false."]);
});
