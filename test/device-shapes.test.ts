/**
 * The shapes of configuration that need no `models`: an engine for each device, several entries on one card, groups, lists of servers. Which
 * devices they make, what is loaded there with how much memory, and where tasks go.
 */
import assert from "node:assert/strict";
import { basename } from "node:path";
import { test, type TestContext } from "node:test";
import { card } from "./helpers/gpu-identities.ts";
import { ScriptedPool } from "./helpers/scripted-pool.ts";

/** Each has 24 GiB, all of them free. */
const GPUS = [
  card("GPU-aaaa-1", "0000:01:00.0", { index: 0 }),
  card("GPU-bbbb-1", "0000:02:00.0", { index: 1 }),
  card("GPU-cccc-1", "0000:03:00.0", { index: 2 }),
];

interface Shape {
  /** Each like `0 gpu GPU-aaaa-1`. */
  readonly devices: readonly string[];
  /** What each device's worker is told to load: the engine, the model, its options, and GiB that it may take. */
  readonly loads: readonly string[];
  /** The GPU of one task for each model, then those of as many as there are devices that name no model. */
  readonly placed: readonly string[];
}

async function shapeOf(t: TestContext, config: string): Promise<Shape> {
  const scripted = await ScriptedPool.of(t, { config, gpus: GPUS });
  const { devices, loads, world } = scripted;
  await scripted.startAll(devices.length);
  const models = [...new Set(loads.map(({ engine }) => engine.model))];
  const byModel = models.map((model) => `${basename(model)}: ${world.submit({ model }).gpuId}`);
  const anywhere = devices.map(() => world.submit().gpuId);
  return {
    devices: devices.map(({ id, kind, uuids, name }) => `${id} ${kind} ${kind === "remote" ? name : uuids.join("+")}`),
    loads: loads.toSorted((one, other) => one.gpuId - other.gpuId).map(textOf),
    placed: [...byModel.toSorted(), `any: ${anywhere.join(", ")}`],
  };
}

function textOf({ gpuId, engine }: ScriptedPool["loads"][number]): string {
  const { kind, model, context, minContext, slots, raw, tuning, upstream, patience, memoryBudget } = engine;
  // What a machine has free, and how many cores, is another on each.
  const budget = memoryBudget === null || tuning.threads !== null ? [] : [`${(memoryBudget / 2 ** 30).toFixed(1)} GiB`];
  const options = [
    `slots ${slots}`,
    ...(context === null ? [] : [`context ${context}`, `at least ${minContext}`]),
    ...(raw ? ["raw"] : []),
    ...(tuning.threads === null ? [] : [`threads ${tuning.threads}`]),
    ...(upstream === null ? [] : [upstream.url, `within ${patience.token} s`]),
    ...budget,
  ];
  return `${gpuId} ${kind} ${basename(model)}: ${options.join(", ")}`;
}

test("without a word, each GPU of the machine has the demo model", async (t) => {
  assert.deepEqual(await shapeOf(t, ""), {
    devices: ["0 gpu GPU-aaaa-1", "1 gpu GPU-bbbb-1", "2 gpu GPU-cccc-1"],
    loads: [
      "0 llama demo.gguf: slots 8, 21.6 GiB",
      "1 llama demo.gguf: slots 8, 21.6 GiB",
      "2 llama demo.gguf: slots 8, 21.6 GiB",
    ],
    placed: ["demo.gguf: 1", "any: 0, 2, 2"],
  });
});

test("entries of GPUs have settings and engines of their own", async (t) => {
  assert.deepEqual(
    await shapeOf(
      t,
      `
gpu:
  devices:
    - { gpu: 0, name: fast, slots: 16, memory_threshold: 0.8, utilization_threshold: 0.9, max_temperature: 80 }
    - { gpu: GPU-bbbb, engine: { kind: llama, model: a.gguf, context: 4096, min_context: 1024 } }`,
    ),
    {
      devices: ["0 gpu GPU-aaaa-1", "1 gpu GPU-bbbb-1"],
      loads: [
        "0 llama demo.gguf: slots 16, 19.2 GiB",
        "1 llama a.gguf: slots 8, context 4096, at least 1024, 21.6 GiB",
      ],
      placed: ["a.gguf: 1", "demo.gguf: 0", "any: 0, 1"],
    },
  );
});

test("a CPU device stands beside a GPU", async (t) => {
  assert.deepEqual(await shapeOf(t, "gpu: { devices: [{ gpu: cpu:1, engine: { threads: 4 } }, 0] }"), {
    devices: ["0 cpu CPU-0", "1 gpu GPU-aaaa-1"],
    loads: ["0 llama demo.gguf: slots 8, threads 4", "1 llama demo.gguf: slots 8, 21.6 GiB"],
    placed: ["demo.gguf: 1", "any: 0, 1"],
  });
});

test("simulated devices stand beside each other", async (t) => {
  assert.deepEqual(await shapeOf(t, "gpu: { devices: [simulated:2, { gpu: simulated:1, slots: 1 }] }"), {
    devices: ["0 simulated SIMULATED-0", "1 simulated SIMULATED-1", "2 simulated SIMULATED-2"],
    loads: ["0 simulated demo.gguf: slots 8", "1 simulated demo.gguf: slots 8", "2 simulated demo.gguf: slots 1"],
    placed: ["demo.gguf: 1", "any: 0, 2, 1"],
  });
});

test("two GPUs hold one model together, beside one that has its own", async (t) => {
  assert.deepEqual(await shapeOf(t, "gpu: { devices: [{ gpus: [1, 2] }, 0] }"), {
    devices: ["0 gpu GPU-bbbb-1+GPU-cccc-1", "1 gpu GPU-aaaa-1"],
    loads: ["0 llama demo.gguf: slots 8, 43.2 GiB", "1 llama demo.gguf: slots 8, 21.6 GiB"],
    placed: ["demo.gguf: 1", "any: 0, 1"],
  });
});

test("several entries share a card, one of them with another", async (t) => {
  assert.deepEqual(
    await shapeOf(
      t,
      `
gpu:
  devices:
    - { gpu: 0, slots: 1 }
    - { gpu: 0, slots: 3, engine: { model: b.gguf } }
    - { gpus: [0, 1], slots: 2, engine: { model: c.gguf } }`,
    ),
    {
      devices: ["0 gpu GPU-aaaa-1", "1 gpu GPU-aaaa-1", "2 gpu GPU-aaaa-1+GPU-bbbb-1"],
      loads: [
        "0 llama demo.gguf: slots 1, 7.2 GiB",
        "1 llama b.gguf: slots 3, 10.8 GiB",
        "2 llama c.gguf: slots 2, 43.2 GiB",
      ],
      placed: ["b.gguf: 1", "c.gguf: 2", "demo.gguf: 0", "any: 1, 2, 1"],
    },
  );
});

test("a server elsewhere stands beside a GPU", async (t) => {
  assert.deepEqual(
    await shapeOf(
      t,
      `
gpu:
  devices:
    - { name: b, slots: 16, engine: { kind: openai, model: m, url: http://10.0.0.5:8000, token_timeout: 60 } }
    - 1`,
    ),
    {
      devices: ["0 remote b", "1 gpu GPU-bbbb-1"],
      loads: ["0 openai m: slots 16, raw, http://10.0.0.5:8000, within 60 s", "1 llama demo.gguf: slots 8, 21.6 GiB"],
      placed: ["demo.gguf: 1", "m: 0", "any: 0, 1"],
    },
  );
});

test("each server of a list is a GPU", async (t) => {
  assert.deepEqual(
    await shapeOf(t, "engine: { kind: openai, url: [http://10.0.0.5:8000, http://10.0.0.6:8000], model: m }"),
    {
      devices: ["0 remote 10.0.0.5:8000", "1 remote 10.0.0.6:8000"],
      loads: [
        "0 openai m: slots 8, raw, http://10.0.0.5:8000, within 30 s",
        "1 openai m: slots 8, raw, http://10.0.0.6:8000, within 30 s",
      ],
      placed: ["m: 1", "any: 0, 1"],
    },
  );
});

test("with multi_gpu.enabled: false only the first GPU is used", async (t) => {
  assert.deepEqual(await shapeOf(t, "gpu: { multi_gpu: { enabled: false } }"), {
    devices: ["0 gpu GPU-aaaa-1"],
    loads: ["0 llama demo.gguf: slots 8, 21.6 GiB"],
    placed: ["demo.gguf: 0", "any: 0"],
  });
});

test("an engine for all has its settings on each GPU", async (t) => {
  assert.deepEqual(
    await shapeOf(
      t,
      `
engine: { kind: llama-server, model: c.gguf, context: 1000 }
gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 5 } }`,
    ),
    {
      devices: ["0 gpu GPU-aaaa-1", "1 gpu GPU-bbbb-1", "2 gpu GPU-cccc-1"],
      loads: [
        "0 llama-server c.gguf: slots 5, context 1000, at least 1000, 21.6 GiB",
        "1 llama-server c.gguf: slots 5, context 1000, at least 1000, 21.6 GiB",
        "2 llama-server c.gguf: slots 5, context 1000, at least 1000, 21.6 GiB",
      ],
      placed: ["c.gguf: 1", "any: 0, 2, 2"],
    },
  );
});
