/** Another configuration of models while the server runs: which worker serves, what runs goes on, and what waits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type LocalServer, startLocalServer } from "../helpers/local-server.ts";

const GIB = 2 ** 30;
/** So many tokens never end within a test. */
const ENDLESS = 1e6;

interface Model {
  readonly name?: string;
  /** Tells versions of a model apart: an answer fills it. */
  readonly context: number;
  readonly memory?: number;
  readonly seconds?: number;
  readonly rest?: string;
}

interface Setting {
  /** GiB of the GPU. */
  readonly memory?: number;
  readonly slots?: number;
  readonly more?: string;
}

function configOf(models: readonly Model[], { memory = 10, slots = 4, more = "" }: Setting = {}): string {
  const entries = models.map(
    ({ name = "a", context, memory: needs = 4, seconds = 0, rest = "" }) =>
      `  - { name: ${name}, context: ${context}, engine: { memory_bytes: ${needs * GIB}, load_seconds: ${seconds} }${rest} }`,
  );
  return `
gpu: { devices: [{ gpu: "simulated:1", slots: ${slots}, memory_bytes: ${memory * GIB} }] }
engine: { kind: simulated, simulated: { tokens_per_second: 1000 } }
models:${entries.length === 0 ? " []" : `\n${entries.join("\n")}`}
${more}`;
}

const OLD: Model = { context: 2 * ENDLESS };
const NEW: Model = { context: 16 };
/** It takes for ever to load. */
const endless = (model: Model): Model => ({ ...model, seconds: 80_000 });
const LONG = { text: "long", max_length: ENDLESS, model: "a" };
/** Ends soon with the new version only. */
const SHORT = { text: "short", max_length: 20, model: "a" };

async function serving(t: Parameters<typeof startLocalServer>[0], models: readonly Model[], setting?: Setting) {
  const server = await startLocalServer(t, { config: configOf(models, setting) });
  for (const { name = "a" } of models) await ready(server, name);
  return server;
}

async function ready(server: LocalServer, name: string, count = 1): Promise<void> {
  await server.logged((line) => line.msg === "worker ready" && line["name"] === name, count);
}

async function gone(server: LocalServer): Promise<void> {
  await server.logged(({ msg }) => msg === "model gone");
}

async function tokens(server: LocalServer, body: object = SHORT): Promise<[string, number | undefined]> {
  const { status, result } = await server.run(body);
  return [status, result?.usage.completion_tokens];
}

/** A task that runs until it is canceled. */
async function running(server: LocalServer): Promise<{ readonly id: string; cancel(): Promise<string> }> {
  const { task_id: id } = await server.predict(LONG);
  assert.equal((await server.task(id)).status, "running");
  return {
    id,
    cancel: async () => {
      assert.equal((await server.task(id)).status, "running", "it went on");
      await server.request("POST", `/api/v1/task/${id}/cancel`);
      return (await server.ended(id)).status;
    },
  };
}

test("another version is loaded beside the one before, takes over, and what runs there finishes", async (t) => {
  const server = await serving(t, [OLD]);
  const task = await running(server);
  const report = server.reload(configOf([NEW]));
  assert.deepEqual(report.models, { added: [], changed: ["a"], removed: [] });
  assert.deepEqual([report.now, report.later, report.hidden, report.ended], [[], [], [], []]);
  await ready(server, "a", 2);
  assert.equal(server.workers.alive.length, 2);
  assert.deepEqual(await tokens(server), ["completed", 14]);
  assert.equal(await task.cancel(), "canceled");
  await gone(server);
  assert.equal(server.workers.alive.length, 1);
});

test("without memory for both, the version before finishes what runs and goes, while tasks wait for the next", async (t) => {
  const server = await serving(t, [OLD], { memory: 6 });
  const task = await running(server);
  server.reload(configOf([NEW], { memory: 6 }));
  const { task_id } = await server.predict(SHORT);
  assert.equal((await server.task(task_id)).status, "queued");
  assert.equal(server.workers.count, 1);
  assert.equal(await task.cancel(), "canceled");
  const { status, result, attempts } = await server.ended(task_id);
  assert.deepEqual([status, result?.usage.completion_tokens, attempts.length], ["completed", 14, 1]);
  assert.equal(server.workers.alive.length, 1);
});

test("a worker that dies while it finishes what runs takes no task with it: the next version runs it again", async (t) => {
  const server = await serving(t, [OLD]);
  const { task_id } = await server.predict({ ...SHORT, max_length: ENDLESS });
  const [old] = server.workers.alive;
  server.reload(configOf([NEW]));
  await ready(server, "a", 2);
  old!.kill();
  const { status, attempts } = await server.ended(task_id);
  assert.deepEqual([status, attempts.map(({ reason }) => reason)], ["completed", ["worker_crash", "completed"]]);
  await gone(server);
  assert.equal(server.workers.alive.length, 1);
});

test("a version that cannot be loaded leaves the one before as it was, beside it or in its place", async (t) => {
  for (const memory of [10, 6]) {
    const server = await serving(t, [OLD], { memory });
    server.reload(configOf([{ ...endless(NEW), rest: ", task_types: [x]" }], { memory }));
    await server.workers.started(2);
    server.workers.of().kill();
    await server.workers.started(3);
    server.workers.of().kill();
    const [line] = await server.logged(({ msg }) => msg.startsWith("a model could not be loaded"));
    assert.match(String(line!["reason"]), /^The worker died 2 times while loading the model/);
    assert.deepEqual(await tokens(server), ["completed", 20]);
    // The next reload tries again.
    server.reload(configOf([endless(NEW)], { memory }));
    await server.workers.started(memory === 6 ? 5 : 4);
  }
});

test("whatever version comes next, also back to the one before, tasks under way all come to their end", async (t) => {
  const server = await serving(t, [OLD], { memory: 6 });
  const tasks = Array.from({ length: 40 }, () => server.run(SHORT));
  for (const version of [NEW, OLD, { context: 20 }, NEW, OLD, NEW]) {
    server.reload(configOf([version], { memory: 6 }));
    tasks.push(...Array.from({ length: 10 }, () => server.run(SHORT)));
    await tasks.at(-1);
  }
  for (const { status, attempts } of await Promise.all(tasks))
    assert.deepEqual([status, attempts.length], ["completed", 1]);
  assert.deepEqual(await tokens(server), ["completed", 14]);
  assert.equal(server.workers.alive.length, 1);
});

test("a model that is taken out finishes what runs; what waits for it, and what comes, is told that it is gone", async (t) => {
  const server = await serving(t, [OLD, { name: "b", context: 100 }], { slots: 1 });
  const task = await running(server);
  const { task_id } = await server.predict(SHORT);
  const { models } = server.reload(configOf([{ name: "b", context: 100 }], { slots: 1 }));
  assert.deepEqual(models, { added: [], changed: [], removed: ["a"] });
  const { status, error_code: code, error } = await server.ended(task_id);
  assert.deepEqual([status, code], ["failed", "model_not_found"]);
  assert.equal(error, 'model must be the name of a model (b); got "a".');
  const refused = await server.request("POST", "/api/v1/predict", { body: SHORT });
  assert.deepEqual([refused.status, refused.body.code], [400, "model_not_found"]);
  assert.equal(await task.cancel(), "canceled");
  await gone(server);
  assert.deepEqual(await tokens(server, { ...SHORT, model: "b" }), ["completed", 20]);
  assert.equal(server.workers.alive.length, 1);
});

test("names, and how long a model stays, change in place; so does a model that is added", async (t) => {
  const server = await serving(t, [OLD]);
  const rest = ", aliases: [gpt], keep_alive: 0.001, load: demand";
  const { models } = server.reload(
    configOf([
      { ...OLD, rest },
      { name: "b", context: 16 },
    ]),
  );
  assert.deepEqual(models, { added: ["b"], changed: ["a"], removed: [] });
  assert.deepEqual(await tokens(server, { ...SHORT, model: "gpt" }), ["completed", 20]);
  await ready(server, "b");
  assert.deepEqual(await tokens(server, { ...SHORT, model: "b" }), ["completed", 14]);
});

test("a configuration that is wrong changes nothing, and what counts from the next start is named", async (t) => {
  const server = await serving(t, [OLD]);
  const text = configOf([OLD]);
  const broken = `${configOf([NEW, { ...NEW, rest: ", gpus: [x]" }])}\nnonsense: 1`;
  assert.throws(() => server.reload(broken), {
    code: "bad_config",
    message: /config\.yaml:6: .*gpus.*\nconfig\.yaml:8: /,
  });
  assert.throws(() => server.reload(configOf([{ ...NEW, rest: ", gpus: [7]" }])), /names GPU 7, which is not there/);
  assert.equal(server.workers.count, 1);
  const changed = `${text.replace("slots: 4", "slots: 5")}server: { drain_timeout: 7, tls: {} }\nmodels_allow_urls: true`;
  const { now, later } = server.reload(changed);
  assert.deepEqual([now, later], [["models_allow_urls"], ["gpu.devices", "server.drain_timeout"]]);
  assert.deepEqual(server.reload(changed).now, []);
  assert.deepEqual(await tokens(server), ["completed", 20]);
  assert.equal(server.workers.count, 1);
});

test("a server without models by name serves them from a reload on, and the other way round", async (t) => {
  const server = await startLocalServer(t, { config: configOf([]) });
  await server.loaded();
  assert.deepEqual(await tokens(server, { ...SHORT, model: "simulated" }), ["completed", 20]);
  server.reload(configOf([NEW]));
  assert.deepEqual(await tokens(server), ["completed", 14]);
  server.reload(configOf([]));
  await ready(server, "simulated", 2);
  assert.deepEqual(await tokens(server, { text: "short", max_length: 20 }), ["completed", 20]);
});
