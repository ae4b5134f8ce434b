/** Where tasks go: strategies, pinning, batches and full queues, on simulated devices over HTTP. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { DOCUMENT_CONFIG } from "../helpers/document.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { Server } from "../helpers/server.ts";
import { type Owner, type ServerHandle } from "../helpers/server-handle.ts";

/** Tasks that are over as soon as they start. */
const FAST = "engine: { simulated: { tokens_per_second: 0 } }";
/** Tasks that do not end while a test lasts. */
const SLOW = "engine: { simulated: { tokens_per_second: 0.01 } }";

const fast = await startLocalServer(
  { after },
  {
    devices: "simulated:4",
    config: `
      ${FAST}
      gpu: { multi_gpu: { task_specific_mappings: { summary: [gpu_1, 2], translation: gpu_3, lost: gpu_9 } } }`,
  },
);
await fast.loaded();

/** A server whose tasks do not end. */
async function slow(t: Owner, devices: number, multiGpu: string): Promise<ServerHandle> {
  const config = `{ gpu: { multi_gpu: { ${multiGpu} } }, ${SLOW} }`;
  const server = await startLocalServer(t, { config, devices: `simulated:${devices}` });
  return server.loaded();
}

/** The GPUs that tasks are given one after the other. */
async function gpusOf(server: ServerHandle, count: number, body: object): Promise<(number | null)[]> {
  const ids: (number | null)[] = [];
  for (let i = 0; i < count; i++) ids.push((await server.predict({ text: "x", max_length: 1, ...body })).gpu_id);
  return ids;
}

const items = (count: number) => Array.from({ length: count }, (_, n) => ({ text: `item ${n}` }));

/** How often each value occurs, by value. */
function tally(values: readonly (number | null)[]): Record<string, number> {
  return Object.fromEntries(
    Map.groupBy(values.toSorted(), String)
      .entries()
      .map(([id, all]) => [id, all.length]),
  );
}

test("round robin goes through the GPUs in order, and tasks placed otherwise don't take its turns", async () => {
  const gpu_options = { strategy: "round_robin" };
  assert.deepEqual(await gpusOf(fast, 6, { gpu_options }), [0, 1, 2, 3, 0, 1]);
  await gpusOf(fast, 3, { gpu_options: { specific_gpu_id: 0 } });
  await gpusOf(fast, 3, { gpu_options: { strategy: "random" } });
  assert.deepEqual(await gpusOf(fast, 3, { gpu_options }), [2, 3, 0]);
});

test("random uses more than one GPU", async () => {
  const gpus = await gpusOf(fast, 48, { gpu_options: { strategy: "random" } });
  assert.ok(new Set(gpus).size > 1, gpus.join());
});

test("task_specific keeps a type to its GPUs, and treats types without one as least_loaded does", async () => {
  const of = (task_type: string) => gpusOf(fast, 12, { task_type, gpu_options: { strategy: "task_specific" } });
  assert.deepEqual(tally(await of("translation")), { 3: 12 });
  assert.ok((await of("summary")).every((id) => id === 1 || id === 2));
  assert.ok((await of("unheard-of")).every((id) => id !== null));
  assert.ok((await of("lost")).every((id) => id !== null));
  assert.ok(fast.log.some(({ level, msg }) => level === 40 && msg.includes("task_specific_mappings.lost names gpu_9")));
});

test("a pinned task goes to its GPU whatever the strategy says", async () => {
  for (const specific_gpu_id of [3, 1, 2, 0]) {
    const gpu_options = { strategy: "round_robin", specific_gpu_id };
    const task = await fast.run({ text: "x", task_type: "translation", gpu_options });
    assert.equal(task.gpu_id, specific_gpu_id);
    assert.equal(task.placement!.strategy, "pinned");
  }
});

test("a burst under least_loaded spreads evenly, and a busy mapped GPU holds up nobody else", async (t) => {
  const server = await slow(t, 4, "max_concurrent_tasks_per_gpu: 2, task_specific_mappings: { special: gpu_3 }");
  const burst = Array.from({ length: 4 }, () => server.predict({ text: "x" }));
  assert.deepEqual(tally((await Promise.all(burst)).map((task) => task.gpu_id)), { 0: 1, 1: 1, 2: 1, 3: 1 });
  for (const { task_count, load } of await server.gpus()) assert.deepEqual([task_count, load], [1, 0.5]);
  const special = { task_type: "special", gpu_options: { strategy: "task_specific" } };
  assert.deepEqual(await gpusOf(server, 3, special), [3, null, null]);
  const pinned = await server.predict({ text: "x", gpu_options: { specific_gpu_id: 3 } });
  assert.deepEqual([pinned.gpu_id, pinned.status], [3, "queued"]);
  assert.deepEqual(tally(await gpusOf(server, 3, {})), { 0: 1, 1: 1, 2: 1 });
  assert.equal((await server.tasks("?status=running")).total, 8);
  assert.equal((await server.tasks("?status=queued")).total, 3);
});

test("memory_optimized takes the GPU with the most free memory", async (t) => {
  // Simulated devices tell nothing of their memory, so they have none to offer beside a real one.
  const config = `gpu: { devices: ["simulated:2", "cpu:1"] }`;
  const server = await Server.start(t, { config });
  await server.loaded();
  assert.deepEqual(await gpusOf(server, 4, { gpu_options: { strategy: "memory_optimized" } }), [2, 2, 2, 2]);
  const task = await server.run({ text: "x", max_length: 1, gpu_options: { strategy: "memory_optimized" } });
  assert.deepEqual(
    task.placement!.candidates.map(({ gpu_id }) => gpu_id),
    [2, 0, 1],
  );
  assert.ok(task.placement!.candidates[0]!.score! > 0);
});

test("the document's configuration serves as it stands", async (t) => {
  const server = await startLocalServer(t, { config: DOCUMENT_CONFIG, devices: "simulated:3" });
  await server.loaded();
  const specific = { text: "x", max_length: 1, gpu_options: { strategy: "task_specific" } };
  assert.equal((await server.run(specific)).gpu_id, 1);
  assert.equal((await server.run({ ...specific, task_type: "image_segmentation" })).gpu_id, 0);
  // min_batch_size_per_gpu is 4.
  const ofBatch = async (size: number) =>
    (await server.batch({ batch: items(size), gpu_options: { strategy: "round_robin" } })).tasks.map(
      ({ gpu_id }) => gpu_id,
    );
  assert.deepEqual(await ofBatch(7), Array(7).fill(0));
  assert.deepEqual(await ofBatch(9), [1, 2, 1, 2, 1, 2, 1, 2, 1]);
});

test("a batch says running, all_distributed, mixed, queued or all_queued as its tasks found slots", async (t) => {
  const server = await slow(t, 2, "max_concurrent_tasks_per_gpu: 2");
  const batch = async (size: number, batch_split: boolean) => {
    const answer = await server.batch({ batch: items(size), gpu_options: { strategy: "round_robin", batch_split } });
    return [answer.status, ...answer.tasks.map(({ gpu_id, status }) => `${status} ${gpu_id}`)];
  };
  // Two GPUs with two slots each: one slot of each is taken first, then both of GPU 0, then the last one of GPU 1.
  assert.deepEqual(await batch(2, true), ["running", "running 0", "running 1"]);
  assert.deepEqual(await batch(3, false), ["all_distributed", "running 0", "queued 0", "queued 0"]);
  assert.deepEqual(await batch(3, true), ["mixed", "running 1", "queued null", "queued null"]);
  assert.deepEqual(await batch(2, false), ["queued", "queued null", "queued null"]);
  assert.deepEqual(await batch(2, true), ["all_queued", "queued null", "queued null"]);
  assert.equal((await server.tasks()).total, 12);
});

test("a full queue is a 503 that says when to come back, and nothing of a refused batch exists", async (t) => {
  const server = await slow(t, 1, "max_concurrent_tasks_per_gpu: 1, max_queue_size: 3, max_queue_bytes: 1000");
  const refused = async (path: string, body: object, sentence: RegExp) => {
    const answer = await server.request("POST", `/api/v1/${path}`, { body });
    assert.equal(answer.status, 503);
    assert.equal(answer.body.code, "queue_full");
    assert.match(answer.body.error, sentence);
    assert.match(answer.headers.get("retry-after")!, /^[1-9]\d*$/);
  };
  assert.equal((await server.predict({ text: "x" })).status, "running");
  assert.equal((await server.predict({ text: "x" })).status, "queued");
  await refused("batch_predict", { batch: items(3) }, /no room for 3 more: 1 of at most 3 tasks wait/);
  await refused("predict", { text: "x".repeat(1000) }, /1 of at most 1000 bytes of text wait/);
  assert.equal((await server.batch({ batch: items(2) })).status, "all_queued");
  await refused("predict", { text: "x" }, /no room for 1 more: 3 of at most 3 tasks wait/);
  await refused("predict", { text: "x", gpu_options: { specific_gpu_id: 0 } }, /3 of at most 3/);
  assert.equal((await server.tasks()).total, 4);
});

test("gpu.multi_gpu.enabled: false leaves only the first GPU", async (t) => {
  const config = `{ gpu: { multi_gpu: { enabled: false } }, ${FAST} }`;
  const server = await startLocalServer(t, { config, devices: "simulated:3" });
  assert.deepEqual(
    (await server.gpus()).map(({ id }) => id),
    [0],
  );
  const answer = await server.request("POST", "/api/v1/predict", {
    body: { text: "x", gpu_options: { specific_gpu_id: 1 } },
  });
  assert.equal(answer.status, 400);
});
