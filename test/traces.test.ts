import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, IncomingMessage } from "node:http";
import { type AddressInfo, Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { startTraces, wantsTraces } from "../src/observe/traces-wanted.ts";
import { type Task } from "../src/task.ts";
import {
  REQUEST_BEGAN,
  REQUEST_ENDED,
  TASK_ACCEPTED,
  TASK_ENDED,
  TASK_LEFT,
  TASK_OUTPUT,
  TASK_REQUEUED,
  TASK_STARTED,
  TASK_WITHDRAWN,
} from "../src/topics.ts";
import { setEnvironment } from "./helpers/environment.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { type Collector, startCollector } from "./helpers/stand-in-collector.ts";
import { newTask } from "./helpers/store.ts";
import { StandIn } from "./helpers/upstream.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const TRACEPARENT = `00-${TRACE}-${PARENT}-01`;
const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;

async function collecting(t: TestContext, variables: Readonly<Record<string, string>> = {}) {
  const collector = await startCollector(t);
  setEnvironment(t, { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...variables });
  return collector;
}

/** Traces of events that the test publishes. */
async function tracing(t: TestContext, variables: Readonly<Record<string, string>> = {}) {
  const collector = await collecting(t, variables);
  const log: string[] = [];
  const logger = pino({}, { write: (line: string) => void log.push((JSON.parse(line) as { msg: string }).msg) });
  const traces = (await startTraces(process.env, logger))!;
  t.after(() => traces.stop());
  return { collector, log, traces };
}

/** What it is to be, by its name and its place. */
function parentOf(collector: Collector, name: string): string {
  const [span] = collector.named(name);
  assert.ok(span !== undefined, `no ${name} among ${collector.spans.map((one) => one.name).join(", ")}`);
  return collector.spans.find(({ spanId }) => spanId === span.parentSpanId)?.name ?? String(span.parentSpanId);
}

const INSTANCE = { gpuId: 1, id: 0 };

/** It has been told. */
function acceptedTask(fields: Partial<Task> = {}): Task {
  const task = { ...newTask(1), ...fields };
  TASK_ACCEPTED.publish({ task });
  return task;
}

function runningTask(fields: Partial<Task> = {}): Task {
  return { ...newTask(1), status: "running", gpuId: 1, ranModel: "m", ...fields };
}

test("a request, the wait, the placement, the run and the webhook of a task are one trace, with nothing of its text", async (t) => {
  const collector = await collecting(t, { OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=lab" });
  const posted: IncomingMessage[] = [];
  const receiver = createServer((request, response) => {
    posted.push(request);
    response.end();
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  t.after(() => receiver.close());
  const config = "webhooks: { allow_private: true }";
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.became(0, "ready");
  const webhook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/a-secret-path`;
  const body = { text: "a secret prompt", max_length: 3, temperature: 0.5, webhook_url: webhook };
  const headers = { traceparent: TRACEPARENT, tracestate: "vendor=1" };
  const arrived = once(receiver, "request");
  const task = await server.run(body, headers);
  await arrived;
  await server.logged(({ msg }) => msg.startsWith("task completed"));
  await server.stop();

  const [request] = collector.named("POST /api/v1/predict");
  assert.deepEqual([request!.traceId, request!.parentSpanId, request!.kind], [TRACE, PARENT, SERVER]);
  assert.equal(request!.attributes["http.response.status_code"], 200);
  for (const name of ["queue", "placement", "text_completion simulated"])
    assert.equal(parentOf(collector, name), request!.name, name);
  const [run] = collector.named("text_completion simulated");
  const { attributes, events } = run!;
  assert.equal(attributes["gen_ai.operation.name"], "text_completion");
  assert.equal(attributes["gen_ai.request.max_tokens"], 3);
  assert.equal(attributes["gen_ai.request.temperature"], 0.5);
  assert.equal(attributes["gen_ai.response.id"], task.task_id);
  assert.deepEqual(attributes["gen_ai.response.finish_reasons"], ["length"]);
  assert.equal(attributes["gen_ai.usage.output_tokens"], 3);
  assert.equal(attributes["enduser.id"], "admin");
  assert.deepEqual(
    events.map(({ name }) => name),
    ["first_token"],
  );
  assert.equal(collector.named("placement")[0]!.attributes["altlas.placement.strategy"], "least_loaded");
  const [delivery] = collector.named("webhook task.completed");
  assert.deepEqual([delivery!.traceId, delivery!.kind], [TRACE, CLIENT]);
  assert.equal(posted[0]!.headers.traceparent, `00-${TRACE}-${delivery!.spanId}-01`);
  assert.equal(posted[0]!.headers.tracestate, "vendor=1");
  assert.equal(collector.resource["service.name"], "alt-las");
  assert.equal(collector.resource["deployment.environment.name"], "lab");
  const sent = collector.bodies.join("\n");
  for (const secret of ["a secret prompt", "a-secret-path", task.result!.text])
    assert.ok(!sent.includes(secret), secret);
});

test("a server that an engine asks is told of the run, for each task and each request for it", async (t) => {
  await using standIn = await StandIn.open({ vendor: "vllm" });
  const collector = await collecting(t);
  const device = `{ name: far, engine: { kind: openai, url: '${standIn.url}' } }`;
  const server = await startLocalServer(t, { config: `gpu: { devices: [${device}] }` });
  await server.became(0, "ready");
  const headers = { traceparent: TRACEPARENT, tracestate: "vendor=1" };
  await server.run({ text: "the first one", max_length: 2 }, headers);
  await server.run({ text: "the second one", max_length: 2 });
  await server.stop();
  const runs = collector.spans.filter(({ name }) => name.startsWith("text_completion"));
  assert.deepEqual(
    ["the first one", "the second one"].map((text) => standIn.asked(text)[0]!.headers.traceparent),
    runs.map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`),
  );
  assert.equal(runs[0]!.traceId, TRACE);
  const proofs = standIn.seen.filter(({ headers: sent }) => sent.traceparent === undefined);
  assert.ok(proofs.length > 0, "what asks for no task has none");
  assert.equal(standIn.asked("the first one")[0]!.headers.tracestate, "vendor=1");
});

test("the spans of a task outlive the request that brought it", async (t) => {
  const { collector, traces } = await tracing(t);
  const request = new IncomingMessage(new Socket());
  request.method = "POST";
  request.url = "/api/v1/predict?ticket=secret";
  REQUEST_BEGAN.publish({ request, route: "/api/v1/predict" });
  const waiting = newTask(1);
  TASK_ACCEPTED.publish({ task: waiting, origin: request });
  REQUEST_ENDED.publish({ request, route: "/api/v1/predict", status: 200 });
  const task = { ...waiting, ...runningTask(), id: waiting.id };
  TASK_STARTED.publish({ task, instance: INSTANCE, waited: 1 });
  TASK_OUTPUT.publish({ task, isFirst: true, pause: null });
  TASK_LEFT.publish({ task, outcome: { status: "canceled" } });
  TASK_ENDED.publish({ task: { ...task, status: "canceled" } });
  await traces.stop();
  const [server] = collector.named("POST /api/v1/predict");
  assert.equal(server!.attributes["url.path"], "/api/v1/predict");
  for (const name of ["queue", "placement", "text_completion m"]) assert.equal(parentOf(collector, name), server!.name);
  assert.equal(collector.named("text_completion m")[0]!.attributes["altlas.task.status"], "canceled");
});

test("each attempt has its wait and its run, and one that was cut off says why", async (t) => {
  const { collector, traces } = await tracing(t);
  const task = runningTask();
  TASK_STARTED.publish({ task, instance: INSTANCE, waited: 0 });
  TASK_ACCEPTED.publish({ task });
  const attempt = { gpuId: 1, startedAt: 1, endedAt: 2, reason: "gpu_lost" } as const;
  const back = { ...task, status: "queued" as const, attempts: [attempt] };
  TASK_REQUEUED.publish({ task: back });
  const again = { ...task, attempts: [attempt, { ...attempt, endedAt: null, reason: null }] };
  TASK_STARTED.publish({ task: again, instance: { gpuId: 2, id: 0 }, waited: 0 });
  const error = { code: "model_error", sentence: "It broke." } as const;
  TASK_LEFT.publish({ task: again, outcome: { status: "failed", error } });
  TASK_ENDED.publish({ task: { ...again, status: "failed", error } });
  await traces.stop();
  assert.equal(collector.named("queue").length, 2);
  const runs = collector.named("text_completion m");
  assert.deepEqual(
    runs.map(({ attributes, status }) => [attributes["altlas.gpu.id"], attributes["error.type"], status.code]),
    [
      [1, "gpu_lost", ERROR],
      [2, "model_error", ERROR],
    ],
  );
  const [own] = collector.named("task");
  assert.ok(
    runs.every(({ traceId }) => traceId === own!.traceId),
    "without a request they have a trace of their own",
  );
});

test("a task that an earlier run of the server accepted has a trace of its own", async (t) => {
  const { collector, traces } = await tracing(t);
  const task = runningTask();
  TASK_STARTED.publish({ task, instance: INSTANCE, waited: 3 });
  await Promise.resolve();
  TASK_LEFT.publish({ task, outcome: { status: "canceled" } });
  TASK_ENDED.publish({ task: { ...task, status: "canceled" } });
  await traces.stop();
  assert.equal(parentOf(collector, "text_completion m"), "task");
});

test("a task that ends while it waits has a wait and no run; one that was withdrawn says so", async (t) => {
  const { collector, traces } = await tracing(t);
  const [canceled, withdrawn] = [newTask(1), newTask(2)];
  TASK_ACCEPTED.publish({ task: canceled });
  TASK_ACCEPTED.publish({ task: withdrawn });
  TASK_ENDED.publish({ task: { ...canceled, status: "canceled" } });
  TASK_WITHDRAWN.publish({ task: withdrawn });
  await traces.stop();
  assert.deepEqual(
    collector.named("queue").map(({ attributes }) => attributes["altlas.task.status"]),
    ["canceled", "withdrawn"],
  );
  assert.equal(collector.spans.length, 4, "and the span around each");
});

test("a traceparent that is none begins a new trace", async (t) => {
  const { collector, traces } = await tracing(t);
  const zeros = "0".repeat(32);
  for (const traceparent of ["", "x", `00-${zeros}-${PARENT}-01`, `ff-${TRACE}-${PARENT}-01`, `${TRACEPARENT}-x`]) {
    const request = new IncomingMessage(new Socket());
    request.headers = { traceparent };
    REQUEST_BEGAN.publish({ request, route: "/r" });
    REQUEST_ENDED.publish({ request, route: "/r", status: 503 });
  }
  await traces.stop();
  assert.equal(collector.spans.length, 5);
  for (const { traceId, parentSpanId, status } of collector.spans) {
    assert.notEqual(traceId, TRACE);
    assert.ok(parentSpanId === undefined || parentSpanId === "");
    assert.equal(status.code, ERROR);
  }
});

test("probes and scrapes are not traced", async (t) => {
  const { collector, traces } = await tracing(t);
  for (const route of ["/livez", "/readyz", "/healthz", "/metrics"]) {
    const request = new IncomingMessage(new Socket());
    REQUEST_BEGAN.publish({ request, route });
    REQUEST_ENDED.publish({ request, route, status: 200 });
  }
  await traces.stop();
  assert.deepEqual(collector.spans, []);
});

test("the sampler of the environment decides, and a request that says not to sample is not", async (t) => {
  const { collector, traces } = await tracing(t, {
    OTEL_SERVICE_NAME: "mine",
    OTEL_EXPORTER_OTLP_HEADERS: "x-team=lab",
  });
  for (const flags of ["00", "01"]) {
    const request = new IncomingMessage(new Socket());
    request.headers = { traceparent: `00-${TRACE}-${PARENT}-${flags}` };
    REQUEST_BEGAN.publish({ request, route: "/r" });
    REQUEST_ENDED.publish({ request, route: "/r", status: 200 });
  }
  await traces.stop();
  assert.equal(collector.spans.length, 1);
  assert.equal(collector.resource["service.name"], "mine");
  assert.equal(collector.requests[0]!.headers["x-team"], "lab");
  const off = await tracing(t, { OTEL_TRACES_SAMPLER: "always_off" });
  TASK_ACCEPTED.publish({ task: newTask(1) });
  await off.traces.stop();
  assert.deepEqual(off.collector.requests, []);
});

test("a collector that refuses is told of once, not for each batch", async (t) => {
  const { collector, log, traces } = await tracing(t, { OTEL_BSP_MAX_EXPORT_BATCH_SIZE: "1" });
  collector.answer = (response) => void response.writeHead(400).end();
  for (let index = 0; index < 3; index++) {
    const task = newTask(index + 1);
    TASK_ACCEPTED.publish({ task });
    TASK_ENDED.publish({ task: { ...task, status: "canceled" } });
  }
  await traces.stop();
  assert.ok(collector.requests.length > 1);
  assert.equal(log.filter((line) => line.startsWith("Spans cannot be sent")).length, 1);
});

test("a batch is sent again to a collector that asks for it, and to no other one", async (t) => {
  for (const [status, tries] of [
    [503, 2],
    [429, 2],
    [400, 1],
    [500, 1],
  ] as const) {
    const { collector, log, traces } = await tracing(t, { OTEL_BSP_SCHEDULE_DELAY: "0" });
    const answered = Promise.withResolvers<void>();
    collector.answer = (response) => {
      collector.answer = undefined;
      response.writeHead(status, { "retry-after": "0" }).end(() => answered.resolve());
    };
    const taken = once(collector.came, "spans");
    TASK_WITHDRAWN.publish({ task: acceptedTask() });
    await (tries === 1 ? answered.promise : taken);
    await traces.stop();
    assert.equal(collector.requests.length, tries, String(status));
    assert.equal(log.length, tries === 1 ? 1 : 0);
  }
});

test("spans beyond the room for them are lost, and the log says how many", async (t) => {
  const { collector, log, traces } = await tracing(t, { OTEL_BSP_MAX_QUEUE_SIZE: "4" });
  for (let index = 0; index < 5; index++) TASK_WITHDRAWN.publish({ task: acceptedTask() });
  await traces.stop();
  assert.equal(collector.spans.length, 4);
  assert.deepEqual(log, ["Spans come faster than they can be sent, and some are lost."]);
});

test("long paths, which clients choose, fill no memory: batches are full by their bytes, too", async (t) => {
  const { collector, log, traces } = await tracing(t);
  const sixteen = Promise.withResolvers<void>();
  collector.answer = (response) => {
    response.end();
    if (collector.requests.length === 16) sixteen.resolve();
  };
  for (let index = 0; index < 5000; index++) {
    const request = new IncomingMessage(new Socket());
    request.method = "GET";
    request.url = `/${"x".repeat(5000)}`;
    REQUEST_BEGAN.publish({ request, route: undefined });
    REQUEST_ENDED.publish({ request, route: undefined, status: 404 });
  }
  await sixteen.promise;
  await traces.stop();
  assert.ok(collector.requests.length <= 17, `${collector.requests.length} messages`);
  for (const { headers } of collector.requests) assert.ok(Number(headers["content-length"]) < 1.1 * 2 ** 20);
  assert.deepEqual(log, ["Spans come faster than they can be sent, and some are lost."]);
});

test("batches are compressed where the environment says so, and wide characters arrive", async (t) => {
  const { collector, traces } = await tracing(t, { OTEL_EXPORTER_OTLP_TRACES_COMPRESSION: "gzip" });
  TASK_WITHDRAWN.publish({ task: acceptedTask({ user: "Ayşe 😀" }) });
  await traces.stop();
  assert.equal(collector.requests[0]!.headers["content-encoding"], "gzip");
  assert.equal(collector.named("queue")[0]!.attributes["enduser.id"], "Ayşe 😀");
});

test("a collector that never answers does not hold up the stop", async (t) => {
  const { collector, traces } = await tracing(t);
  collector.answer = () => {};
  const task = newTask(1);
  TASK_ACCEPTED.publish({ task });
  TASK_ENDED.publish({ task: { ...task, status: "canceled" } });
  await traces.stop();
  assert.equal(TASK_ACCEPTED.isHeard, false);
});

test("only an endpoint turns traces on, and a wrong setting is told and starts none", async () => {
  assert.equal(wantsTraces({}), false);
  assert.equal(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }), false);
  assert.equal(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c" }), true);
  assert.equal(wantsTraces({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://c/v1/traces" }), true);
  assert.equal(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c", OTEL_SDK_DISABLED: "true" }), false);
  assert.equal(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c", OTEL_TRACES_EXPORTER: "none" }), false);
  const log: string[] = [];
  const logger = pino({}, { write: (line: string) => void log.push((JSON.parse(line) as { msg: string }).msg) });
  const base = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" };
  for (const wrong of [
    { OTEL_TRACES_SAMPLER: "some" },
    { OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "2" },
    { OTEL_BSP_MAX_QUEUE_SIZE: "many" },
    { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "collector:4318" },
    { OTEL_EXPORTER_OTLP_COMPRESSION: "zip" },
    { OTEL_EXPORTER_OTLP_CERTIFICATE: "/no/such/file" },
    { OTEL_EXPORTER_OTLP_HEADERS: "authorization" },
    { OTEL_RESOURCE_ATTRIBUTES: "a=%" },
  ]) {
    assert.equal(await startTraces({ ...base, ...wrong }, logger), null);
    assert.match(log.pop()!, /^No traces are sent.*OTEL_/);
  }
  assert.equal(await startTraces({}, logger), null);
  assert.equal(TASK_ACCEPTED.isHeard, false, "nothing was subscribed");
});
