/** The audit log over HTTP: what leaves a row, what is in it, and who may read it. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { type InjectOptions } from "fastify";
import { AUDIT_ACTIONS, AUDIT_CODES } from "../src/audit/actions.ts";
import { hashApiKey } from "../src/auth/secrets.ts";
import { parseConfig } from "../src/config/config.ts";
import { type AuditAnswer } from "../src/http/schemas/audit.ts";
import {
  aBatch,
  aCompletedTask,
  AS,
  BATCH_ID,
  get,
  ID,
  MODEL,
  post,
  refusal,
  remove,
  testConfig,
  testServer,
} from "./helpers/http.ts";
import { AUDIT_ROW } from "./kits/records.ts";
import { startLocalServer } from "./helpers/local-server.ts";

type Document = { readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly "x-scope"?: string }>>>> };

/** A body that each route takes, so that it does what it is for. */
const BODIES: Readonly<Record<string, object>> = {
  "patch /api/v1/config": { log: { level: "info" } },
  "post /api/v1/config/gpu/strategy": { strategy: "round_robin" },
  "post /api/v1/config/gpu/max_concurrent_tasks": { max_concurrent_tasks: 3 },
  "post /api/v1/users": { name: "eve", role: "user" },
  "patch /api/v1/users/{name}": { role: "viewer" },
  "post /api/v1/keys": { user: "user", name: "new" },
  "post /api/v1/models": { source: "hf:a/b", name: "a/b" },
};

test("a model that an admin has loaded as Ollama's clients do it leaves the same row", async (t) => {
  const { app, audited } = testServer(t, testConfig("api: { ollama: true }"));
  await app.inject({ method: "POST", url: "/api/generate", headers: AS.admin, payload: { model: MODEL.name } });
  assert.deepEqual(
    audited.filter(({ action }) => action.startsWith("model.")).map(({ action, target }) => [action, target]),
    [["model.load", MODEL.name]],
  );
});

test("every route that changes what the server does leaves exactly one row, whether it succeeds or not", async (t) => {
  const { app, audited } = testServer(t);
  const document: Document = (await app.inject({ url: "/openapi.json", headers: AS.admin })).json();
  const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([method, { "x-scope": scope }]) => scope === "admin" && method !== "get")
      .map(([method]) => ({ name: `${method} ${path}`, method: method.toUpperCase(), path })),
  );
  assert.ok(routes.length >= 9, `${routes.length} routes`);
  for (const { name, method, path } of routes) {
    const url = path
      .replace("{gpu_id}", "0")
      .replace("{name}", path.includes("/users") ? "eve" : "new")
      .replace(/\{\w+\}/g, "a%20model");
    const body = method === "DELETE" ? {} : { payload: JSON.stringify(BODIES[name] ?? {}) };
    for (const [who, payload] of [
      ["admin", body],
      ["admin", { payload: "[" }],
      ["user", body],
    ] as const) {
      if (method === "DELETE" && payload !== body) continue;
      audited.length = 0;
      const headers = { ...AS[who], "content-type": "application/json" };
      const asked = { method: method as InjectOptions["method"] & string, url, headers, ...payload };
      const { statusCode, json } = await app.inject(asked);
      const rows = audited.filter(({ action }) => !action.startsWith("auth."));
      assert.equal(rows.length, 1, `${name} as ${who}: ${statusCode}`);
      const [{ action, user, outcome, address, way }] = rows as [(typeof rows)[number]];
      assert.ok(AUDIT_CODES.includes(action));
      assert.deepEqual({ user, address, way }, { user: who, address: "127.0.0.1", way: "http" });
      assert.equal(outcome, statusCode < 400 ? "ok" : json<{ code: string }>().code, name);
      if (payload === body && who === "admin" && BODIES[name]) assert.equal(outcome, "ok", name);
    }
  }
});

test("a route that changes what the server does and names no action cannot be added", async (t) => {
  const { app } = testServer(t);
  await app.ready();
  const { auditRoutes } = await import("../src/http/auditing.ts");
  const { administration, guardRoute } = await import("../src/http/access.ts");
  const { default: fastify } = await import("fastify");
  const other = fastify();
  other.addHook("onRoute", guardRoute);
  auditRoutes(other, { record: () => {} }, { clientOf: () => "" } as never);
  const forgotten = () => other.post("/x", { onRequest: administration("Doing this") }, () => ({}));
  assert.throws(forgotten, /POST \/x changes what the server does: name its action/);
});

test("a row says which keys of the configuration were changed, and what was drained", async (t) => {
  const { app, audited } = testServer(t);
  await app.inject({ method: "PATCH", url: "/api/v1/config", headers: AS.admin, payload: { log: { level: "warn" } } });
  await post(app, "/gpus/0/drain", {}, AS.admin);
  await post(app, "/gpus/9/drain", {}, AS.admin);
  await post(app, "/models", { source: "hf:a/b", name: "ours" }, AS.admin);
  const said = audited.map(({ action, target, outcome, details }) => [action, target, outcome, details]);
  assert.deepEqual(said, [
    ["auth.sign_in", null, "ok", "by key"],
    ["config.change", null, "ok", "log.level"],
    ["gpu.drain", "0", "ok", null],
    ["gpu.drain", "9", "not_found", null],
    ["model.pull", "ours", "ok", null],
  ]);
});

test("the same refusal again and again has few rows", async (t) => {
  const { app, audited } = testServer(t);
  for (let count = 0; count < 9; count++) await post(app, "/gpus/0/drain", {});
  const rows = audited.filter(({ action }) => action === "gpu.drain");
  assert.deepEqual(
    rows.map(({ outcome, details }) => [outcome, details]),
    [null, "2 times", "4 times", "8 times"].map((details) => ["forbidden", details]),
  );
});

test("submitting and reading leave no row but that of the sign-in, which is one for each key and address", async (t) => {
  const { app, audited } = testServer(t);
  for (let count = 0; count < 3; count++) {
    await post(app, "/predict", { text: "hello" });
    await get(app, "/tasks");
    await get(app, "/usage");
  }
  await get(app, "/tasks", AS.admin);
  await get(app, "/tasks", { authorization: "Bearer wrong" });
  assert.deepEqual(
    audited.map(({ action, user, key, outcome }) => [action, user, key, outcome]),
    [
      ["auth.sign_in", "user", "user-key", "ok"],
      ["auth.sign_in", "admin", "admin-key", "ok"],
      ["auth.refused", null, null, "unauthorized"],
    ],
  );
});

test("a key that has expired is refused in a row that names its user", async (t) => {
  const key = `{ name: old, user: ada, sha256: "${hashApiKey("old")}", expires_at: "2020-01-01T00:00:00Z" }`;
  const config = parseConfig(`auth: { users: [{ name: ada, role: admin }], keys: [${key}] }`, "test.yaml");
  const { app, audited } = testServer(t, config);
  for (let count = 0; count < 3; count++) await get(app, "/tasks", { authorization: "Bearer old" });
  assert.deepEqual(
    audited.map(({ action, user, details }) => [action, user, details]),
    [
      ["auth.refused", "ada", "expired API key refused, once"],
      ["auth.refused", "ada", "expired API key refused, 2 times"],
    ],
  );
});

test("behind a proxy that is trusted, sign-ins are told apart by the client's address, also on one connection", async (t) => {
  const config = testConfig("server: { trust_proxy: true }");
  const { app, audited } = testServer(t, config);
  for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.1"])
    await get(app, "/tasks", { ...AS.user, "x-forwarded-for": address });
  assert.deepEqual(
    audited.map(({ address }) => address),
    ["192.0.2.1", "192.0.2.2"],
  );
});

/** Changes of the configuration that have a value in many places. */
const places = (value: string): object[] => [
  { engine: { api_key: value } },
  { auth: { users: [{ name: "x", role: "admin", password_hash: value }] } },
  { auth: { keys: [{ name: "x", user: "x", sha256: value }] } },
  { gpu: { devices: [{ kind: "openai", base_url: `https://ada:${value}@x.example`, api_key: value }] } },
  { models: [{ name: "x", source: `https://ada:${value}@x.example/x.gguf` }] },
  { log: { level: value } },
  { [value]: value },
  { callers: { users: { bob: { weight: value } } } },
];

test("no value of a key that is secret gets into a row, whatever is sent", async (t) => {
  const { app, audited } = testServer(t);
  const secret = fc.stringMatching(/^sk-[a-zA-Z0-9]{20,40}$/);
  const property = fc.asyncProperty(secret, async (value) => {
    for (const payload of places(value))
      await app.inject({ method: "PATCH", url: "/api/v1/config", headers: AS.admin, payload });
    await get(app, "/tasks", { authorization: `Bearer ${value}` });
    assert.ok(audited.length > 0);
    assert.ok(!JSON.stringify(audited).includes(value));
  });
  await fc.assert(property, { numRuns: 3 });
  // A name that nobody has may be a password.
  const login = Buffer.from("sk-password:sk-password").toString("base64");
  await get(app, "/tasks", { authorization: `Basic ${login}` });
  assert.equal(audited.at(-1)!.action, "auth.refused");
  assert.ok(!JSON.stringify(audited).includes("sk-password"));
});

test("GET /audit is for admins, and selects and continues", async (t) => {
  const { app, state } = testServer(t);
  state.auditRows = [9, 8, 7].map((number) => ({ ...AUDIT_ROW, number, user: "=1+1" }));
  refusal(await get(app, "/audit"), 403, "forbidden");
  refusal(await get(app, "/audit", AS.viewer), 403, "forbidden");
  refusal(await get(app, "/audit?action=nothing", AS.admin), 400, "invalid_input");
  refusal(await get(app, "/audit?after=x", AS.admin), 400, "invalid_input");
  const { rows, next } = (await get(app, "/audit?limit=2", AS.admin)).json<AuditAnswer>();
  assert.deepEqual(
    rows.map(({ number }) => number),
    [9, 8],
  );
  assert.ok(next !== null);
  const all = (await get(app, "/audit", AS.admin)).json<AuditAnswer>();
  assert.equal(all.next, null);
  const table = await get(app, "/audit?limit=2", { ...AS.admin, accept: "text/csv" });
  assert.equal(table.headers.link, `<?limit=2&after=${next}>; rel="next"`);
  const [head, first] = table.body.split("\r\n");
  assert.equal(head, "id,number,at,way,user,key,address,action,target,outcome,details");
  assert.match(first!, /^a,9,2023-11-14T22:13:20.000Z,http,'=1\+1,ada-1,192.0.2.7,config.change,,ok,log.level$/);
});

test("deletions, exports and what is done to the tasks of others leave a row; one's own cancellation leaves none", async (t) => {
  const { app, audited, tasks } = testServer(t);
  tasks.tasks = [aCompletedTask()];
  tasks.batches = [aBatch()];
  tasks.matching = 2;
  const said = async (ask: Promise<{ readonly statusCode: number; readonly body: string }>) => {
    const { statusCode, body } = await ask;
    assert.ok(statusCode < 300, body);
    const rows = audited.splice(0).filter(({ action }) => action !== "auth.sign_in");
    return rows.map(({ action, user, target, details }) => [action, user, target, details]);
  };
  for (const [path, action] of [
    [`/task/${ID}/cancel`, "task.cancel"],
    [`/task/${ID}/retry`, "task.retry"],
  ] as const) {
    assert.deepEqual(await said(post(app, path, {}, AS.admin)), [[action, "admin", ID, "of user"]]);
    assert.deepEqual(await said(post(app, path, {})), []);
  }
  const batch = [["batch.cancel", "admin", BATCH_ID, "of user"]];
  assert.deepEqual(await said(post(app, `/batch/${BATCH_ID}/cancel`, {}, AS.admin)), batch);
  const many = [["task.cancel_many", "admin", null, "2 tasks, by status"]];
  assert.deepEqual(await said(post(app, "/tasks/cancel", { status: "queued" }, AS.admin)), many);
  const results = [["export.results", "viewer", BATCH_ID, "of user"]];
  assert.deepEqual(await said(get(app, `/batch/${BATCH_ID}/results`, AS.viewer)), results);
  assert.deepEqual(await said(get(app, `/batch/${BATCH_ID}/results`)), []);
  assert.deepEqual(await said(get(app, "/usage?format=csv", AS.admin)), [["export.usage", "admin", null, "user"]]);
  assert.deepEqual(await said(get(app, "/audit?format=csv", AS.admin)), [["export.audit", "admin", null, "0 rows"]]);
  assert.deepEqual(await said(remove(app, `/task/${ID}`, AS.admin)), [["task.remove", "admin", ID, "of user"]]);
  assert.deepEqual(await said(remove(app, `/task/${ID}`)), [["task.remove", "user", ID, null]]);
  assert.deepEqual(await said(post(app, "/webhook_secret", {})), [["webhook_secret.rotate", "user", null, null]]);
});

test("a server keeps its rows over a restart, and each has a line in the log", async (t) => {
  const server = await startLocalServer(t, { devices: "simulated:1" });
  const headers = { authorization: `Bearer ${server.key}` };
  const read = async (url: string): Promise<AuditAnswer> =>
    (await (await fetch(`${url}/api/v1/audit`, { headers })).json()) as AuditAnswer;
  const patched = await fetch(`${server.url}/api/v1/config`, {
    method: "PATCH",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify({ log: { level: "info" }, limits: { max_batch_size: 7 } }),
  });
  assert.equal(patched.status, 200);
  await server.stop();
  const next = await server.restart();
  const { rows } = await read(next.url);
  const config = rows.find(({ action }) => action === "config.change")!;
  assert.deepEqual([config.details, config.outcome, config.address], ["limits.max_batch_size", "ok", "127.0.0.1"]);
  assert.deepEqual(rows.map(({ action }) => action).toSorted(), ["auth.sign_in", "auth.sign_in", "config.change"]);
  const [line] = await server.logged((one) => one["audit"] === true && one["action"] === "config.change");
  assert.deepEqual([line!["outcome"], line!.msg], ["ok", AUDIT_ACTIONS["config.change"]]);
});

test("docs/audit.md lists every action with its sentence", () => {
  const page = readFileSync(new URL("../docs/audit.md", import.meta.url), "utf8");
  const listed = [...page.matchAll(/^\| `([a-z_]+\.[a-z_]+)` \| (.+) \|$/gm)].map(([, code, sentence]) => [
    code,
    sentence,
  ]);
  assert.deepEqual(listed, Object.entries(AUDIT_ACTIONS));
});

test("audit.retention of 0 keeps rows for ever, and is no mistake", () => {
  assert.equal(parseConfig("audit: { retention: 0 }", "c.yaml").audit.retention, 0);
  assert.equal(parseConfig("", "c.yaml").audit.retention, 90 * 86_400);
});
