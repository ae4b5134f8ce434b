import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { type FastifyInstance, type InjectOptions } from "fastify";
import { AltLasError, ERRORS } from "../src/errors.ts";
import {
  aBatch,
  aCompletedTask,
  aDelivery,
  AS,
  aTask,
  BATCH_ID,
  CPU_DEVICE,
  DONE,
  GPU,
  GPU_GROUP,
  ID,
  OTHER_ID,
  testConfig,
  testServer,
  UNKNOWN_ID,
  USAGE,
} from "./helpers/http.ts";
import { AUDIT_ROW } from "./kits/records.ts";

interface Operation {
  operationId: string;
  summary: string;
  security?: unknown[];
  parameters?: { in: string; name: string; required: boolean; schema: object }[];
  requestBody?: { required: boolean; content: Content };
  responses: Record<string, { description: string; headers?: object; content?: Content }>;
}
type Content = Record<string, { schema: Record<string, unknown>; example?: unknown }>;
/** What is not JSON. */
const STREAMS = new Set(["text/event-stream", "application/x-ndjson", "text/csv"]);
interface Document {
  openapi: string;
  info: { title: string; version: string };
  security: unknown;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, { examples: unknown[] }>; securitySchemes: object };
}

/** The APIs that are served only where the configuration says so. */
const ALL_APIS = "api: { ollama: true, anthropic: true }";

async function documentOf(app: FastifyInstance): Promise<Document> {
  const response = await app.inject({ url: "/openapi.json", headers: AS.viewer });
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers["content-type"], "application/json; charset=utf-8");
  return response.json();
}

/** Compiles a schema of the document by its place there, so that its references are followed as a client would. */
function compiler(document: Document) {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(document, "document");
  return (...path: string[]) => {
    const pointer = path.map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");
    const validate = ajv.compile({ $ref: `document#/${pointer}` });
    return (value: unknown) => assert.ok(validate(value), `${pointer}: ${ajv.errorsText(validate.errors)}`);
  };
}

function operations(document: Document): { path: string; method: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
}

test("the document has every route but those of pages, each with a name of its own", async (t) => {
  const { app } = testServer(t, testConfig(ALL_APIS));
  const routes: string[] = [];
  app.addHook("onRoute", ({ method, url, schema }) => {
    if (schema?.hide === true) return;
    for (const name of [method].flat())
      if (name !== "HEAD") routes.push(`${name} ${url.replace(/:(\w+)/g, "{$1}").replace("*", "{model}")}`);
  });
  const document = await documentOf(app);
  const documented = operations(document).map(({ path, method }) => `${method.toUpperCase()} ${path}`);
  assert.ok(routes.length >= 26);
  assert.deepEqual(documented.toSorted(), routes.toSorted());
  const names = operations(document).map(({ operation }) => operation.operationId);
  assert.equal(new Set(names).size, names.length);
  for (const { operation } of operations(document)) assert.ok(operation.summary);
});

test("it is OpenAPI 3.1, with all ways to log in, which only health does without", async (t) => {
  const document = await documentOf(testServer(t, testConfig(ALL_APIS)).app);
  assert.equal(document.openapi, "3.1.0");
  assert.deepEqual(document.info.title, "ALT_LAS");
  assert.equal(document.info.version, "1.2.3");
  assert.deepEqual(document.security, [{ bearer: [] }, { basic: [] }, { api_key: [] }]);
  assert.deepEqual(Object.keys(document.components.securitySchemes), ["bearer", "basic", "api_key"]);
  const open = operations(document).filter(({ operation }) => operation.security?.length === 0);
  assert.deepEqual(
    open.map(({ path }) => path),
    ["/livez", "/readyz", "/healthz"],
  );
});

test("every schema can be compiled, every reference leads somewhere, and every example fits", async (t) => {
  const document = await documentOf(testServer(t, testConfig(ALL_APIS)).app);
  const compile = compiler(document);
  for (const [name, { examples }] of Object.entries(document.components.schemas)) {
    const fits = compile("components", "schemas", name);
    assert.ok(examples.length > 0, name);
    for (const example of examples) fits(example);
  }
  for (const { path, method, operation } of operations(document)) {
    for (const [status, { content = {} }] of Object.entries(operation.responses)) {
      if (status !== "204") assert.ok(Object.keys(content).length > 0, `${path} ${status}`);
      for (const [type, { schema }] of Object.entries(content)) {
        const fits = compile("paths", path, method, "responses", status, "content", type, "schema");
        if (STREAMS.has(type)) for (const example of schema["examples"] as unknown[]) fits(example);
      }
    }
    for (const i of Object.keys(operation.parameters ?? [])) compile("paths", path, method, "parameters", i, "schema");
    const body = operation.requestBody?.content["application/json"];
    if (body) {
      const fits = compile("paths", path, method, "requestBody", "content", "application/json", "schema");
      assert.ok(body.example);
      fits(body.example);
    }
  }
});

test("a client is asked for nothing that has a default, and hears of the limits", async (t) => {
  const document = await documentOf(testServer(t, testConfig("limits: { max_batch_size: 7 }")).app);
  const schemaOf = (path: string) => document.paths[path]!["post"]!.requestBody!.content["application/json"]!.schema;
  assert.equal(schemaOf("/api/v1/predict")["required"], undefined);
  assert.deepEqual(schemaOf("/api/v1/batch_predict")["required"], ["batch"]);
  const fits = compiler(document)(
    "paths",
    "/api/v1/predict",
    "post",
    "requestBody",
    "content",
    "application/json",
    "schema",
  );
  fits({ text: "x", max_length: null, gpu_options: { strategy: null, specific_gpu_id: null } });
  fits({ messages: [{ role: "user", content: [{ type: "text", text: "x" }] }], stop: "x", logprobs: null, tools: [] });
  fits({ input: ["x"], response_format: null, seed: null });
  assert.throws(() => fits({ text: "" }));
  assert.throws(() => fits({ messages: [{ content: "x" }] }));
  const text = JSON.stringify(document);
  assert.match(text, /"maxItems":7/);
  assert.match(text, /at most 1048576 bytes in UTF-8/);
  assert.doesNotMatch(text, /"maxBytes"|"allowed"|"unsupported":|"alsoCalled"|"secret":true|"~/);
});

test("answers to submissions may have warnings, and the document says so", async (t) => {
  const document = await documentOf(testServer(t).app);
  const warned = operations(document)
    .filter(
      ({ operation }) =>
        "X-Warning" in ((operation.responses["200"] as { headers?: object } | undefined)?.headers ?? {}),
    )
    .map(({ path }) => path);
  const own = ["/api/v1/predict", "/api/v1/batch_predict"];
  const theirs = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"];
  assert.deepEqual(warned.toSorted(), [...own, ...theirs].toSorted());
});

test("parameters are in the document, with Prefer among them", async (t) => {
  const document = await documentOf(testServer(t).app);
  const parametersOf = (path: string, method: string) =>
    document.paths[path]![method]!.parameters?.map(({ in: place, name, required }) => `${place} ${name} ${required}`);
  const submitting = ["header prefer false", "header idempotency-key false"];
  assert.deepEqual(parametersOf("/api/v1/predict", "post"), ["query dry_run false", ...submitting]);
  assert.deepEqual(parametersOf("/api/v1/batch_predict", "post"), ["header idempotency-key false"]);
  assert.deepEqual(parametersOf("/api/v1/task/{task_id}/retry", "post"), [
    "path task_id true",
    "header idempotency-key false",
  ]);
  assert.deepEqual(parametersOf("/api/v1/task/{task_id}/events", "get"), [
    "query ticket false",
    "query last_event_id false",
    "path task_id true",
    "header last-event-id false",
  ]);
  const results = ["query ticket false", "query follow false", "path batch_id true"];
  assert.deepEqual(parametersOf("/api/v1/batch/{batch_id}/results", "get"), results);
  assert.deepEqual(parametersOf("/api/v1/task/{task_id}", "get"), [
    "query wait false",
    "query include false",
    "path task_id true",
  ]);
  const list = [
    "status",
    "limit",
    "offset",
    "after",
    "user",
    "batch_id",
    "task_type",
    "gpu_id",
    "model",
    "since",
    "until",
  ];
  assert.deepEqual(
    parametersOf("/api/v1/tasks", "get"),
    list.map((name) => `query ${name} false`),
  );
  assert.deepEqual(parametersOf("/api/v1/gpus/{gpu_id}/drain", "post"), ["path gpu_id true"]);
});

test("a body is required where something has to be said", async (t) => {
  const document = await documentOf(testServer(t).app);
  const bodies = operations(document).filter(({ operation }) => operation.requestBody);
  assert.deepEqual(Object.fromEntries(bodies.map(({ path, operation }) => [path, operation.requestBody!.required])), {
    "/api/v1/predict": true,
    "/api/v1/stream_ticket": true,
    "/api/v1/batch_predict": true,
    "/api/v1/task/{task_id}/cancel": false,
    "/api/v1/task/{task_id}/retry": false,
    "/api/v1/task/{task_id}/webhooks": false,
    "/api/v1/tasks/cancel": true,
    "/api/v1/batch/{batch_id}/cancel": false,
    "/api/v1/batch/{batch_id}/webhooks": false,
    "/api/v1/webhook_secret": false,
    "/api/v1/webhooks/resume": false,
    "/api/v1/cluster/machines/{machine}/revoke": false,
    "/api/v1/cluster/tokens": false,
    "/api/v1/gpus/{gpu_id}/drain": false,
    "/api/v1/gpus/{gpu_id}/resume": false,
    "/api/v1/models": true,
    "/api/v1/models/{model}/load": false,
    "/api/v1/models/{model}/unload": false,
    "/api/v1/users": true,
    "/api/v1/users/{name}/forget": false,
    "/api/v1/users/{name}": true,
    "/api/v1/keys": true,
    "/api/v1/keys/{name}/rotate": false,
    "/api/v1/config": true,
    "/api/v1/config/gpu/strategy": true,
    "/api/v1/config/gpu/max_concurrent_tasks": true,
    "/v1/chat/completions": true,
    "/v1/completions": true,
    "/v1/embeddings": true,
    "/v1/responses": true,
    "/v1/batches": true,
    "/v1/batches/{batch_id}/cancel": false,
    "/v1/responses/{response_id}/cancel": false,
    "/v1/files": true,
  });
});

test("each route is documented with the statuses that it can answer with, and no others", async (t) => {
  const document = await documentOf(testServer(t).app);
  const statuses = operations(document).map(({ path, method, operation }) => [
    `${method} ${path}`,
    Object.keys(operation.responses).join(" "),
  ]);
  const operating = "200 400 401 403 404 405 413 415 417 429 500 503";
  const reading = "200 400 401 403 404 405 429 500 503";
  const controlling = "200 400 401 403 404 405 409 413 415 417 429 500 503";
  const readingText = reading.replace("405", "405 410");
  const repeating = controlling.replace("409", "409 410");
  assert.deepEqual(Object.fromEntries(statuses), {
    "get /livez": "200",
    "get /readyz": "200 503",
    "get /healthz": "200 503",
    "get /openapi.json": "200 400 401 405 429 500 503",
    "get /metrics": "200 400 401 403 404 405 429 500 503",
    "post /api/v1/predict": controlling,
    "post /api/v1/batch_predict": "200 400 401 403 405 409 413 415 417 429 500 503",
    "get /api/v1/task/{task_id}": readingText,
    "get /api/v1/tasks": "200 400 401 403 405 429 500 503",
    "get /api/v1/task/{task_id}/events": reading.replace("200", "200 204"),
    "get /api/v1/events": "200 400 401 403 405 429 500 503",
    "post /api/v1/stream_ticket": "200 400 401 403 405 413 415 417 429 500 503",
    "post /api/v1/task/{task_id}/cancel": controlling,
    "post /api/v1/task/{task_id}/retry": repeating,
    "delete /api/v1/task/{task_id}": controlling,
    "post /api/v1/tasks/cancel": "200 400 401 403 405 413 415 417 429 500 503",
    "get /api/v1/batch/{batch_id}": reading,
    "get /api/v1/batch/{batch_id}/results": reading,
    "post /api/v1/batch/{batch_id}/cancel": controlling,
    "get /api/v1/webhook_secret": "200 400 401 403 405 429 500 503",
    "post /api/v1/webhook_secret": "200 400 401 403 405 413 415 417 429 500 503",
    "get /api/v1/webhooks": "200 400 401 403 405 429 500 503",
    "post /api/v1/webhooks/resume": "200 400 401 403 404 405 413 415 417 429 500 503",
    "get /api/v1/task/{task_id}/webhooks": reading,
    "post /api/v1/task/{task_id}/webhooks": "200 400 401 403 404 405 413 415 417 429 500 503",
    "get /api/v1/batch/{batch_id}/webhooks": reading,
    "post /api/v1/batch/{batch_id}/webhooks": "200 400 401 403 404 405 413 415 417 429 500 503",
    "get /api/v1/me": "200 400 401 405 429 500 503",
    "get /api/v1/callers": "200 400 401 403 405 429 500 503",
    "get /api/v1/cluster": "200 400 401 403 404 405 429 500 503",
    "post /api/v1/cluster/machines/{machine}/revoke": "200 400 401 403 404 405 409 413 415 417 429 500 503",
    "post /api/v1/cluster/tokens": "201 400 401 403 404 405 409 413 415 417 429 500 503",
    "get /api/v1/usage": "200 400 401 403 405 429 500 503",
    "get /api/v1/audit": "200 400 401 403 405 429 500 503",
    "get /api/v1/gpus": "200 400 401 403 405 429 500 503",
    "get /api/v1/gpus/{gpu_id}": "200 400 401 403 404 405 429 500 503",
    "post /api/v1/gpus/{gpu_id}/drain": operating,
    "post /api/v1/gpus/{gpu_id}/resume": operating,
    "get /api/v1/models": "200 400 401 403 405 429 500 503",
    "get /api/v1/models/{model}": "200 400 401 403 404 405 429 500 503",
    "post /api/v1/models/{model}/load": operating,
    "post /api/v1/models/{model}/unload": controlling,
    "post /api/v1/models": "202 400 401 403 405 409 413 415 417 429 500 503",
    "delete /api/v1/models/{model}": controlling,
    "get /api/v1/users": "200 400 401 403 405 429 500 503",
    "post /api/v1/users": controlling.replace("200", "201").replace(" 404", ""),
    "post /api/v1/users/{name}/forget": operating,
    "patch /api/v1/users/{name}": controlling,
    "delete /api/v1/users/{name}": controlling,
    "get /api/v1/keys": "200 400 401 403 405 429 500 503",
    "post /api/v1/keys": controlling.replace("200", "201"),
    "post /api/v1/keys/{name}/rotate": controlling,
    "delete /api/v1/keys/{name}": controlling,
    "get /api/v1/config": "200 400 401 403 405 429 500 503",
    "patch /api/v1/config": "200 400 401 403 405 409 413 415 417 429 500 503",
    "post /api/v1/config/gpu/strategy": "200 400 401 403 405 413 415 417 429 500 503",
    "post /api/v1/config/gpu/max_concurrent_tasks": "200 400 401 403 405 413 415 417 429 500 503",
    "post /v1/chat/completions": repeating,
    "post /v1/completions": repeating,
    "post /v1/embeddings": repeating,
    "post /v1/responses": repeating,
    "get /v1/responses/{response_id}": readingText,
    "post /v1/responses/{response_id}/cancel": "200 400 401 403 404 405 413 415 417 429 500 503",
    "delete /v1/responses/{response_id}": "200 400 401 403 404 405 413 415 417 429 500 503",
    "get /v1/responses/{response_id}/input_items": reading,
    "get /v1/files": "200 400 401 403 405 429 500 503",
    "post /v1/files": "200 400 401 403 405 408 413 415 417 429 500 503",
    "get /v1/files/{file_id}": reading,
    "delete /v1/files/{file_id}": controlling,
    "get /v1/files/{file_id}/content": reading,
    "post /v1/batches": "200 400 401 403 404 405 409 413 415 417 429 500 503",
    "get /v1/batches": "200 400 401 403 405 429 500 503",
    "get /v1/batches/{batch_id}": "200 400 401 403 404 405 429 500 503",
    "post /v1/batches/{batch_id}/cancel": "200 400 401 403 404 405 409 413 415 417 429 500 503",
    "get /v1/models": "200 400 401 403 405 429 500 503",
    "get /v1/models/{model}": "200 400 401 403 404 405 429 500 503",
  });
});

const TASK_PATH = "/api/v1/task/{task_id}";
const BATCH_PATH = "/api/v1/batch/{batch_id}";
const GPU_PATH = "/api/v1/gpus/{gpu_id}";
const MODEL_PATH = "/api/v1/models/{model}";

function refuseEnded(): never {
  throw new AltLasError("conflict", "It has ended.", { details: { status: "completed" } });
}

function get(url: string): InjectOptions {
  return { url, headers: AS.user };
}

/** What a user asks for. */
function change(method: "POST" | "DELETE", path: string, payload = "{}"): InjectOptions {
  const headers = { ...AS.user, "content-type": "application/json" };
  return { method, url: `/api/v1${path}`, headers, ...(method === "POST" && { payload }) };
}

/** What an operator asks for. */
function operate(path: string, payload: string, type = "application/json"): InjectOptions {
  return { method: "POST", url: `/api/v1${path}`, headers: { ...AS.admin, "content-type": type }, payload };
}

/** Requests that meet each status, with what the task book does then. */
function exchanges(t: TestContext) {
  const { app, tasks, webhooks, state } = testServer(t);
  const json = { ...AS.user, "content-type": "application/json" };
  const predict = (payload: string, headers: Record<string, string> = json): InjectOptions => ({
    method: "POST",
    url: "/api/v1/predict",
    headers,
    payload,
  });
  const list: { path: string; status: number; request: InjectOptions; before?: () => void }[] = [
    { path: "/api/v1/predict", status: 200, request: predict('{"text":"x"}') },
    { path: "/api/v1/predict", status: 200, request: predict('{"text":"x"}', { ...json, prefer: "wait=1" }) },
    { path: "/api/v1/predict", status: 200, request: predict('{"text":"x","stream":true}') },
    { path: "/api/v1/predict", status: 400, request: predict("{}") },
    { path: "/api/v1/predict", status: 401, request: predict("{}", {}) },
    { path: "/api/v1/predict", status: 403, request: predict("{}", AS.viewer) },
    { path: "/api/v1/predict", status: 415, request: predict("x", { ...json, "content-type": "text/plain" }) },
    {
      path: "/api/v1/batch_predict",
      status: 200,
      request: { ...predict('{"batch":[{"text":"x"}]}'), url: "/api/v1/batch_predict" },
    },
    { path: "/api/v1/task/{task_id}", status: 200, request: get(`/api/v1/task/${ID}`) },
    { path: "/api/v1/task/{task_id}", status: 200, request: get(`/api/v1/task/${OTHER_ID}`) },
    { path: "/api/v1/task/{task_id}", status: 404, request: get(`/api/v1/task/${UNKNOWN_ID}`) },
    { path: "/api/v1/tasks", status: 200, request: get("/api/v1/tasks") },
    { path: "/api/v1/tasks", status: 400, request: get("/api/v1/tasks?limit=x") },
    { path: "/api/v1/tasks", status: 200, request: get("/api/v1/tasks?limit=2") },
    { path: `${TASK_PATH}/events`, status: 200, request: get(`/api/v1/task/${ID}/events`) },
    { path: `${TASK_PATH}/events`, status: 204, request: get(`/api/v1/task/${ID}/events?last_event_id=${ID}:end`) },
    { path: `${TASK_PATH}/events`, status: 400, request: get(`/api/v1/task/${ID}/events?last_event_id=x`) },
    { path: `${TASK_PATH}/cancel`, status: 200, request: change("POST", `/task/${OTHER_ID}/cancel`) },
    { path: `${TASK_PATH}/retry`, status: 200, request: change("POST", `/task/${ID}/retry`) },
    { path: TASK_PATH, status: 200, request: change("DELETE", `/task/${ID}`) },
    { path: TASK_PATH, status: 404, request: change("DELETE", `/task/${UNKNOWN_ID}`) },
    { path: "/api/v1/tasks/cancel", status: 200, request: change("POST", "/tasks/cancel", '{"status":"queued"}') },
    { path: "/api/v1/tasks/cancel", status: 400, request: change("POST", "/tasks/cancel") },
    { path: BATCH_PATH, status: 200, request: get(`/api/v1/batch/${BATCH_ID}`) },
    { path: `${BATCH_PATH}/results`, status: 200, request: get(`/api/v1/batch/${BATCH_ID}/results`) },
    { path: `${BATCH_PATH}/cancel`, status: 200, request: change("POST", `/batch/${BATCH_ID}/cancel`) },
    { path: `${BATCH_PATH}/cancel`, status: 404, request: change("POST", `/batch/${UNKNOWN_ID}/cancel`) },
    { path: "/api/v1/webhook_secret", status: 200, request: get("/api/v1/webhook_secret") },
    { path: "/api/v1/webhook_secret", status: 200, request: change("POST", "/webhook_secret") },
    { path: "/api/v1/webhooks", status: 200, request: get("/api/v1/webhooks") },
    { path: "/api/v1/webhooks/resume", status: 200, request: change("POST", "/webhooks/resume") },
    { path: `${TASK_PATH}/webhooks`, status: 200, request: get(`/api/v1/task/${ID}/webhooks`) },
    { path: `${TASK_PATH}/webhooks`, status: 200, request: change("POST", `/task/${ID}/webhooks`) },
    { path: `${BATCH_PATH}/webhooks`, status: 200, request: get(`/api/v1/batch/${BATCH_ID}/webhooks`) },
    { path: `${BATCH_PATH}/webhooks`, status: 200, request: change("POST", `/batch/${BATCH_ID}/webhooks`) },
    { path: "/api/v1/usage", status: 200, request: get("/api/v1/usage?by=user,key,model,gpu,day,hour") },
    { path: "/api/v1/usage", status: 200, request: get("/api/v1/usage?format=csv") },
    { path: "/api/v1/audit", status: 200, request: { url: "/api/v1/audit?limit=1", headers: AS.admin } },
    { path: "/api/v1/audit", status: 200, request: { url: "/api/v1/audit?format=csv", headers: AS.admin } },
    { path: "/api/v1/audit", status: 400, request: { url: "/api/v1/audit?since=noon", headers: AS.admin } },
    { path: "/api/v1/audit", status: 403, request: get("/api/v1/audit") },
    { path: "/api/v1/usage", status: 400, request: get("/api/v1/usage?by=week") },
    { path: "/api/v1/gpus", status: 200, request: get("/api/v1/gpus") },
    { path: GPU_PATH, status: 200, request: get("/api/v1/gpus/0") },
    { path: GPU_PATH, status: 200, request: get("/api/v1/gpus/1") },
    { path: GPU_PATH, status: 200, request: get("/api/v1/gpus/2") },
    { path: GPU_PATH, status: 404, request: get("/api/v1/gpus/3") },
    { path: GPU_PATH, status: 401, request: { url: "/api/v1/gpus/0" } },
    { path: `${GPU_PATH}/drain`, status: 200, request: operate("/gpus/0/drain", '{"deadline_seconds":60}') },
    { path: `${GPU_PATH}/drain`, status: 400, request: operate("/gpus/0/drain", '{"deadline_seconds":-1}') },
    { path: `${GPU_PATH}/drain`, status: 403, request: { method: "POST", ...get("/api/v1/gpus/0/drain") } },
    { path: `${GPU_PATH}/drain`, status: 404, request: operate("/gpus/3/drain", "") },
    { path: `${GPU_PATH}/drain`, status: 415, request: operate("/gpus/0/drain", "x", "text/plain") },
    { path: `${GPU_PATH}/resume`, status: 200, request: operate("/gpus/0/resume", "") },
    { path: `${GPU_PATH}/resume`, status: 404, request: operate("/gpus/x/resume", "") },
    { path: "/api/v1/models", status: 200, request: get("/api/v1/models") },
    { path: MODEL_PATH, status: 200, request: get("/api/v1/models/a%20model") },
    { path: MODEL_PATH, status: 404, request: get("/api/v1/models/another/model") },
    { path: `${MODEL_PATH}/load`, status: 200, request: operate("/models/a%20model/load", '{"gpu_ids":[0]}') },
    { path: `${MODEL_PATH}/load`, status: 400, request: operate("/models/a%20model/load", '{"gpu_ids":[9]}') },
    { path: `${MODEL_PATH}/load`, status: 403, request: { method: "POST", ...get("/api/v1/models/a/b/load") } },
    { path: `${MODEL_PATH}/unload`, status: 404, request: operate("/models/another/model/unload", "") },
    { path: `${MODEL_PATH}/unload`, status: 409, request: operate("/models/a%20model/unload", "") },
    { path: "/api/v1/models", status: 202, request: operate("/models", '{"source":"hf:a/b","name":"a/b"}') },
    { path: "/api/v1/models", status: 400, request: operate("/models", '{"source":"/etc/passwd"}') },
    { path: MODEL_PATH, status: 200, request: { ...operate("/models/a/b", "{}"), method: "DELETE" } },
    { path: MODEL_PATH, status: 409, request: { ...operate("/models/a%20model", "{}"), method: "DELETE" } },
    { path: "/livez", status: 200, request: get("/livez") },
    { path: "/readyz", status: 200, request: get("/readyz") },
    { path: "/healthz", status: 200, request: get("/healthz") },
    { path: "/openapi.json", status: 200, request: get("/openapi.json") },
    {
      path: `${TASK_PATH}/cancel`,
      status: 409,
      request: change("POST", `/task/${ID}/cancel`),
      before: () => (tasks.onCancel = refuseEnded),
    },
    {
      path: "/healthz",
      status: 503,
      request: get("/healthz"),
      before: () => (state.readiness = { ready: false, reason: "No GPU." }),
    },
    {
      path: "/api/v1/predict",
      status: 503,
      request: predict('{"text":"x"}'),
      before: () => (tasks.failure = new AltLasError("queue_full", "Full.", { retryAfter: 2 })),
    },
    {
      path: "/api/v1/tasks",
      status: 500,
      request: get("/api/v1/tasks"),
      before: () => (tasks.failure = new Error("a bug")),
    },
  ];
  tasks.tasks = [
    aCompletedTask({ batchId: UNKNOWN_ID, retryOf: OTHER_ID }),
    aTask({ id: OTHER_ID, timeoutSeconds: 5 }),
  ];
  tasks.batches = [aBatch()];
  tasks.results = tasks.tasks;
  webhooks.deliveries = [aDelivery(), aDelivery({ status: "delivered" })];
  webhooks.failing = [{ user: "user", origin: "https://example.com", failingSince: DONE, pausedAt: DONE }];
  state.gpus = [GPU, CPU_DEVICE, GPU_GROUP];
  state.usage = [USAGE];
  state.auditRows = [{ ...AUDIT_ROW, number: 7 }];
  state.running = [{ id: ID, user: "user", team: null, startedAt: GPU.since }];
  return { app, list };
}

test("what the server really answers fits the document", async (t) => {
  const { app, list } = exchanges(t);
  const document = await documentOf(app);
  const compile = compiler(document);
  for (const { path, status, request, before } of list) {
    before?.();
    const response = await app.inject(request);
    assert.equal(response.statusCode, status, `${path} ${response.body}`);
    const method = (request.method ?? "GET").toLowerCase();
    const described = document.paths[path]![method]!.responses[status];
    assert.ok(described, `${method} ${path} does not document ${status}`);
    const type = String(response.headers["content-type"]).split(";")[0]!;
    if (status === 204) continue;
    const fits = compile("paths", path, method, "responses", String(status), "content", type, "schema");
    fits(STREAMS.has(type) ? response.body : response.json());
  }
});

test("every refusal of the table that a request can meet is in the document", async (t) => {
  const document = await documentOf(testServer(t).app);
  const described = Object.values(document.paths["/api/v1/predict"]!["post"]!.responses).map((one) => one.description);
  const text = described.join("; ");
  const elsewhere = [
    "text_gone",
    "not_ready",
    "request_timeout",
    "headers_too_large",
    "model_fetch_failed",
    "files_full",
  ];
  const ofTasks = ["bad_config", "gpu_lost", "worker_crash", "poison", "timeout", "out_of_memory", "model_error"];
  for (const code of Object.keys(ERRORS)) {
    if (![...elsewhere, ...ofTasks].includes(code)) assert.match(text, new RegExp(`\\b${code}: `), code);
  }
});
