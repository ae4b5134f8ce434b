/** Models by name over HTTP: what clients see of them, and what operators have done with them. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { SIMULATED_CAPABILITIES } from "../src/engine/engine.ts";
import { type GpusAnswer, type GpuDetails } from "../src/http/schemas/gpus.ts";
import { type ModelView, type ServedModelsAnswer } from "../src/http/schemas/models.ts";
import { type OpenAiModel } from "../src/http/schemas/openai-answers.ts";
import { DOCUMENT_CONFIG } from "./helpers/document.ts";
import { setEnvironment } from "./helpers/environment.ts";
import { COMMIT, gguf, sendHead, startHub } from "./helpers/stand-in-hub.ts";
import { startLocalServer, type LocalServer } from "./helpers/local-server.ts";
import { type Failure } from "./helpers/server-handle.ts";

const GIB = 2 ** 30;

/** Two GPUs of 10 GiB each. */
const DEVICES = `gpu:
  devices:
    - { gpu: "simulated:2", memory_bytes: ${10 * GIB} }
engine:
  simulated: { tokens_per_second: 0, load_seconds: 0, models: [{ name: org/vectors, capabilities: [embedding] }] }
`;

const model = (name: string, gib: number, rest = ""): string =>
  `  - { name: ${name}, engine: { kind: simulated, memory_bytes: ${gib * GIB} }${rest} }\n`;

function start(t: TestContext, entries: string, more = ""): Promise<LocalServer> {
  return startLocalServer(t, { config: `${DEVICES}models:\n${entries}${more}` });
}

async function models(server: LocalServer): Promise<ModelView[]> {
  return (await server.request<ServedModelsAnswer>("GET", "/api/v1/models")).body.models;
}

async function named(server: LocalServer, name: string): Promise<ModelView> {
  const { status, body } = await server.request<ModelView>("GET", `/api/v1/models/${name}`);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

function statesOf({ instances }: ModelView): string[] {
  return instances.map(({ gpu_id: id, state }) => `${id} ${state}`);
}

async function post<Body = ModelView>(server: LocalServer, path: string, body?: object) {
  return server.request<Body>("POST", `/api/v1/models/${path}`, body === undefined ? {} : { body });
}

async function refused(server: LocalServer, path: string, body?: object): Promise<string> {
  const { status, body: failure } = await post<Failure>(server, path, body);
  return `${status} ${failure.code}: ${failure.error}`;
}

const loaded = (name: string) => (line: { msg: string; model?: unknown }) =>
  line.msg === "model loaded" && line.model === name;
const unloaded = (name: string) => (line: { msg: string; model?: unknown }) =>
  line.msg === "model unloaded" && line.model === name;

const failed = ({ msg }: { msg: string }) => msg === "model cannot be loaded";

test("models are listed in the order of the configuration, with an instance for each GPU that may hold them, cold ones too", async (t) => {
  const server = await start(
    t,
    model("chat", 4, ", aliases: [gpt-4o-mini], gpus: [1]") +
      model("org/vectors", 2, ", load: demand, keep_alive: 600, context: 512"),
  );
  await server.logged(loaded("chat"));
  const [chat, vectors] = await models(server);
  const { instances, ...about } = chat!;
  assert.deepEqual(about, {
    name: "chat",
    aliases: ["gpt-4o-mini"],
    origin: "config",
    source: null,
    commit: null,
    licence: null,
    size_bytes: null,
    context: 32_768,
    capabilities: SIMULATED_CAPABILITIES,
    load: "start",
    keep_alive: null,
    fetch: null,
  });
  const [{ load_seconds: seconds, last_used_at: used, ...rest }] = instances as [ModelView["instances"][number]];
  assert.deepEqual(
    [instances.length, rest],
    [
      1,
      {
        gpu_id: 1,
        state: "ready",
        reason: null,
        memory_bytes: 4 * GIB,
        running: 0,
        slots: 8,
        context: 32_768,
        kv_bytes_per_token: null,
      },
    ],
  );
  assert.ok(seconds !== null && used !== null);
  assert.deepEqual(
    [vectors!.load, vectors!.keep_alive, vectors!.context, vectors!.capabilities],
    ["demand", 600, 512, null],
  );
  assert.deepEqual(vectors!.instances[0], {
    gpu_id: 0,
    state: "cold",
    reason: "Its model is loaded when it is wanted.",
    memory_bytes: 2 * GIB,
    load_seconds: null,
    last_used_at: null,
    running: 0,
    slots: 8,
    context: null,
    kv_bytes_per_token: null,
  });
});

test("one model is found by its name, with slashes as they are and encoded, and by an alias; another is a 404", async (t) => {
  const server = await start(t, model("org/vectors", 2, ", aliases: [v:1], load: demand"));
  for (const name of ["org/vectors", "org%2Fvectors", "v:1", "v%3A1", "org/vectors/"])
    assert.equal((await named(server, name)).name, "org/vectors", name);
  const { status, body } = await server.request("GET", "/api/v1/models/org/other");
  assert.deepEqual(
    [status, body.code, body.error],
    [404, "not_found", 'There is no model "org/other". Known are "org/vectors".'],
  );
});

test("an operator loads and unloads a model, and the answer comes at once", async (t) => {
  const server = await start(t, model("org/vectors", 2, ", load: demand"));
  const asked = await post(server, "org/vectors/load", { gpu_ids: [1] });
  assert.equal(asked.status, 200);
  assert.match(statesOf(asked.body).join(), /^0 cold,1 (?:loading|ready)$/);
  await server.logged(loaded("org/vectors"));
  assert.deepEqual(statesOf(await named(server, "org/vectors")), ["0 cold", "1 ready"]);
  const gone = await post(server, "org%2Fvectors/unload");
  assert.equal(gone.status, 200);
  await server.logged(unloaded("org/vectors"));
  const line = server.log.find(unloaded("org/vectors"));
  assert.equal(line!["why"], "An operator had it unloaded.");
  const wishes = server.log.filter(({ msg }) => msg.startsWith("model is to be"));
  assert.deepEqual(
    wishes.map((one) => [one.msg, one["model"], one["by"]]),
    [
      ["model is to be loaded", "org/vectors", "admin"],
      ["model is to be unloaded", "org/vectors", "admin"],
    ],
  );
  const { body } = await server.request<GpuDetails>("GET", "/api/v1/gpus/1");
  assert.match(
    body.events.map(({ event, reason }) => `${event}: ${reason}`).join("\n"),
    /loaded: The model org\/vectors was loaded in [\d.]+ s\.\nunloaded: The model org\/vectors was unloaded\. An operator had it unloaded\.$/,
  );
});

test("a model that an operator wants loaded has idle ones unloaded where memory is short", async (t) => {
  const server = await start(t, model("a", 6, ", gpus: [0]") + model("b", 6, ", gpus: [0], load: demand"));
  await server.logged(loaded("a"));
  await post(server, "b/load");
  await server.logged(loaded("b"));
  assert.deepEqual((await models(server)).map(statesOf), [["0 cold"], ["0 ready"]]);
  const line = server.log.find(unloaded("a"));
  assert.equal(line!["why"], "Its memory is needed for b.");
});

test("loading what fits nowhere, and on GPUs that are not there or cannot hold it, is refused with what is so", async (t) => {
  const server = await start(t, model("huge", 20, ", load: demand, gpus: [1]") + model("a", 1));
  assert.equal(
    await refused(server, "huge/load"),
    "400 model_too_large: model huge needs 20.0 GiB, and no GPU has more than 10.0 GiB for it.",
  );
  assert.equal(
    await refused(server, "huge/load", { gpu_ids: [1] }),
    "400 model_too_large: model huge needs 20.0 GiB, and GPU 1 has not more than 10.0 GiB for it.",
  );
  assert.equal(
    await refused(server, "a/load", { gpu_ids: [0, 9] }),
    "400 invalid_input: gpu_ids names GPU 9, which is not there; there are 0, 1.",
  );
  assert.equal(
    await refused(server, "huge/unload", { gpu_ids: [0] }),
    "400 invalid_input: gpu_ids names GPU 0, which cannot hold huge; it may be on 1.",
  );
  assert.match(await refused(server, "b/load"), /^404 not_found: There is no model "b"\./);
  assert.match(await refused(server, "a/load", { gpus: [1] }), /^400 invalid_input: /);
});

test("without models in the configuration the devices' own are listed, and cannot be unloaded", async (t) => {
  const config = "engine: { simulated: { models: [{ gpu_id: 0, name: Base }, { gpu_id: 1, name: Other }] } }";
  const server = await startLocalServer(t, { config, devices: "simulated:2" });
  await server.loaded();
  const all = await models(server);
  assert.deepEqual(
    all.map((one) => [one.name, one.load, statesOf(one)]),
    [
      ["Base", "start", ["0 ready"]],
      ["Other", "start", ["1 ready"]],
    ],
  );
  assert.equal(
    await refused(server, "Base/unload"),
    '409 conflict: "Base" is the own model of GPU 0, and is there as long as that serves; models that come and go stand in models.',
  );
  assert.equal((await post(server, "Base/load")).status, 200);
});

test("a GPU lists the models that it may hold, and has a model and a context of its own only where it has one", async (t) => {
  const server = await start(t, model("a", 2) + model("b", 2, ", gpus: [0], load: demand"));
  await server.logged(loaded("a"), 2);
  const [both, one] = (await server.request<GpusAnswer>("GET", "/api/v1/gpus")).body.gpus;
  assert.deepEqual([both!.model_name, both!.context, both!.capabilities], [null, null, null]);
  assert.deepEqual(
    both!.instances.map(({ model: name, state }) => [name, state]),
    [
      ["a", "ready"],
      ["b", "cold"],
    ],
  );
  assert.deepEqual([one!.model_name, one!.context, one!.instances.length], ["a", 32_768, 1]);
});

test("OpenAI's list has all that can be asked for, and what one can do is remembered when it has left", async (t) => {
  const server = await start(
    t,
    model("chat", 4, ", aliases: [gpt-4o-mini]") + model("org/vectors", 2, ", load: demand"),
  );
  const listed = async (): Promise<unknown[]> => {
    const { status, body } = await server.request<{ data: OpenAiModel[] }>("GET", "/v1/models");
    assert.equal(status, 200);
    return body.data.map(({ id, capabilities }) => [id, capabilities.join()]);
  };
  await server.logged(loaded("chat"), 2);
  const chat = ["chat", SIMULATED_CAPABILITIES.join()];
  assert.deepEqual(await listed(), [chat, ["org/vectors", ""]]);
  const task = await server.run({ input: "hello", model: "org/vectors" });
  assert.equal(task.status, "completed");
  await post(server, "org/vectors/unload");
  await server.logged(unloaded("org/vectors"));
  assert.deepEqual(await listed(), [chat, ["org/vectors", "embedding"]]);
  for (const name of ["org/vectors", "org%2Fvectors"])
    assert.equal((await server.request<OpenAiModel>("GET", `/v1/models/${name}`)).body.id, "org/vectors");
  assert.equal((await server.request<OpenAiModel>("GET", "/v1/models/gpt-4o-mini")).body.id, "chat");
});

test("a failed load says why in the list, and an operator has it tried again", async (t) => {
  const server = await startLocalServer(t, {
    config: `${DEVICES.replace("tokens_per_second: 0", "tokens_per_second: 0, failures: [{ kind: load_error, gpu_id: 0 }]")}models:\n${model("a", 2, ", gpus: [0], load: demand")}`,
  });
  await post(server, "a/load");
  await server.logged(failed);
  const [instance] = (await named(server, "a")).instances;
  assert.equal(instance!.state, "failed");
  assert.match(instance!.reason ?? "", /set to fail/);
  await post(server, "a/load");
  await server.logged(failed, 2);
});

test("tasks of a type that a model has mean that model when they name none, and a task that waits for a load says so", async (t) => {
  const server = await start(
    t,
    model("chat", 4) +
      model("sums", 4, ", load: demand, task_types: [summary], gpus: [1]").replace(
        "memory_bytes",
        "load_seconds: 3600, memory_bytes",
      ),
  );
  await server.logged(loaded("chat"), 2);
  const { task_id: id } = await server.predict({ text: "hello", task_type: "summary" });
  const { model: name, waiting, status } = await server.task(id);
  assert.deepEqual([status, name], ["queued", "sums"]);
  assert.equal(waiting?.reason, "model_loading");
  assert.equal(waiting.sentence, "The model sums is being loaded on GPU 1. The model is being loaded.");
  assert.deepEqual([waiting.ahead, typeof waiting.since], [0, "string"]);
  const elsewhere = await server.run({ text: "hello", task_type: "other", max_length: 2 });
  assert.deepEqual([elsewhere.status, elsewhere.model, elsewhere.waiting], ["completed", "chat", undefined]);
  const other = await server.run({ text: "hello", task_type: "summary", model: "chat", max_length: 2 });
  assert.equal(other.model, "chat");
  const unknown = await server.request("POST", "/api/v1/predict", { body: { text: "hello", model: "nobody" } });
  assert.deepEqual([unknown.status, unknown.body.code], [400, "model_not_found"], "also while others load");
  assert.equal(
    (await server.request("POST", "/v1/completions", { body: { prompt: "x", model: "nobody" } })).status,
    404,
  );
});

test("the document's task_specific_mappings name GPUs beside models by name, and load as they stand", async (t) => {
  const server = await startLocalServer(t, {
    config: `${DOCUMENT_CONFIG}  devices:\n    - { gpu: "simulated:2" }\nengine: { simulated: { tokens_per_second: 0, load_seconds: 0 } }\nmodels:\n${model("chat", 1)}`,
  });
  await server.logged(loaded("chat"), 2);
  const ran = await server.run({
    text: "hello",
    task_type: "image_segmentation",
    max_length: 2,
    gpu_options: { strategy: "task_specific" },
  });
  assert.deepEqual([ran.status, ran.gpu_id, ran.model], ["completed", 0, "chat"]);
});

test("a model is fetched over HTTP, served while it is wanted, and forgotten; paths and URLs are not taken", async (t) => {
  const hub = await startHub(t, { "a-Q4_K_M.gguf": gguf("a", 10_000) });
  setEnvironment(t, hub.environment);
  const server = await start(t, model("chat", 1));
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
  hub.faults.push((response, file, from) => {
    sendHead(response, file, from);
    response.write(file.subarray(0, 1000));
    void held.then(() => response.end(file.subarray(1000)));
  });
  const pull = (body: object) => server.request<ModelView & Failure>("POST", "/api/v1/models", { body });
  const { status, body } = await pull({ source: "hf:owner/repo", name: "org/pulled" });
  assert.equal(status, 202);
  assert.deepEqual(
    [body.name, body.source, body.load, body.size_bytes],
    ["org/pulled", "hf:owner/repo", "demand", null],
  );
  assert.deepEqual(statesOf(body), ["0 loading", "1 loading"]);
  letGo();
  await server.logged(({ msg }) => msg.startsWith("its file is here"));
  const there = await named(server, "org/pulled");
  assert.deepEqual([there.commit, there.licence, there.size_bytes], [COMMIT, "apache-2.0", 10_000]);
  for (const [source, words] of [
    ["/etc/passwd.gguf", /is a path\.$/],
    ["https://example.com/a.gguf", /is a URL, which needs models_allow_urls: true\.$/],
    ["hf:owner", /malformed|A source is/],
  ] as const) {
    const answer = await pull({ source });
    assert.deepEqual([answer.status, answer.body.code], [400, "invalid_input"]);
    assert.match(answer.body.error, words);
  }
  const remove = (name: string) => server.request<ModelView & Failure>("DELETE", `/api/v1/models/${name}`);
  assert.deepEqual([(await remove("chat")).status, (await remove("nobody")).status], [409, 404]);
  const removed = await remove("org/pulled");
  assert.deepEqual([removed.status, removed.body.name], [200, "org/pulled"]);
  assert.equal((await remove("org/pulled")).status, 404);
});

test("the type that stands for none means its model for what generates text, and embeddings without a type go to any model that makes them", async (t) => {
  const writer = "{ name: writer, capabilities: [chat, completion] }, ";
  const server = await startLocalServer(t, {
    config: `${DEVICES.replace("{ name: org", `${writer}{ name: org`)}models:\n${model("other", 1)}${model("writer", 4, ", task_types: [text_generation]")}${model("org/vectors", 2)}`,
  });
  for (const name of ["other", "writer", "org/vectors"]) await server.logged(loaded(name), 2);
  const modelOf = async (body: object): Promise<unknown> => (await server.run(body)).model;
  assert.equal(await modelOf({ text: "hello", max_length: 2 }), "writer");
  assert.equal(await modelOf({ messages: [{ role: "user", content: "hello" }], max_length: 2 }), "writer");
  const vectors = await server.run({ input: "hello", task_type: null });
  assert.deepEqual([vectors.status, vectors.task_type], ["completed", "text_generation"]);
  const again = await server.request<{ task_id: string }>("POST", `/api/v1/task/${vectors.task_id}/retry`);
  assert.equal(again.status, 200, JSON.stringify(again.body));
  assert.equal((await server.ended(again.body.task_id)).status, "completed");
  const typed = { task_type: "text_generation" };
  const statusOf = async (path: string, body: object): Promise<unknown[]> => {
    const { status, body: answer } = await server.request("POST", path, { body });
    return status === 200 ? [200] : [status, answer.code ?? (answer as { error?: { code?: unknown } }).error?.code];
  };
  assert.deepEqual(await statusOf("/v1/embeddings", { input: "hello" }), [200]);
  assert.deepEqual(await statusOf("/api/v1/batch_predict", { batch: [{ input: "hello" }, { text: "hello" }] }), [200]);
  // One that names the type means its model, which makes none.
  assert.deepEqual(await statusOf("/api/v1/predict", { input: "hello", ...typed }), [400, "unsupported"]);
  for (const body of [{ batch: [{ input: "hello", ...typed }] }, { batch: [{ input: "hello" }], ...typed }])
    assert.deepEqual(await statusOf("/api/v1/batch_predict", body), [400, "unsupported"]);
  assert.deepEqual((await statusOf("/v1/embeddings", { input: "hello", ...typed }))[0], 400);
});
