/** Changes to the configuration of a whole server while it runs: what its parts make of them, and that no task is lost. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { type ApiDocument } from "../helpers/compatibility.ts";
import { newCertificate } from "../helpers/certificate.ts";
import { runCommand } from "../helpers/command.ts";
import { API, AS, temporaryFolder, testServer } from "../helpers/http.ts";
import { type LocalServer, startLocalServer } from "../helpers/local-server.ts";

const SLOW = `
gpu: { devices: "simulated:2", multi_gpu: { max_concurrent_tasks_per_gpu: 4 } }
engine: { kind: simulated, simulated: { tokens_per_second: 0 } }`;

/** Its tasks run until they are canceled. */
const HELD = `
gpu: { devices: "simulated:1", multi_gpu: { max_concurrent_tasks_per_gpu: 4 } }
engine: { kind: simulated, simulated: { tokens_per_second: 0.001 } }
tasks: { cancel_timeout: 3600 }
server: { drain_timeout: 0 }`;

function inPlacement(values: object): object {
  return { gpu: { multi_gpu: values } };
}

interface Answer {
  readonly config: {
    readonly log: { readonly level: string };
    readonly gpu: { readonly multi_gpu: Readonly<Record<string, unknown>> };
  };
  readonly sources: { readonly gpu: { readonly multi_gpu: Readonly<Record<string, string>> } };
}

async function patched(server: LocalServer, body: object): Promise<Answer> {
  const answer = await server.request<Answer>("PATCH", "/api/v1/config", { body });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

function bodyOf({ paths }: ApiDocument, path: string): string {
  return JSON.stringify(paths[path]!["post"]!.requestBody);
}

async function predicted(server: LocalServer, gpu_options: object) {
  return server.request("POST", "/api/v1/predict", { body: { text: "x", max_length: 2, gpu_options } });
}

test("strategies that requests may name, and the one of those that name none, change at once", async (t) => {
  const server = await startLocalServer(t, { config: SLOW });
  const { config, sources } = await patched(server, {
    gpu: { multi_gpu: { default_strategy: "round_robin", strategies: ["round_robin", "random"] } },
  });
  assert.equal(config.gpu.multi_gpu["default_strategy"], "round_robin");
  assert.equal(sources.gpu.multi_gpu["default_strategy"], "runtime");
  assert.equal((await server.run({ text: "x", max_length: 2 })).placement?.strategy, "round_robin");
  const refused = await predicted(server, { strategy: "least_loaded" });
  assert.deepEqual([refused.status, refused.body.code], [400, "invalid_input"]);
  assert.match(refused.body.error, /gpu_options\.strategy must be one of "round_robin", "random"/);
  assert.equal((await predicted(server, { strategy: "random" })).status, 200);
  await patched(server, { gpu: null });
  assert.equal((await predicted(server, { strategy: "least_loaded" })).status, 200);
});

test("the API's document has the strategies and limits that hold now", async (t) => {
  const { app } = testServer(t);
  const read = async () => (await app.inject({ url: "/openapi.json", headers: AS.admin })).json<ApiDocument>();
  const before = await read();
  const url = `${API}/config`;
  const patch = (body: object) => app.inject({ method: "PATCH", url, headers: AS.admin, body });
  const strategies = { default_strategy: "random", strategies: ["random"] };
  assert.equal((await patch({ ...inPlacement(strategies), limits: { max_batch_size: 7 } })).statusCode, 200);
  const after = await read();
  for (const path of ["/api/v1/predict", "/v1/chat/completions"])
    assert.ok(!bodyOf(after, path).includes("least_loaded"), bodyOf(after, path));
  assert.match(bodyOf(after, "/api/v1/batch_predict"), /"maxItems":7\b/);
  assert.equal((await patch({ gpu: null, limits: null })).statusCode, 200);
  assert.deepEqual(await read(), before);
});

test("the original system's forms answer with what holds now", async (t) => {
  const server = await startLocalServer(t, { config: SLOW });
  const change = (path: string, body: object) =>
    server.request<unknown>("POST", `/api/v1/config/gpu/${path}`, { body });
  const strategy = await change("strategy", { strategy: "random" });
  assert.deepEqual([strategy.status, strategy.body], [200, { strategy: "random" }]);
  const slots = await change("max_concurrent_tasks", { max_concurrent_tasks: 2 });
  assert.deepEqual([slots.status, slots.body], [200, { max_concurrent_tasks: 2 }]);
  assert.deepEqual(
    (await server.gpus()).map((gpu) => gpu.slots),
    [2, 2],
  );
  for (const [path, body] of [
    ["strategy", { strategy: "fastest" }],
    ["strategy", {}],
    ["max_concurrent_tasks", { max_concurrent_tasks: 0 }],
    ["max_concurrent_tasks", { max_concurrent_tasks: 1.5 }],
  ] as const)
    assert.equal((await change(path, body)).status, 400, JSON.stringify(body));
});

test("who is no admin may neither see nor change the configuration", async (t) => {
  const { app } = testServer(t);
  for (const headers of [AS.user, AS.viewer]) {
    assert.equal((await app.inject({ url: `${API}/config`, headers })).statusCode, 403);
    const body = { log: { level: "debug" } };
    assert.equal((await app.inject({ method: "PATCH", url: `${API}/config`, headers, body })).statusCode, 403);
  }
});

test("a merge patch may be declared by its own type, and what is wrong with it has its field", async (t) => {
  const { app } = testServer(t);
  const headers = { ...AS.admin, "content-type": "application/merge-patch+json" };
  const send = (body: string) => app.inject({ method: "PATCH", url: `${API}/config`, headers, body });
  assert.equal((await send('{"log": {"level": "warn"}}')).statusCode, 200);
  for (const body of ["[]", "3", "null", '"x"']) assert.equal((await send(body)).statusCode, 400, body);
  const wrong = await send('{"log": {"level": "loud"}}');
  assert.deepEqual([wrong.statusCode, wrong.json<{ code: string }>().code], [400, "invalid_input"]);
  assert.match(wrong.json<{ error: string }>().error, /^log\.level must be one of "trace"/);
  const locked = await send('{"server": {"host": "0.0.0.0"}}');
  assert.deepEqual([locked.statusCode, locked.json<{ code: string }>().code], [409, "conflict"]);
});

test("a certificate that is renewed on disk counts for new connections, and a broken one never", async (t) => {
  const folder = temporaryFolder(t);
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const put = (pair: { readonly cert: string; readonly key: string }): void => {
    writeFileSync(cert, pair.cert);
    writeFileSync(key, pair.key);
  };
  put(newCertificate("first"));
  const text = `${SLOW}\nserver: { tls: { cert: "${cert}", key: "${key}" } }`;
  const server = await startLocalServer(t, { config: text });
  const shown = async (): Promise<unknown> => {
    const socket = connectTls({ port: Number(new URL(server.url).port), host: "127.0.0.1", rejectUnauthorized: false });
    await once(socket, "secureConnect");
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return subject.CN;
  };
  assert.equal(await shown(), "first");
  assert.equal(server.reload(text).certificate, null);
  put(newCertificate("second"));
  assert.match(server.reload(text).certificate!, /^The certificate was read again from .*cert\.pem\.$/);
  assert.equal(await shown(), "second");
  writeFileSync(cert, newCertificate("third").cert);
  assert.match(server.reload(text).certificate!, /^The certificate that was there before stays in use: server\.tls: /);
  assert.equal(await shown(), "second");
});

test("with fewer slots what runs ends, and what waits goes on; with more it starts at once", async (t) => {
  const server = await startLocalServer(t, { config: HELD });
  const tasks = await Promise.all(Array.from({ length: 6 }, () => server.predict({ text: "x", max_length: 1000 })));
  const statuses = async () => {
    const all = await Promise.all(tasks.map(({ task_id }) => server.task(task_id)));
    return all.map(({ status }) => status);
  };
  assert.deepEqual(Map.groupBy(await statuses(), (status) => status).get("running")?.length, 4);
  await patched(server, inPlacement({ max_concurrent_tasks_per_gpu: 1 }));
  assert.deepEqual(Map.groupBy(await statuses(), (status) => status).get("running")?.length, 4, "none is cut off");
  const running = (await server.gpus()).map((gpu) => [gpu.slots, gpu.task_count]);
  assert.deepEqual(running, [[1, 4]]);
  await server.request("POST", `/api/v1/task/${tasks[0]!.task_id}/cancel`);
  assert.equal((await server.ended(tasks[0]!.task_id)).status, "canceled");
  assert.equal((await server.gpus())[0]!.task_count, 3, "a slot that was left is not filled again");
  await patched(server, inPlacement({ max_concurrent_tasks_per_gpu: null }));
  assert.equal((await server.gpus())[0]!.task_count, 4);
});

test("more slots than a model was loaded with take a load, which waits until nothing runs there", async (t) => {
  const server = await startLocalServer(t, { config: HELD });
  const held = await server.predict({ text: "x", max_length: 1000 });
  await patched(server, inPlacement({ max_concurrent_tasks_per_gpu: 6 }));
  assert.deepEqual(
    (await server.gpus()).map(({ slots, status }) => [slots, status]),
    [[4, "ready"]],
  );
  assert.equal(server.workers.count, 1);
  await server.request("POST", `/api/v1/task/${held.task_id}/cancel`);
  await server.ended(held.task_id);
  const tasks = await Promise.all(Array.from({ length: 7 }, () => server.predict({ text: "x", max_length: 1000 })));
  await server.logged(({ msg, slots }) => msg === "worker ready" && slots === 6);
  const statuses = await Promise.all(tasks.map(async ({ task_id }) => (await server.task(task_id)).status));
  assert.equal(statuses.filter((status) => status === "running").length, 6);
  assert.deepEqual([server.workers.count, server.workers.alive.length], [2, 1]);
});

test("limits of callers, mappings and the log's level count at once", async (t) => {
  const server = await startLocalServer(t, { config: HELD });
  await patched(server, { callers: { users: { admin: { max_running: 1, requests_per_minute: 3 } } } });
  const first = await server.predict({ text: "x", max_length: 1000 });
  const second = await server.predict({ text: "x", max_length: 1000 });
  assert.deepEqual([first.status, second.status], ["running", "queued"]);
  assert.equal((await server.task(second.task_id)).waiting?.reason, "caller_limit");
  const third = await server.request("POST", "/api/v1/predict", { body: { text: "x" } });
  assert.equal(third.headers.get("ratelimit-limit"), "3");
  assert.equal((await server.request("POST", "/api/v1/predict", { body: { text: "x" } })).status, 429);
  await patched(server, { callers: null });
  assert.equal((await server.task(second.task_id)).status, "running");

  await patched(server, inPlacement({ task_specific_mappings: { summary: "gpu_7" } }));
  await server.logged(({ msg }) => /task_specific_mappings\.summary names gpu_7, which is not there/.test(msg));
  await patched(server, { log: { requests: "all" } });
  await server.request("GET", "/api/v1/gpus");
  await server.logged(({ msg, route }) => msg === "request" && route === "/api/v1/gpus");
  await patched(server, { log: { level: "debug", requests: null } });
  assert.equal((await server.request<Answer>("GET", "/api/v1/config")).body.config.log.level, "debug");
  await patched(server, { log: { level: "silent" } });
  assert.match(server.log.at(-1)!.msg, /^configuration changed: log\.level: "debug" → "silent"$/);
  const before = server.log.length;
  await patched(server, inPlacement({ batch_split: false }));
  assert.equal(server.log.length, before);
});

test("models change by a patch as by the file, but name nothing of the server's machine", async (t) => {
  const config = `${SLOW}\nmodels: [{ name: a, source: /own/a.gguf, load: demand, engine: { kind: simulated } }]`;
  const server = await startLocalServer(t, { config: config });
  const a = { name: "a", source: "/own/a.gguf", load: "demand", engine: { kind: "simulated" } };
  const b = { name: "b", source: "smollm2-135m", load: "demand", engine: { kind: "simulated" } };
  await patched(server, { models: [a, b] });
  assert.equal((await server.run({ text: "x", max_length: 2, model: "b" })).status, "completed");
  const wrong: [object[], RegExp][] = [
    [[{ ...b, source: "/etc/passwd" }], /models\[0\]\.source must be a name of the table or begin with hf:/],
    [[a, { ...b, source: "https://example.org/b.gguf" }], /models\[1\]\.source must be/],
    [[{ ...b, engine: { kind: "llama-server", binary: "/bin/sh" } }], /models\[0\]\.engine\.binary cannot be set/],
    [[{ ...b, gpus: [9] }], /gpus names GPU 9/],
    [[b, b], /b/],
  ];
  for (const [models, sentence] of wrong) {
    const { status, body } = await server.request("PATCH", "/api/v1/config", { body: { models } });
    assert.equal(status, 400, JSON.stringify(body));
    assert.match(body.error, sentence);
  }
  const allowing = await server.request("PATCH", "/api/v1/config", { body: { models_allow_urls: true } });
  assert.equal(allowing.status, 409);
  await patched(server, { models: null });
  const models = (await server.request<{ models: { name: string }[] }>("GET", "/api/v1/models")).body.models;
  assert.deepEqual(
    models.map(({ name }) => name),
    ["a"],
  );
});

test("what was set holds after a restart, and the log says so", async (t) => {
  const server = await startLocalServer(t, { config: SLOW });
  await patched(server, inPlacement({ default_strategy: "random" }));
  await server.stop();
  const next = await server.restart();
  assert.equal((await next.run({ text: "x", max_length: 2 })).placement?.strategy, "random");
  const words = 'gpu.multi_gpu.default_strategy is "random", in the place of "least_loaded": admin set it';
  await next.logged(({ msg }) => msg.startsWith(words));
});

test("validate-config says what holds in the place of the file, and what does not", async (t) => {
  const server = await startLocalServer(t, { config: SLOW });
  await patched(server, { log: { level: "warn" } });
  const cwd = temporaryFolder(t);
  writeFileSync(join(cwd, "config.yaml"), "gpu: { enabled: false }");
  const valid = await runCommand(["validate-config", "--data-dir", server.dataDir], { cwd });
  assert.match(valid.stdout, /^config\.yaml: valid\nlog\.level is "warn", in the place of "info": admin set it/);
  writeFileSync(join(cwd, "config.yaml"), "log: { level: error }");
  const outdated = await runCommand(["validate-config", "--data-dir", server.dataDir], { cwd });
  assert.match(outdated.stdout, /^config\.yaml: valid\nlog\.level has changed in the file, which counts again\.\n$/);
});
