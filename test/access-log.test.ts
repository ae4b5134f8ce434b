/** The log's lines about requests: which have one, what it says and what it never says, and that a flood of them is counted. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { AltLasError } from "../src/errors.ts";
import { kindOf } from "../src/http/access-log.ts";
import { LineBudget } from "../src/log/line-budget.ts";
import { API, AS, aTask, get, ID, listening, post, testConfig, testServer } from "./helpers/http.ts";
import { startLocalServer } from "./helpers/local-server.ts";

type Line = Readonly<Record<string, unknown>> & { readonly level: number; readonly msg: string };
const INFO = 30;

/** A server, and its lines about requests at info. */
function logged(t: TestContext, yaml = "") {
  const server = testServer(t, testConfig(yaml));
  const lines = (): Line[] =>
    server.log
      .map((line) => JSON.parse(line) as Line)
      .filter(({ level, msg }) => level === INFO && msg.startsWith("request"));
  return { ...server, lines };
}

test("a refused request has one line that says who asked for what and why not, and nothing of what was sent", async (t) => {
  const { app, tasks, lines, log } = logged(t, "server: { trust_proxy: [127.0.0.1] }");
  tasks.tasks = [aTask()];
  const secret = "s3cret";
  const proxied = { ...AS.user, "x-forwarded-for": "203.0.113.9" };
  await post(app, "/predict", { text: secret, max_length: 0 });
  await get(app, `/task/${ID}?include=text&ticket=${secret}`, { ...proxied, "x-request-id": "mine-1" });
  await get(app, `/tasks?user=${secret}`, AS.user);
  await app.inject({ url: `/${secret}/somewhere`, headers: { authorization: `Bearer ${secret}` } });
  await app.inject({ url: `${API}/tasks?ticket=${secret}`, headers: { authorization: `Bearer ${secret}` } });
  await app.inject({ url: `${API}/%zz?ticket=${secret}` });
  tasks.failure = new AltLasError("store_unavailable", `The disk ${secret} is full.`);
  await get(app, `/task/${ID}`);
  const brief = lines().map(({ method, route, status, code, user, address, task, msg }) => [
    [method, route, status, code].join(" "),
    [user, address, task].join(" "),
    msg,
  ]);
  const [own, proxy] = ["127.0.0.1", "203.0.113.9"];
  assert.deepEqual(brief, [
    [`POST ${API}/predict 400 invalid_input`, `user ${own} `, "request refused"],
    [`GET ${API}/task/:task_id 400 invalid_input`, `user ${proxy} ${ID}`, "request refused"],
    [`GET ${API}/tasks 403 forbidden`, `user ${own} `, "request refused"],
    ["GET  404 not_found", ` ${own} `, "request refused"],
    [`GET ${API}/tasks 401 unauthorized`, ` ${own} `, "request refused"],
    ["GET  400 invalid_input", ` ${own} `, "request refused"],
    [`GET ${API}/task/:task_id 503 store_unavailable`, `user ${own} ${ID}`, "request failed"],
  ]);
  assert.equal(lines()[1]!["request_id"], "mine-1");
  assert.ok(lines().every(({ ms }) => typeof ms === "number"));
  assert.ok(
    !log.join("").includes(secret),
    log.find((line) => line.includes(secret)),
  );
});

test("what succeeds has a line with all, and none with errors; probes never have any, and none has none", async (t) => {
  const ask = async (yaml: string): Promise<unknown[]> => {
    const { app, lines, state } = logged(t, yaml);
    state.readiness = { ready: false, reason: "It is not." };
    for (const url of ["/livez", "/readyz", "/healthz", "/metrics"]) await app.inject({ url });
    await post(app, "/predict", { text: "x" });
    await get(app, "/gpus", AS.viewer);
    await get(app, "/gpus", {});
    return lines().map(({ route, status, user, task }) => [route, status, user, task]);
  };
  const refused = [`${API}/gpus`, 401, undefined, undefined];
  assert.deepEqual(await ask(""), [refused]);
  assert.deepEqual(await ask("log: { requests: none }"), []);
  assert.deepEqual(await ask("log: { requests: all }"), [
    [`${API}/predict`, 200, "user", ID],
    [`${API}/gpus`, 200, "viewer", undefined],
    refused,
  ]);
});

test("what is not even a request has a line, too", async (t) => {
  const { app, lines } = logged(t);
  const port = await listening(app);
  for (const text of ["nonsense\r\n\r\n", "CONNECT here:443 HTTP/1.1\r\nHost: here\r\n\r\n"]) {
    const socket = connect(port, "127.0.0.1").resume();
    socket.write(text);
    await once(socket, "close");
  }
  const seen = lines().map(({ status, code, address, method }) => [status, code, address, method]);
  assert.deepEqual(seen, [
    [400, "invalid_input", "127.0.0.1", undefined],
    [405, "method_not_allowed", "127.0.0.1", undefined],
  ]);
});

test("a flood of refusals gets few lines, leaves some to others, and is counted in one", async (t) => {
  const { app, lines } = logged(t);
  for (let count = 0; count < 300; count++) await get(app, "/tasks?limit=0", AS.user);
  await get(app, "/tasks?limit=0", AS.viewer);
  const before = lines();
  assert.equal(before.filter(({ user }) => user === "user").length, 20);
  assert.equal(before.filter(({ user }) => user === "viewer").length, 1);
  await app.close();
  const { requests, by_status, msg } = lines().at(-1)!;
  assert.deepEqual([requests, by_status, msg], [280, { 400: 280 }, "requests that have no line of their own"]);
});

test("of many sources together no more than a minute's lines are written, and the next minute has new ones", () => {
  let now = 0;
  const budget = new LineBudget({ lines: 5, ofSource: 2, now: () => now });
  const written = (): number[] => [0, 1, 2, 3].map((source) => [1, 2, 3].filter(() => budget.take(`${source}`)).length);
  assert.deepEqual(written(), [2, 2, 1, 0]);
  now += 59_999;
  assert.deepEqual([written(), budget.left], [[0, 0, 0, 0], 1]);
  now++;
  assert.deepEqual(written(), [2, 2, 1, 0]);
});

function kind(
  elapsedTime: number,
  { answer = ["content-length"], headers = {}, isPatient = false, statusCode = 200 } = {},
): string | null {
  return kindOf(
    { headers, routeOptions: { config: { url: "/", method: "GET", isPatient } } },
    { statusCode, elapsedTime, raw: { hasHeader: (name) => answer.includes(name) } },
    2 ** 26,
  );
}

test("a request is slow after ten seconds, unless it waits for tasks, its answer is a stream, or its body is large", () => {
  assert.deepEqual([kind(9_999), kind(10_001)], [null, "slow"]);
  assert.equal(kind(10_001, { answer: ["content-length", "preference-applied"] }), null);
  assert.equal(kind(10_001, { answer: [] }), null);
  assert.equal(kind(10_001, { isPatient: true }), null);
  assert.equal(kind(10_001, { headers: { "content-length": String(2 ** 20) } }), null);
  assert.equal(kind(10_001, { headers: { "content-length": "100" } }), "slow");
  assert.deepEqual([kind(1, { statusCode: 404 }), kind(1, { statusCode: 500 })], ["refused", "failed"]);
});

test("the routes whose answers wait for tasks are known to be slow by nature", async (t) => {
  const patient: string[] = [];
  const { app } = testServer(t);
  app.addHook("onRoute", ({ url, config }) => {
    if (config?.isPatient === true) patient.push(url);
  });
  await app.ready();
  assert.deepEqual(patient.toSorted(), [
    "/api/v1/batch/:batch_id/cancel",
    "/api/v1/task/:task_id/cancel",
    "/api/v1/tasks/cancel",
    "/api/v1/users/:name/forget",
    "/v1/batches/:batch_id/cancel",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/files",
    // Its HEAD, too.
    "/v1/files/:file_id/content",
    "/v1/files/:file_id/content",
    "/v1/responses",
    "/v1/responses/:response_id/cancel",
  ]);
});

test("a real server logs the refusals of its requests, and the streams, waits and batches that succeed not", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const stream = { text: "x", max_length: 2, stream: true };
  const authorization = `Bearer ${server.key}`;
  const headers = { authorization, "content-type": "application/json" };
  await (await fetch(`${server.url}${API}/predict`, { method: "POST", headers, body: JSON.stringify(stream) })).text();
  await server.run({ text: "x", max_length: 2 });
  await server.request("POST", `${API}/predict`, { body: { text: "x", model: "nowhere" } });
  const lines = await server.logged(({ msg }) => msg.startsWith("request"));
  const { route, status, code, user } = lines[0]!;
  assert.deepEqual([lines.length, route, status, code, user], [1, `${API}/predict`, 400, "model_not_found", "admin"]);
});

test("the line of a streamed submission names its task", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1", config: "log: { requests: all }" });
  const headers = { authorization: `Bearer ${server.key}`, "content-type": "application/json" };
  const body = JSON.stringify({ text: "x", max_length: 2, stream: true });
  const answer = await fetch(`${server.url}${API}/predict`, { method: "POST", headers, body });
  await answer.text();
  const [line] = await server.logged(({ msg, route }) => msg.startsWith("request") && route === `${API}/predict`);
  assert.deepEqual([line!.task, typeof line!.task], [answer.headers.get("x-task-id"), "string"]);
});

test("an ended task has one line at info that says whose it was, which model and GPU, and how long it waited and ran", async (t) => {
  const config = "gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }";
  const server = await startLocalServer(t, { devices: "simulated:1", config });
  await server.loaded();
  const first = await server.predict({ text: "x", max_length: 100_000 });
  const second = await server.predict({ text: "y", max_length: 2 });
  await server.request("POST", `${API}/task/${first.task_id}/cancel`);
  const { timing } = await server.ended(second.task_id);
  const [line] = await server.logged(({ task, msg }) => task === second.task_id && msg === "task completed");
  const { user, model, gpu, wait, tokens, seconds, level } = line!;
  const expected = { user: "admin", model: "simulated", gpu: 0, wait: timing!.queued, tokens: 2, level: INFO };
  assert.deepEqual({ user, model, gpu, wait, tokens, level }, expected);
  assert.ok(typeof seconds === "number" && typeof wait === "number" && wait > 0);
  const [canceled] = await server.logged(({ task, msg }) => task === first.task_id && msg === "task canceled");
  assert.equal(canceled!["user"], "admin");
});

test("whoever changes what belongs to another user is named in the log, and its user too", async (t) => {
  const { app, tasks, log } = testServer(t);
  const ended = aTask({ status: "canceled", user: "bob" });
  const seen = (): unknown[] =>
    log
      .map((line) => JSON.parse(line) as Line)
      .filter(({ by }) => by !== undefined)
      .map(({ msg, task, user, by, canceled }) => [msg, task, user, by, canceled]);
  const act = async (as: (typeof AS)["user"]): Promise<void> => {
    tasks.tasks = [ended];
    for (const what of ["cancel", "retry"]) await post(app, `/task/${ID}/${what}`, {}, as);
    await app.inject({ method: "DELETE", url: `${API}/task/${ID}`, headers: as });
    tasks.matching = 3;
    await post(app, "/tasks/cancel", { status: "queued" }, as);
  };
  await act(AS.admin);
  assert.deepEqual(seen(), [
    ["task canceled by another user", ID, "bob", "admin", undefined],
    ["task submitted again by another user", ID, "bob", "admin", undefined],
    ["task removed by another user", ID, "bob", "admin", undefined],
    ["tasks of any user that matched were canceled", undefined, undefined, "admin", 3],
  ]);
  const before = seen().length;
  await act(AS.user);
  assert.equal(seen().length, before);
});
