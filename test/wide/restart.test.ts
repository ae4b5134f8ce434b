/** What a server that was killed leaves behind, and what the next one on the same data directory makes of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TaskView } from "../../src/http/schemas/tasks.ts";
import { altLas, Server } from "../helpers/server.ts";
import { isOnPostgres } from "../helpers/store-section.ts";

const SLOTS = "gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 2 } }";
/** Tasks that do not end while a test lasts, and tasks that are over as soon as they start. */
const SLOW = `{ ${SLOTS}, engine: { simulated: { tokens_per_second: 0.01 } }, log: { level: debug } }`;
const FAST = `{ ${SLOTS}, engine: { simulated: { tokens_per_second: 0 } }, log: { level: debug } }`;

const items = (count: number) => Array.from({ length: count }, (_, n) => ({ text: `item ${n}`, max_length: 5 }));
const reasons = (task: TaskView) => task.attempts.map(({ reason }) => reason);

test("a killed server loses no task: those that ran and those that waited complete after the restart, oldest first", async (t) => {
  const first = await Server.start(t, { config: SLOW, args: ["--devices", "simulated:1"] });
  await first.loaded();
  const one = await first.predict({ text: "runs", max_length: 5 });
  const split = await first.batch({ batch: items(3) });
  const whole = await first.batch({ batch: items(3), gpu_options: { batch_split: false } });
  const pinned = await first.predict({ text: "pinned", max_length: 5, gpu_options: { specific_gpu_id: 0 } });
  assert.deepEqual([split.status, whole.status, pinned.status], ["mixed", "queued", "queued"]);
  const ids = [one, ...split.tasks, ...whole.tasks, pinned].map((task) => task.task_id);
  await first.kill9();

  const second = await first.restart({ config: FAST });
  assert.equal(second.stdout.includes("API key"), false, "the key is shown on the first start only");
  const tasks: TaskView[] = [];
  for (const id of ids) tasks.push(await second.ended(id));
  for (const [index, task] of tasks.entries()) {
    assert.equal(task.status, "completed");
    assert.equal(task.result!.usage.completion_tokens, 5);
    // Only two had a slot.
    assert.deepEqual(reasons(task), index < 2 ? ["server_restart", "completed"] : ["completed"]);
  }
  const started = second.log.filter(({ msg }) => msg === "task running").map((line) => line["task"]);
  assert.deepEqual(started, ids);
  assert.equal((await second.tasks()).total, ids.length);

  // What is done stays done, and readable.
  await second.kill9();
  const third = await second.restart();
  for (const task of tasks) assert.deepEqual(await third.task(task.task_id), task);
  assert.equal((await third.tasks("?status=completed")).total, ids.length);
  assert.equal((await third.run({ text: "new" })).status, "completed");
});

test("with the real model, tasks of a killed server complete after the restart, and no worker outlives it", async (t) => {
  const first = await Server.start(t, { config: SLOTS, args: ["--devices", "cpu:2"] });
  await first.loaded();
  const done = await first.run({ text: "Once upon a time", max_length: 20 });
  const workers = [...first.workers().values()];
  assert.equal(workers.length, 2);
  // A worker that is stopped cannot finish before its server is killed.
  for (const pid of workers) process.kill(pid, "SIGSTOP");
  const { tasks } = await first.batch({ batch: items(9) });
  assert.deepEqual(
    tasks.map(({ status }) => status),
    [...Array(4).fill("running"), ...Array(5).fill("queued")],
  );
  const killed = first.kill9();
  for (const pid of workers) process.kill(pid, "SIGCONT");
  await killed;

  const second = await first.restart();
  for (const [index, { task_id }] of tasks.entries()) {
    const task = await second.ended(task_id);
    assert.equal(task.status, "completed");
    assert.deepEqual(reasons(task), index < 4 ? ["server_restart", "completed"] : ["completed"]);
  }
  assert.deepEqual(await second.task(done.task_id), done);
});

// PostgreSQL has a lease instead, which has tests of its own.
if (!isOnPostgres())
  test("a second server on the same data directory is refused with a sentence, and the first goes on", async (t) => {
    const first = await Server.start(t, { config: FAST, args: ["--devices", "simulated:1"] });
    const second = await altLas(["serve", "--data-dir", first.dataDir, "--port", "0", "--devices", "simulated:1"]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /is starting"\}\n.*alt-las\.db.*\.?\n$/);
    assert.match(second.stderr, /another|in use/);
    assert.equal((await first.run({ text: "x" })).status, "completed");
  });

test("a start that fails leaves the next one everything, also the first key to show", async (t) => {
  const other = await Server.start(t, { args: ["--devices", "simulated:1"] });
  const folder = other.dataDir.replace(/data$/, "another");
  const port = new URL(other.url).port;
  const failed = await altLas(["serve", "--data-dir", folder, "--port", port, "--devices", "simulated:1"]);
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, new RegExp(`^Cannot listen on 127\\.0\\.0\\.1:${port}: another program .*\\.\n$`, "m"));
  assert.equal(failed.stdout, "");
  await other.stop();
  const next = await Server.start(t, { args: ["--devices", "simulated:1", "--data-dir", folder] });
  assert.match(next.key, /^altlas_/);
  assert.equal((await next.run({ text: "x", max_length: 1 })).status, "completed");
});

test("ALT_LAS_API_KEY is the first key, is not shown, and changing it takes the old one back", async (t) => {
  const [one, two] = [{ ALT_LAS_API_KEY: "this-key-is-my-own" }, { ALT_LAS_API_KEY: "another-key-of-mine" }];
  const first = await Server.start(t, { args: ["--devices", "simulated:1"], env: one });
  assert.equal((await first.gpus()).length, 1);
  assert.ok(!(first.stdout + first.stderr).includes(one.ALT_LAS_API_KEY));
  assert.deepEqual(await first.stop(), { code: 0, signal: null });
  const second = await first.restart({ env: two });
  assert.equal((await second.request("GET", "/api/v1/gpus")).status, 401);
  second.key = two.ALT_LAS_API_KEY;
  assert.equal((await second.gpus()).length, 1);
});
