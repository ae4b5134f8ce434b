/** The life of tasks as their clients see it: canceled, late, read along, told to others, sent twice; also over restarts. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { type AddressInfo } from "node:net";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type BatchView } from "../../src/http/schemas/batches.ts";
import { type BatchAnswer } from "../../src/http/schemas/submissions.ts";
import { type TaskSummary, type TaskView } from "../../src/http/schemas/tasks.ts";
import { LiveClient, type ServerEvent } from "../helpers/events.ts";
import { runCommand } from "../helpers/command.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { withStore } from "../helpers/store-section.ts";
import { Server } from "../helpers/server.ts";
import { type ServerHandle } from "../helpers/server-handle.ts";

const ONE_SLOT = "gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }";

interface Reading {
  /** Of a submission that is read at once. */
  readonly body?: object;
  readonly headers?: Record<string, string>;
  /** The event after which the reader leaves; none: it stays to the end. */
  readonly until?: (event: ServerEvent) => boolean;
}

async function events(
  server: ServerHandle,
  path: string,
  { body, headers, until }: Reading = {},
): Promise<ServerEvent[]> {
  const client = await LiveClient.open(Number(new URL(server.url).port), `/api/v1${path}`, {
    headers: { authorization: `Bearer ${server.key}`, "content-type": "application/json", ...headers },
    ...(body && { method: "POST", body: JSON.stringify(body) }),
  });
  assert.equal(client.headers["content-type"], "text/event-stream; charset=utf-8");
  const all: ServerEvent[] = [];
  for (let event = await client.next(); event !== null; event = await client.next()) {
    all.push(event);
    if (until?.(event) === true) break;
  }
  client.leave();
  return all;
}

const textOf = (all: readonly ServerEvent[]): string =>
  all.map(({ event, data }) => (event === "token" ? String(data["text"]) : "")).join("");

const cancel = (server: ServerHandle, id: string) => server.request<TaskView>("POST", `/api/v1/task/${id}/cancel`);

// --- canceled ----------------------------------------------------------------------------------------------------

test("a canceled task keeps its text, its neighbours complete, and its slot serves the next one", async (t) => {
  const config = `
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 2 } }
    engine: { simulated: { tokens_per_second: 1000 } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.loaded();
  const long = await server.predict({ text: "the same", max_length: 20_000 });
  const neighbour = await server.predict({ text: "the same", max_length: 500 });
  const waiting = await server.predict({ text: "x", max_length: 10 });
  assert.equal(waiting.status, "queued");
  await events(server, `/task/${long.task_id}/events`, { until: ({ event }) => event === "token" });
  const { status, body } = await cancel(server, long.task_id);
  assert.deepEqual([status, body.status, body.result!.finish_reason], [200, "canceled", "canceled"]);
  assert.ok(body.result!.usage.completion_tokens > 0 && body.result!.text !== "");
  assert.equal((await server.ended(waiting.task_id)).status, "completed");
  const whole = await server.ended(neighbour.task_id);
  assert.equal(whole.status, "completed");
  // On a busy machine the cancel may come when the neighbour has all its tokens.
  const [shorter, longer] = [whole.result!.text, body.result!.text].toSorted((a, b) => a.length - b.length);
  assert.ok(longer!.startsWith(shorter!));
  const again = await cancel(server, long.task_id);
  const refusal = again.body as { readonly code?: string; readonly status: string };
  assert.deepEqual([again.status, refusal.code, refusal.status], [409, "conflict", "canceled"]);
});

test("a worker that does not stop a canceled task is replaced, and its other tasks run again", async (t) => {
  const config = `
    tasks: { cancel_timeout: 1 }
    engine: { simulated: { failures: [{ kind: ignore_cancel, when_text_contains: stubborn }] } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.loaded();
  const worker = server.workers.of(0);
  const stubborn = await server.predict({ text: "stubborn", max_length: 20_000 });
  const other = await server.predict({ text: "other", max_length: 400 });
  const { status, body } = await cancel(server, stubborn.task_id);
  assert.deepEqual([status, body.status, body.gpu_id], [200, "canceled", 0]);
  const done = await server.ended(other.task_id);
  assert.deepEqual(
    done.attempts.map(({ reason }) => reason),
    ["worker_stopped", "completed"],
  );
  assert.notEqual(server.workers.of(0), worker);
});

test("a batch is one thing: its counts, its results as they come, and its end", async (t) => {
  const server = await startLocalServer(t, { config: ONE_SLOT, devices: "simulated:2" });
  await server.loaded();
  const items = [30, 20, 10, 5000].map((max_length) => ({ text: "x", max_length }));
  const batch: BatchAnswer = await server.batch({ batch: items });
  const path = `/api/v1/batch/${batch.batch_id}`;
  const { body: before } = await server.request<BatchView>("GET", path);
  assert.deepEqual([before.status, before.size, before.counts.queued], ["mixed", 4, 2]);
  const results = fetch(`${server.url}${path}/results`, { headers: { authorization: `Bearer ${server.key}` } });
  for (const { task_id } of batch.tasks.slice(0, 3)) await server.ended(task_id);
  const { status, body: canceled } = await server.request<BatchView & { canceled: number }>("POST", `${path}/cancel`);
  assert.deepEqual([status, canceled.canceled, canceled.status, canceled.progress], [200, 1, "completed", 1]);
  const lines = (await (await results).text()).trim().split("\n");
  const told = lines.map((line) => JSON.parse(line) as TaskView & { index: number });
  assert.deepEqual(told.map(({ index }) => index).toSorted(), [0, 1, 2, 3]);
  assert.deepEqual(
    told.map(({ finished_at }) => finished_at),
    told.map(({ finished_at }) => finished_at).toSorted(),
  );
  assert.equal((await server.request("POST", `${path}/cancel`)).status, 409);
});

// --- late --------------------------------------------------------------------------------------------------------

test("what is too late fails: what runs keeps its text, what waits never touches a GPU", async (t) => {
  const server = await startLocalServer(t, { config: ONE_SLOT, devices: "simulated:1" });
  await server.loaded();
  const running = await server.predict({ text: "x", max_length: 20_000, timeout_seconds: 1 });
  const waiting = await server.predict({ text: "x", max_length: 1, timeout_seconds: 0.5 });
  const [ran, waited] = [await server.ended(running.task_id), await server.ended(waiting.task_id)];
  assert.deepEqual([ran.status, ran.error_code, ran.result!.finish_reason], ["failed", "timeout", "timeout"]);
  assert.ok(ran.result!.text.length > 0);
  assert.deepEqual([waited.status, waited.error_code, waited.attempts], ["failed", "timeout", []]);
});

// --- read along --------------------------------------------------------------------------------------------------

test("a reader of a server that is killed goes on where it was, and learns that the text begins anew", async (t) => {
  const config = "engine: { simulated: { tokens_per_second: 50 } }";
  const first = await Server.start(t, { config, args: ["--devices", "simulated:1"] });
  await first.loaded();
  const body = { text: "read along", max_length: 100, stream: true };
  const begun = await events(first, "/predict", { body, until: ({ event }) => event === "token" });
  const [placed] = begun;
  const id = String(placed!.data["task_id"]);
  assert.deepEqual([placed!.event, placed!.data["attempt"]], ["placed", 1]);
  await first.kill9();

  const second = await first.restart();
  const headers = { "last-event-id": begun.at(-1)!.id };
  const rest = await events(second, `/task/${id}/events`, { headers });
  assert.deepEqual([rest[0]!.event, rest[0]!.data["attempt"]], ["placed", 2]);
  const task = await second.task(id);
  assert.equal(textOf(rest), task.result!.text);
  assert.deepEqual([rest.at(-1)!.event, rest.at(-1)!.data["status"]], ["completed", "completed"]);
  // After the end: the same text from wherever the reader was.
  const seen = rest.findIndex(({ event }) => event === "token");
  const later = await events(second, `/task/${id}/events`, { headers: { "last-event-id": rest[seen]!.id } });
  assert.equal(String(rest[seen]!.data["text"]) + textOf(later), task.result!.text);
  const foreign = await second.request("GET", `/api/v1/task/${id}/events`, {
    headers: { "last-event-id": "223e4567-e89b-12d3-a456-426614174000:1:0" },
  });
  assert.deepEqual([foreign.status, foreign.body.error.includes("Last-Event-ID")], [400, true]);
});

test("a client that leaves cancels its task only if it asked for that", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  await server.loaded();
  const leave = async (more: object): Promise<string> => {
    const body = { text: "x", max_length: 20_000, stream: true, ...more };
    const [placed] = await events(server, "/predict", { body, until: ({ event }) => event === "token" });
    return String(placed!.data["task_id"]);
  };
  const stays = await leave({});
  const goes = await leave({ cancel_on_disconnect: true });
  assert.equal((await server.ended(goes)).status, "canceled");
  assert.equal((await server.task(stays)).status, "running");
});

// --- told to others ----------------------------------------------------------------------------------------------

interface Told {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Takes webhooks; the first `refusals` of them with 500. */
async function receiver(
  t: TestContext,
  refusals = 0,
): Promise<{ url: string; told: Told[]; until: (count: number) => Promise<void> }> {
  const told: Told[] = [];
  const heard = new EventEmitter();
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.statusCode = told.push({ headers: request.headers, body }) <= refusals ? 500 : 204;
    response.end();
    heard.emit("one");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const until = async (count: number): Promise<void> => {
    while (told.length < count) await once(heard, "one");
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, told, until };
}

test("webhooks are signed, tried again, and told by the next server when this one is killed", async (t) => {
  const { url, told, until } = await receiver(t, 1);
  const config = "{ webhooks: { allow_private: true } }";
  const first = await Server.start(t, { config, args: ["--devices", "simulated:1"] });
  await first.loaded();
  const secret = await first.request<{ secret: string }>("GET", "/api/v1/webhook_secret");
  const task = await first.run({ text: "tell", max_length: 3, webhook_url: url });
  await until(1);
  await first.kill9();
  const second = await first.restart();
  await until(2);
  assert.equal(told[0]!.body, told[1]!.body);
  const { type, data } = JSON.parse(told[1]!.body) as { type: string; data: TaskView };
  assert.deepEqual([type, data.task_id, data.result!.text], ["task.completed", task.task_id, task.result!.text]);
  const id = String(told[1]!.headers["webhook-id"]);
  const signed = `${id}.${String(told[1]!.headers["webhook-timestamp"])}.${told[1]!.body}`;
  const key = Buffer.from(secret.body.secret.replace("whsec_", ""), "base64");
  assert.equal(
    told[1]!.headers["webhook-signature"],
    `v1,${createHmac("sha256", key).update(signed).digest("base64")}`,
  );
  const { body: listed } = await second.request<{ webhooks: { webhook_id: string; event: string }[] }>(
    "GET",
    `/api/v1/task/${task.task_id}/webhooks`,
  );
  assert.deepEqual(
    listed.webhooks.map(({ webhook_id, event }) => [webhook_id, event]),
    [[id, "task.completed"]],
  );
});

test("a webhook that leads inside is refused before there is a task", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  for (const url of [
    "http://127.0.0.1:1/",
    "http://[::ffff:10.0.0.1]/",
    "http://localhost/",
    "file:///etc/passwd",
    "x",
  ]) {
    const { status, body } = await server.request("POST", "/api/v1/predict", { body: { text: "x", webhook_url: url } });
    assert.deepEqual([status, body.code, body.error.startsWith("webhook_url ")], [400, "invalid_input", true], url);
  }
  assert.equal((await server.tasks()).total, 0);
});

// --- sent twice --------------------------------------------------------------------------------------------------

test("a key makes its tasks once, also when the server is killed before the answer is heard", async (t) => {
  const first = await Server.start(t, { config: ONE_SLOT, args: ["--devices", "simulated:1"] });
  await first.loaded();
  const options = { body: { text: "once", max_length: 5 }, headers: { "idempotency-key": "order 66" } };
  const [one, two] = await Promise.all(
    [0, 1].map(() => first.request<TaskSummary>("POST", "/api/v1/predict", options)),
  );
  assert.equal(one!.body.task_id, two!.body.task_id);
  await first.kill9();
  const second = await first.restart();
  const three = await second.request<TaskSummary>("POST", "/api/v1/predict", options);
  assert.deepEqual([three.body, three.headers.get("idempotent-replayed")], [one!.body, "true"]);
  const other = await second.request("POST", "/api/v1/predict", { ...options, body: { text: "other" } });
  assert.deepEqual([other.status, other.body.code], [409, "conflict"]);
  assert.equal((await second.tasks()).total, 1);
  assert.equal((await second.ended(one!.body.task_id)).status, "completed");
});

test("a final task can be run again as a new one, and removed", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  await server.loaded();
  const task = await server.run({ text: "again", max_length: 4, priority: "high" });
  const { body } = await server.request<TaskSummary>("POST", `/api/v1/task/${task.task_id}/retry`);
  const again = await server.ended(body.task_id);
  assert.deepEqual([again.retry_of, again.priority, again.result!.text], [task.task_id, "high", task.result!.text]);
  const removed = await server.request<TaskView>("DELETE", `/api/v1/task/${task.task_id}`);
  assert.deepEqual([removed.status, removed.body.result], [200, task.result]);
  assert.equal((await server.request("GET", `/api/v1/task/${task.task_id}`)).status, 404);
  assert.equal((await server.tasks()).total, 1);
});

// --- too much ----------------------------------------------------------------------------------------------------

test("a caller over its own limits gets 429, whoever meets a full queue 503, each with the time to come back", async (t) => {
  const config = `
    gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1, max_queue_size: 3 } }
    callers: { users: { admin: { max_queued: 2 }, bob: { requests_per_minute: 2 } } }
    auth: { users: [{ name: bob, role: user }] }
    engine: { simulated: { tokens_per_second: 0.01 } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.loaded();
  const file = join(server.folder, "config.yaml");
  writeFileSync(file, withStore(config, server.folder));
  const files = ["--config", file, "--data-dir", server.dataDir];
  const { stdout } = await runCommand(["keys", "add", "--user", "bob", ...files]);
  // A list is as of now, and what it has found counts from then on.
  await server.request("GET", "/api/v1/keys");
  const bob = { authorization: `Bearer ${/altlas_\S+/.exec(stdout)![0]}` };
  const submit = (headers?: Record<string, string>) =>
    server.request("POST", "/api/v1/predict", { body: { text: "x" }, ...(headers && { headers }) });
  for (let n = 0; n < 3; n++) assert.equal((await submit()).status, 200);
  const own = await submit();
  assert.deepEqual(
    [own.status, own.body.code, Number(own.headers.get("retry-after")) > 0],
    [429, "rate_limited", true],
  );
  assert.equal((await submit(bob)).status, 200);
  const full = await submit(bob);
  assert.deepEqual(
    [full.status, full.body.code, Number(full.headers.get("retry-after")) > 0],
    [503, "queue_full", true],
  );
  const often = await submit(bob);
  assert.deepEqual([often.status, often.body.code, often.headers.get("retry-after")], [429, "rate_limited", "30"]);
});
