/**
 * Real models by name on CPU devices, which share this machine's memory: they come and go under load, files vanish, and processes are killed
 * at the worst moments.
 */
import assert from "node:assert/strict";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { memoryLimit } from "../../src/gpu/card/readings.ts";
import { DEMO_MODEL } from "../../src/gpu/inventory/devices.ts";
import { type ServedModelsAnswer } from "../../src/http/schemas/models.ts";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { Program } from "../helpers/llama-server.ts";
import { childrenOf } from "../helpers/processes.ts";
import { embeddingModel, instructModel, NO_REAL_MODEL } from "../helpers/real-models.ts";
import { deadline, newFolder, Server } from "../helpers/server.ts";

const MIB = 2 ** 20;
const REAL = { skip: (instructModel() === null || embeddingModel() === null) && NO_REAL_MODEL };

/** With the slots and the context that these tests give them, each takes some 370 MiB. */
const DEMO = `source: ${DEMO_MODEL}, slots: 32`;
const SMOL = `source: ${instructModel()}, slots: 2, context: 1024`;

/** @param room MiB for models, on all devices together */
function configOf(devices: string, models: readonly string[], room: number | null = null): string {
  const share = room === null ? "" : `, multi_gpu: { memory_threshold: ${((room * MIB) / memoryLimit()).toFixed(6)} }`;
  const list = models.map((model) => `  - { ${model} }`).join("\n");
  return `gpu: { devices: ${devices}${share} }\nmodels_from_cache: false\nmodels:\n${list}\n`;
}

/** How often each model was loaded, like `smol 2`. */
function loadsOf(server: Server): string[] {
  const names = server.log.filter(({ msg }) => msg === "worker ready").map((line) => String(line["name"]));
  return [...Map.groupBy(names, (name) => name)].map(([name, all]) => `${name} ${all.length}`).toSorted();
}

async function isLoaded(server: Server, model: string, count = 1): Promise<void> {
  await server.logged((line) => line.msg === "worker ready" && line["name"] === model, count);
}

/** Of all instances, like `smol 0 ready`. */
async function statesOf(server: Server): Promise<string[]> {
  const { body: answer } = await server.request<ServedModelsAnswer>("GET", "/api/v1/models");
  return answer.models.flatMap(({ name, instances }) =>
    instances.map(({ gpu_id, state }) => `${name} ${gpu_id} ${state}`),
  );
}

/** The demo model has one token for each word of this, SmolLM2 a system message before it. */
const TEXT = "Once upon a time";

/** Whether a task has run on the model that it named, in one go. */
function ranOn({ status, model, attempts, result }: TaskView): string {
  const tokens = result !== null && result !== undefined && "usage" in result ? result.usage.prompt_tokens : null;
  const tokenizer = tokens === null ? "none" : tokens! > 20 ? "smol's" : "demo's";
  return `${status} ${model} with ${tokenizer} tokens, tried ${attempts.length}`;
}

const body = (model: string, max_length = 8): object => ({ text: TEXT, model, max_length, temperature: 0 });

/** Process ids of all workers. */
function workersOf(server: Server): number[] {
  return childrenOf(server.pid).flatMap(({ pid, command }) => (command.startsWith("alt-las worker") ? pid : []));
}

/** The worker that is started next. */
async function nextWorker(server: Server, before: readonly number[]): Promise<number> {
  for (const late = deadline(); ; await sleep(5, null, { signal: late })) {
    const pid = workersOf(server).find((one) => !before.includes(one));
    if (pid !== undefined) return pid;
  }
}

test("two real models are switched under load: each task runs on its own, and none is interrupted", REAL, async (t) => {
  const models = [
    `name: demo, load: demand, ${DEMO}`,
    `name: smol, load: demand, ${SMOL}`,
    `name: twin, load: demand, ${DEMO}`,
  ];
  const server = await Server.start(t, { config: configOf("cpu:2", models, 1000) });
  const names = Array.from({ length: 12 }, (_, index) => (index % 2 === 0 ? "smol" : "demo"));
  const tasks = await Promise.all(names.map((name) => server.run(body(name))));
  assert.deepEqual(
    tasks.map(ranOn),
    names.map((name) => `completed ${name} with ${name}'s tokens, tried 1`),
  );
  // The memory has room for two: one of the others has to go, and not the one that works.
  const long = await server.predict(body("smol", 400));
  const other = await server.run(body("twin"));
  assert.equal(ranOn(other), "completed twin with demo's tokens, tried 1");
  const ready = (await statesOf(server)).filter((state) => state.endsWith(" ready"));
  assert.ok(ready.length <= 2 && ready.some((state) => state.startsWith("twin ")), ready.join());
  const back = await server.run(body("demo"));
  assert.equal(ranOn(back), "completed demo with demo's tokens, tried 1");
  assert.equal(ranOn(await server.ended(long.task_id)), "completed smol with smol's tokens, tried 1");
  const seconds = server.log.filter(({ msg }) => msg === "worker ready").map((line) => Number(line["seconds"]));
  assert.ok(seconds.every((one) => one > 0));
  t.diagnostic(`loads: ${loadsOf(server).join(", ")}; seconds: ${seconds.join(", ")}`);
});

test("models for vectors and for chats share a device, which is drained and resumed with them", REAL, async (t) => {
  const vectors = `name: vectors, source: ${embeddingModel()}, task_types: [search]`;
  const server = await Server.start(t, { config: configOf("cpu:1", [vectors, `name: smol, ${SMOL}`]) });
  await Promise.all([isLoaded(server, "vectors"), isLoaded(server, "smol")]);
  const chat = { model: "smol", messages: [{ role: "user", content: "Hello!" }], max_tokens: 5 };
  const [embedded, chatted, refused] = await Promise.all([
    server.request<{ data: { embedding: number[] }[] }>("POST", "/v1/embeddings", {
      body: { model: "vectors", input: ["a", "b"] },
    }),
    server.request<{ choices: { message: { content: string } }[] }>("POST", "/v1/chat/completions", { body: chat }),
    server.request("POST", "/api/v1/predict", { body: body("vectors") }),
  ]);
  assert.deepEqual(
    embedded.body.data.map(({ embedding }) => embedding.length),
    [384, 384],
  );
  assert.match(chatted.body.choices[0]!.message.content, /\w/);
  assert.equal(refused.body.error, "text cannot be continued by the model vectors; smol can.");
  const running = await server.predict(body("smol", 40));
  await server.request("POST", "/api/v1/gpus/0/drain");
  assert.equal(ranOn(await server.ended(running.task_id)), "completed smol with smol's tokens, tried 1");
  for (const late = deadline(); workersOf(server).length > 0;) await sleep(20, null, { signal: late });
  const waiting = await Promise.all([server.predict(body("smol")), server.predict({ input: "a", model: "vectors" })]);
  await server.request("POST", "/api/v1/gpus/0/resume");
  const ended = await Promise.all(waiting.map(({ task_id }) => server.ended(task_id)));
  assert.deepEqual(
    ended.map(({ status, model }) => `${status} ${model}`),
    ["completed smol", "completed vectors"],
  );
});

test(
  "a worker that is killed with a model that came on demand is replaced, while it loads as well",
  REAL,
  async (t) => {
    const server = await Server.start(t, { config: configOf("cpu:1", [`name: smol, load: demand, ${SMOL}`]) });
    const first = await server.predict(body("smol", 60));
    const loading = await nextWorker(server, []);
    process.kill(loading, "SIGKILL");
    const serving = await nextWorker(server, [loading]);
    await isLoaded(server, "smol");
    process.kill(serving, "SIGKILL");
    const { status, attempts } = await server.ended(first.task_id);
    assert.deepEqual(
      [status, attempts.map(({ reason }) => reason)],
      ["completed", ["worker_crash", "completed"]],
      "the death during the load is no try of the task",
    );
  },
);

test("a worker that dies each time while it loads ends what waits for its model, with the cause", async (t) => {
  const server = await Server.start(t, { config: configOf("cpu:1", [`name: demo, load: demand, ${DEMO}`]) });
  const { task_id } = await server.predict(body("demo"));
  const first = await nextWorker(server, []);
  process.kill(first, "SIGKILL");
  process.kill(await nextWorker(server, [first]), "SIGKILL");
  const task = await server.ended(task_id);
  assert.deepEqual([task.status, task.error_code], ["failed", "model_error"]);
  assert.match(
    task.error!,
    /^The model demo cannot be loaded\. GPU 0: The worker died 2 times while loading the model \S+demo\.gguf \(SIGKILL\);/,
  );
});

test("a model whose file vanishes ends what waits for it, serves on where it is loaded, and comes back with the file", async (t) => {
  const file = join(newFolder(t), "demo.gguf");
  copyFileSync(DEMO_MODEL, file);
  const models = [`name: demo, load: demand, source: ${file}, slots: 2`];
  const server = await Server.start(t, { config: configOf("cpu:1", models) });
  await server.request("POST", "/api/v1/gpus/0/drain");
  const waiting = await server.predict(body("demo"));
  rmSync(file);
  await server.request("POST", "/api/v1/gpus/0/resume");
  const ended = await server.ended(waiting.task_id);
  assert.deepEqual([ended.status, ended.error_code], ["failed", "model_error"]);
  assert.ok(ended.error!.includes(`The model file ${file} does not exist.`), ended.error!);
  await server.became(0, "unfit");
  const before = server.log.filter(({ state }) => state === "ready").length;
  copyFileSync(DEMO_MODEL, file);
  await server.became(0, "ready", before + 1);
  assert.equal((await server.run(body("demo"))).status, "completed");
  rmSync(file);
  const after = await server.batch({ batch: Array.from({ length: 8 }, () => body("demo", 100)) });
  const tasks = await Promise.all(after.tasks.map(({ task_id }) => server.ended(task_id)));
  assert.ok(tasks.every(({ status }) => status === "completed"));
  assert.deepEqual(loadsOf(server), ["demo 1"]);
});

test("tasks that wait for a cold model survive the server's death, and run after its next start", REAL, async (t) => {
  const config = configOf("cpu:1", [`name: smol, load: demand, ${SMOL}`]);
  const first = await Server.start(t, { config });
  const waiting = await Promise.all(Array.from({ length: 4 }, () => first.predict(body("smol"))));
  await nextWorker(first, []);
  await first.kill9();
  const second = await first.restart();
  const ended = await Promise.all(waiting.map(({ task_id }) => second.ended(task_id)));
  assert.deepEqual(
    ended.map(ranOn),
    ended.map(() => "completed smol with smol's tokens, tried 1"),
  );
});

test("a model behind a server of its own stands beside one inside its worker, and both go when nothing uses them", async (t) => {
  await using program = await Program.standIn();
  const models = [
    `name: served, load: demand, keep_alive: 1, source: ${DEMO_MODEL}, slots: 2, engine: { kind: llama-server, binary: ${program.path} }`,
    `name: inside, load: demand, keep_alive: 1, ${DEMO}`,
  ];
  const server = await Server.start(t, { config: configOf("cpu:1", models) });
  const life = program.life();
  const tasks = await Promise.all(["served", "inside"].map((name) => server.run(body(name))));
  assert.deepEqual(
    tasks.map(({ status, model }) => `${status} ${model}`),
    ["completed served", "completed inside"],
  );
  await life.over;
  await server.logged(({ msg }) => msg === "model unloaded", 2);
  const gone = ["served 0 cold", "inside 0 cold"];
  for (const late = deadline(); String(await statesOf(server)) !== String(gone);)
    await sleep(20, null, { signal: late });
  assert.deepEqual(workersOf(server), []);
});
