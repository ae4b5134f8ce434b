/** GPUs that fail: a worker that dies under its tasks, and models that cannot be loaded. */
import assert from "node:assert/strict";
import { openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { newFolder, ROOT, Server } from "../helpers/server.ts";

const DEMO_MODEL = join(ROOT, "models", "demo.gguf");

test("tasks of a killed worker complete elsewhere, and the other GPU does not notice", async (t) => {
  const server = await Server.start(t, { args: ["--devices", "cpu:2"] });
  await server.loaded();
  const [doomed, other] = [server.workers().get(0)!, server.workers().get(1)!];
  // A worker that is stopped cannot finish before it is killed.
  process.kill(doomed, "SIGSTOP");
  const items = Array.from({ length: 6 }, () => ({ text: "Once upon a time", max_length: 30 }));
  const { tasks } = await server.batch({ batch: items, gpu_options: { strategy: "round_robin" } });
  process.kill(doomed, "SIGKILL");
  for (const { task_id, gpu_id } of tasks) {
    const task = await server.ended(task_id);
    assert.deepEqual([task.status, task.gpu_id], ["completed", 1]);
    const attempts = task.attempts.map((attempt) => `${attempt.gpu_id} ${attempt.reason}`);
    assert.deepEqual(attempts, gpu_id === 0 ? ["0 worker_crash", "1 completed"] : ["1 completed"]);
  }
  assert.equal(server.workers().get(1), other);

  // It comes back, and serves again.
  const pinned = await server.run({ text: "The dog", max_length: 5, gpu_options: { specific_gpu_id: 0 } });
  assert.deepEqual([pinned.status, pinned.gpu_id], ["completed", 0]);
  assert.notEqual(server.workers().get(0), doomed);
  assert.deepEqual(
    (await server.gpus()).map(({ status, restarts, task_count }) => [status, restarts, task_count]),
    [
      ["ready", 1, 0],
      ["ready", 0, 0],
    ],
  );
});

test("a worker that dies in the middle of a text has its task done anew, whole, on another GPU", async (t) => {
  const config = `
    engine:
      simulated: { tokens_per_second: 200, failures: [{ kind: crash, gpu_id: 0, when_text_contains: fatal, after_tokens: 7 }] }`;
  const server = await Server.start(t, { config, args: ["--devices", "simulated:2"] });
  await server.loaded();
  const { task_id, gpu_id } = await server.predict({
    text: "fatal",
    max_length: 20,
    gpu_options: { strategy: "round_robin" },
  });
  assert.equal(gpu_id, 0);
  const task = await server.ended(task_id);
  assert.deepEqual([task.status, task.gpu_id, task.result!.usage.completion_tokens], ["completed", 1, 20]);
  assert.equal(task.result!.text.trim().split(" ").length, 20);
});

test("a task that kills its workers while it runs there alone is poison, and says so", async (t) => {
  const config = "engine: { simulated: { failures: [{ kind: crash, when_text_contains: poison, after_tokens: 1 }] } }";
  const server = await Server.start(t, { config, args: ["--devices", "simulated:4"] });
  await server.loaded();
  const task = await server.run({ text: "poison" });
  assert.deepEqual([task.status, task.error_code], ["failed", "poison"]);
  assert.match(task.error!, /^The worker died 2 times while this task ran there alone; .*\.$/);
  assert.deepEqual(
    task.attempts.map(({ reason, alone }) => [reason, alone]),
    [
      ["worker_crash", true],
      ["worker_crash", true],
    ],
  );
  assert.equal(new Set(task.attempts.map((attempt) => attempt.gpu_id)).size, 2);
  assert.equal((await server.run({ text: "x", max_length: 1 })).status, "completed");
});

test("with a model that cannot be loaded the server stays up and says why, everywhere", async (t) => {
  const folder = newFolder(t);
  const corrupt = join(folder, "corrupt.gguf");
  const short = join(folder, "short.gguf");
  writeFileSync(corrupt, `GGUF${"nonsense".repeat(1000)}`);
  const half = Buffer.alloc(readFileSync(DEMO_MODEL).length >> 1);
  readSync(openSync(DEMO_MODEL, "r"), half);
  writeFileSync(short, half);
  for (const model of [corrupt, short, join(folder, "missing.gguf")]) {
    const server = await Server.start(t, { args: ["--devices", "cpu:2", "--model", model] });
    await server.loaded();
    for (const gpu of await server.gpus()) {
      assert.equal(gpu.status, "unfit");
      assert.ok(gpu.reason!.includes(model) && gpu.reason!.endsWith("."), gpu.reason!);
    }
    const reason = (await server.gpus())[0]!.reason!;
    assert.equal((await server.request("GET", "/livez")).status, 200);
    const ready = await server.request<{ reason: string }>("GET", "/readyz");
    // Anybody may ask for this one, so it says less.
    assert.deepEqual([ready.status, ready.body.reason], [503, "No GPU can run tasks; GET /api/v1/gpus says why."]);
    for (const [path, body] of [
      ["predict", { text: "x" }],
      ["predict", { text: "x", gpu_options: { specific_gpu_id: 1 } }],
      ["batch_predict", { batch: [{ text: "x" }] }],
    ] as const) {
      const answer = await server.request("POST", `/api/v1/${path}`, { body });
      assert.deepEqual([answer.status, answer.body.code], [503, "no_usable_gpu"]);
      assert.ok(answer.body.error.includes(reason), answer.body.error);
      assert.ok(Number(answer.headers.get("retry-after")) >= 1);
    }
    assert.equal((await server.tasks()).total, 0);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  }
});

test("a GPU that cannot load is listed with why, and the others serve", async (t) => {
  const config = "engine: { simulated: { failures: [{ kind: load_error, gpu_id: 1 }] } }";
  const server = await Server.start(t, { config, args: ["--devices", "simulated:3"] });
  await server.loaded();
  const gpus = await server.gpus();
  assert.deepEqual(
    gpus.map(({ status }) => status),
    ["ready", "unfit", "ready"],
  );
  assert.equal((await server.request("GET", "/readyz")).status, 200);
  for (const expected of [0, 2, 0]) {
    const task = await server.run({ text: "x", max_length: 1, gpu_options: { strategy: "round_robin" } });
    assert.equal(task.gpu_id, expected);
    assert.deepEqual(task.placement!.others, { unfit: 1 });
  }
  const pinned = { text: "x", gpu_options: { specific_gpu_id: 1 } };
  const { status, body } = await server.request("POST", "/api/v1/predict", { body: pinned });
  assert.equal(status, 503);
  assert.ok(body.error.startsWith("GPU 1 cannot run tasks.") && body.error.includes(gpus[1]!.reason!));
});

test("a task sent while models load waits for them, and readyz says that they load", async (t) => {
  const config = "engine: { simulated: { load_seconds: 600 } }";
  const server = await Server.start(t, { config, args: ["--devices", "simulated:2"] });
  const { status, body } = await server.request<{ reason: string }>("GET", "/readyz");
  assert.deepEqual([status, body.reason], [503, "2 of 2 GPUs are still loading."]);
  assert.deepEqual((await server.predict({ text: "x" })).status, "queued");
  assert.equal((await server.gpus())[0]!.status, "starting");
});
