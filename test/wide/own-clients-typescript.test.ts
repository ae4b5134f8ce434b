/** The client in clients/typescript, against a real server and against others. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import {
  AltLas,
  AltLasError,
  type BatchResult,
  TaskError,
  type TaskEvent,
  verifyWebhook,
} from "../../clients/typescript/src/index.ts";
import { Patience } from "../../clients/typescript/src/patience.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { clientOf, lossyWay, standIn } from "../helpers/own-clients.ts";

const config = `
  webhooks: { allow_private: true }
  engine: { simulated: { tokens_per_second: 200 } }
  gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 4 } }`;
const server = await startLocalServer({ after }, { config, devices: "simulated:1" });
await server.loaded();
const client = clientOf(server);
/** Longer than any test. */
const ENDLESS = { text: "On and on", max_length: 100_000 };

test("a task, its stream, its wait and a list of tasks", async () => {
  const task = await client.predictAndWait({ text: "Once", max_length: 5 });
  assert.deepEqual([task.status, task.result!.usage.completion_tokens], ["completed", 5]);
  assert.equal((await client.task(task.task_id)).result!.text, task.result!.text);
  const events: TaskEvent[] = [];
  for await (const event of client.stream({ text: "Once", max_length: 5 })) events.push(event);
  const last = events.at(-1)!;
  assert.ok(last.type === "completed");
  assert.equal(events[0]!.type, "placed");
  const said = events.map((event) => (event.type === "token" ? event.text : "")).join("");
  assert.equal(said, last.task.result!.text);
  const { tasks } = await client.tasks({ limit: 1 });
  assert.deepEqual(Object.keys(tasks), [last.task.task_id]);
});

test("a program that has the id of an event reads on behind it, and after the last one gets nothing", async () => {
  const { task_id } = await client.predict({ text: "Once", max_length: 20 });
  const first: TaskEvent[] = [];
  for await (const event of client.follow(task_id)) {
    first.push(event);
    if (first.length === 4) break;
  }
  const rest: TaskEvent[] = [];
  for await (const event of client.follow(task_id, { lastEventId: first.at(-1)!.id })) rest.push(event);
  const said = [...first, ...rest].map((event) => (event.type === "token" ? event.text : "")).join("");
  const end = rest.at(-1)!;
  assert.ok(end.type === "completed");
  assert.equal(said, end.task.result!.text);
  for await (const event of client.follow(task_id, { lastEventId: end.id })) assert.fail(event.type);
});

test("a batch has its results in the order of the items, and says how far it is", async () => {
  const progress: [number, number][] = [];
  const onProgress = ({ done, total }: { done: number; total: number }): void => void progress.push([done, total]);
  const batch = [{ text: "One", max_length: 30 }, "Two", { input: "Three" }] as const;
  const results = await client.batch({ batch: [...batch], max_length: 2 }, { onProgress });
  assert.deepEqual(
    results.map(({ index, result }) => [index, result!.usage.completion_tokens, result!.embeddings?.length]),
    [
      [0, 30, undefined],
      [1, 2, undefined],
      [2, 0, 1],
    ],
  );
  assert.deepEqual(progress, [
    [1, 3],
    [2, 3],
    [3, 3],
  ]);
});

test("results are told as they come, and a batch can be canceled, twice", async () => {
  const { batch_id } = await client.submitBatch({ batch: ["Short", ENDLESS], max_length: 1 });
  const told: BatchResult[] = [];
  for await (const task of client.results(batch_id!)) {
    told.push(task);
    if (told.length === 1) await client.cancelBatch(batch_id!);
  }
  assert.deepEqual(
    told.map(({ index, status }) => [index, status]),
    [
      [0, "completed"],
      [1, "canceled"],
    ],
  );
  assert.equal((await client.batchState(batch_id!)).finished_at !== null, true);
  const { batch_id: other } = await client.submitBatch({ batch: [ENDLESS] });
  assert.equal((await client.cancelBatch(other!)).status, "canceled");
  assert.equal((await client.cancelBatch(other!)).status, "canceled");
});

test("a task that is canceled ends its wait with an error that has it; canceling it again is none", async () => {
  const waiting = client.predictAndWait(ENDLESS, { idempotencyKey: "endless" }).catch((thrown: unknown) => thrown);
  const { task_id } = await client.predict(ENDLESS, { idempotencyKey: "endless" });
  assert.equal((await client.cancel(task_id)).status, "canceled");
  assert.equal((await client.cancel(task_id)).status, "canceled");
  const error = await waiting;
  assert.ok(error instanceof TaskError && error instanceof AltLasError);
  assert.deepEqual([error.code, error.task.task_id], ["canceled", task_id]);
  const ended = await client.predictAndWait({ text: "Once", max_length: 1 });
  await assert.rejects(client.cancel(ended.task_id), { code: "conflict", conflictStatus: "completed" });
});

test("models, GPUs, the version, any other route, and an address for a browser that needs no key", async () => {
  assert.equal((await client.models()).length, 1);
  assert.deepEqual(
    (await client.gpus()).map(({ id, status }) => [id, status]),
    [[0, "ready"]],
  );
  assert.match(await client.version(), /^\d+\.\d+\.\d+/);
  assert.equal((await client.request<{ user: string }>("GET", "/me")).user, "admin");
  const { task_id } = await client.predictAndWait({ text: "Once", max_length: 1 });
  const response = await fetch(await client.eventsUrl(task_id));
  assert.match(await response.text(), /event: completed/);
});

test("a refusal has the server's code, its sentence and the id of the request", async () => {
  const error = await client.predict({ text: "" }).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof AltLasError);
  assert.deepEqual([error.code, error.status], ["invalid_input", 400]);
  assert.match(error.message, /^text /);
  assert.match(error.requestId!, /./);
  await assert.rejects(clientOf({ ...server, url: server.url, key: "wrong" }).models(), {
    code: "unauthorized",
    status: 401,
  });
  await assert.rejects(client.task("a/../b"), /There is no task "a\/..\/b"/);
  assert.throws(() => new AltLas({ url: "localhost:8642", apiKey: "x" }), /http:\/\/ or https:\/\/.*"localhost:8642"/);
});

test("a submission whose answer is lost is sent again, and makes one task", async (t) => {
  const before = (await client.tasks()).total;
  const url = await lossyWay(t, server.url, 2);
  const far = clientOf({ url, key: server.key });
  const submitted = await far.predict({ text: "Once", max_length: 1 });
  assert.equal((await client.tasks()).total, before + 1);
  assert.equal((await client.wait(submitted.task_id)).status, "completed");
});

test("any other route is asked again only where that does nothing twice", async (t) => {
  const before = (await client.tasks()).total;
  const far = clientOf({ url: await lossyWay(t, server.url, 1), key: server.key });
  const { task_id } = await far.request<{ task_id: string }>("POST", "/predict", { text: "Once", max_length: 1 });
  await client.wait(task_id);
  const again = clientOf({ url: await lossyWay(t, server.url, 1), key: server.key });
  await again.request("post", `/task/${task_id}/retry`);
  assert.equal((await client.tasks()).total, before + 2);
  const asked: string[] = [];
  const url = await standIn(t, ({ method }, response) => {
    asked.push(method!);
    if (asked.length === 1)
      response.writeHead(503, { "retry-after": "0" }).end('{"error":"Full.","code":"queue_full"}');
    else response.socket!.destroy();
  });
  await assert.rejects(new AltLas({ url, apiKey: "x" }).request("PATCH", "/config", {}), { code: "no_connection" });
  assert.deepEqual(asked, ["PATCH", "PATCH"]);
});

test("a batch that a lost try canceled is told as it is, though a part of it had ended before", async (t) => {
  const { batch_id } = await client.submitBatch({ batch: ["Short", ENDLESS], max_length: 1 });
  for await (const { index } of client.results(batch_id!)) if (index === 0) break;
  const far = clientOf({ url: await lossyWay(t, server.url, 1), key: server.key });
  assert.ok((await far.cancelBatch(batch_id!)).finished_at !== null);
});

test("a request that cannot be made is told at once, and is no lost connection", async () => {
  assert.throws(() => clientOf({ ...server, url: server.url, key: "altlas_XnvB…" }), /apiKey must be printable ASCII/);
  const circle: Record<string, unknown> = {};
  circle["circle"] = circle;
  await assert.rejects(client.request("POST", "/predict", circle), TypeError);
  await assert.rejects(client.predict({ text: "Once" }, { idempotencyKey: "a…" }), TypeError);
});

test("a table is no JSON, and is not taken for another server", async () => {
  await assert.rejects(client.request("GET", "/usage?format=csv"), /sends text\/csv, and this client reads JSON alone/);
});

test("a server that is asked again after all of the time that there is, is asked once more", async () => {
  let now = 0;
  const patience = new Patience(0.1, undefined, () => now);
  const full = new AltLasError("queue_full", "Full.", { retryAfter: 0.1, isTemporary: true });
  await patience.after(full);
  now += 101;
  await assert.rejects(patience.after(full), full);
});

test("a server that has no room is asked again with the same key, and not before its Retry-After", async (t) => {
  const asked: { readonly at: number; readonly key: unknown }[] = [];
  const url = await standIn(t, (request, response) => {
    asked.push({ at: performance.now(), key: request.headers["idempotency-key"] });
    if (asked.length === 1)
      response.writeHead(503, { "retry-after": "1" }).end('{"error":"Full.","code":"queue_full"}');
    else response.end('{"task_id":"x","gpu_id":0,"status":"running"}');
  });
  assert.equal((await new AltLas({ url, apiKey: "x" }).predict({ text: "Once" })).task_id, "x");
  assert.equal(asked.length, 2);
  assert.ok(asked[1]!.at - asked[0]!.at >= 1000);
  assert.ok(typeof asked[0]!.key === "string" && asked[0]!.key === asked[1]!.key);
});

test("a wait that the server wants and that is too long ends at once with its sentence", async (t) => {
  let asked = 0;
  const url = await standIn(t, (_request, response) => {
    asked++;
    const body = '{"error":"It resets tomorrow.","code":"budget_exceeded"}';
    response.writeHead(429, { "retry-after": "40000" }).end(body);
  });
  const expected = { code: "budget_exceeded", message: "It resets tomorrow.", retryAfter: 40_000, status: 429 };
  await assert.rejects(new AltLas({ url, apiKey: "x" }).predict({ text: "Once" }), expected);
  assert.equal(asked, 1);
});

test("a connection that lasted has worked, though nothing came; one that breaks off at once has not", async () => {
  let now = 0;
  const patience = new Patience(60, undefined, () => now);
  const cut = new AltLasError("no_connection", "Cut.", { isTemporary: true });
  for (let hours = 0; hours < 3; hours++) {
    patience.opened();
    now += 3_600_000;
    await patience.after(cut);
  }
  patience.opened();
  now += 59_000;
  await patience.after(cut);
  for (let tries = 0; tries < 2; tries++) {
    patience.opened();
    now += 1000;
    await patience.after(cut);
  }
  now += 60_000;
  await assert.rejects(patience.after(cut), cut);
});

test("a quiet stream is opened again, which counts as no try", async (t) => {
  const state = '{"size":1,"finished_at":null}';
  let opened = 0;
  const url = await standIn(t, ({ url: path }, response) => {
    if (!path!.endsWith("/results")) return void response.end(state);
    response.write("\n");
    if (++opened > 2) response.end('{"index":0,"task_id":"x"}\n');
  });
  const hasty = new AltLas({ url, apiKey: "x", retrySeconds: 0, idleSeconds: 0.05 });
  const told: number[] = [];
  for await (const { index } of hasty.results("x")) told.push(index);
  assert.deepEqual([told, opened], [[0], 3]);
});

test("no server, and one that is not ALT_LAS, are told apart", async (t) => {
  const url = await standIn(t, (_request, response) => response.end("<html>hello</html>"));
  await assert.rejects(new AltLas({ url, apiKey: "x" }).models(), { code: "not_alt_las" });
  const gone = await standIn(t, (_request, response) => void response.socket!.destroy());
  await assert.rejects(new AltLas({ url: gone, apiKey: "x", retrySeconds: 0 }).models(), {
    code: "no_connection",
    message: new RegExp(`^No server answers at ${gone}: `),
  });
  const bad = await standIn(t, (_request, response) => void response.writeHead(502).end("Bad gateway"));
  const expected = { code: "not_alt_las", status: 502, isTemporary: true };
  await assert.rejects(new AltLas({ url: bad, apiKey: "x", retrySeconds: 0 }).models(), expected);
});

test("of a server that is too old the client says which version it needs", async (t) => {
  const url = await standIn(t, ({ url: path }, response) => {
    if (path === "/healthz") response.end('{"status":"ready","version":"0.1.0"}');
    else response.writeHead(404).end('{"error":"There is no route POST /api/v1/stream_ticket.","code":"not_found"}');
  });
  await assert.rejects(new AltLas({ url, apiKey: "x" }).eventsUrl("x"), {
    code: "server_too_old",
    message: `This client needs ALT_LAS 0.2.0 or later; the server at ${url} is 0.1.0.`,
  });
  await assert.rejects(client.task("01a22330-4088-769d-9ec1-fce78527e2e1"), { code: "not_found" });
});

test("a signal ends a wait, a stream and the pause before a try, and the task goes on", async (t) => {
  const { task_id } = await client.predict(ENDLESS);
  const reason = new Error("enough");
  const stop = new AbortController();
  const calls: Promise<unknown>[] = [client.wait(task_id, stop), readAll(client.follow(task_id, stop))];
  const full = await standIn(t, (_request, response) => {
    response.writeHead(503, { "retry-after": "50" }).end('{"error":"Full.","code":"queue_full"}', () => {
      setImmediate(() => stop.abort(reason));
    });
  });
  calls.push(new AltLas({ url: full, apiKey: "x" }).models(stop));
  for (const call of calls) assert.equal(await call.catch((thrown: unknown) => thrown), reason);
  await assert.rejects(client.models({ signal: AbortSignal.abort(reason) }), reason);
  assert.equal((await client.task(task_id)).status, "running");
  await client.cancel(task_id);
});

async function readAll(events: AsyncIterable<unknown>): Promise<void> {
  for await (const event of events) assert.ok(event);
}

test("a webhook of the server is taken, and one that was changed, is old or of somebody else is not", async (t) => {
  const received = Promise.withResolvers<{ readonly headers: IncomingMessage["headers"]; readonly body: string }>();
  const receiver = createServer(async (request, response) => {
    received.resolve({ headers: request.headers, body: await text(request) });
    response.end();
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  t.after(() => void receiver.close());
  const webhook_url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  const task = await client.predictAndWait({ text: "Once", max_length: 1, webhook_url });
  const { headers, body } = await received.promise;
  const secret = await client.webhookSecret();

  const webhook = await verifyWebhook(secret, headers, body);
  assert.ok(webhook.type === "task.completed");
  assert.equal(webhook.data.task_id, task.task_id);
  const other = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
  await verifyWebhook([other, secret], new Headers(headers as Record<string, string>), Buffer.from(body));
  const bad = { code: "bad_signature" };
  await assert.rejects(verifyWebhook(secret, headers, `${body} `), bad);
  await assert.rejects(verifyWebhook(other, headers, body), bad);
  await assert.rejects(verifyWebhook(secret, headers, body, { now: Date.now() / 1000 + 400 }), /from another time/);
  await assert.rejects(verifyWebhook(secret, { ...headers, "webhook-id": "msg_other" }, body), bad);
  await assert.rejects(verifyWebhook(secret, {}, body), /The header webhook-id is missing/);
  await assert.rejects(verifyWebhook("secret", headers, body), /begins with whsec_/);
});
