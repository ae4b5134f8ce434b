/** The whole server in this process, with workers that are no processes: what the tests that use it rely on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startLocalServer } from "./helpers/local-server.ts";

const SLOW = "engine: { simulated: { tokens_per_second: 50 } }";
const FAST = "engine: { simulated: { tokens_per_second: 0 } }";

test("a server in this process runs tasks and batches over HTTP", async (t) => {
  const server = await startLocalServer(t, { config: FAST, devices: "simulated:2" });
  const task = await server.run({ text: "hello", max_length: 3 });
  assert.deepEqual([task.status, task.result?.usage.completion_tokens], ["completed", 3]);
  const { tasks } = await server.batch({ batch: [{ text: "one" }, { text: "two" }] });
  for (const { task_id } of tasks) assert.equal((await server.ended(task_id)).status, "completed");
  await server.loaded();
  assert.deepEqual(
    (await server.gpus()).map(({ status }) => status),
    ["ready", "ready"],
  );
});

test("a worker that is killed takes its task along, which runs again with the next worker", async (t) => {
  const server = await startLocalServer(t, { config: SLOW, devices: "simulated:1" });
  await server.loaded();
  const { task_id } = await server.predict({ text: "long", max_length: 20 });
  server.signalWorker(0, "SIGKILL");
  await server.became(0, "ready", 2);
  const task = await server.ended(task_id);
  assert.equal(task.status, "completed");
  assert.equal(server.workers.count, 2);
  assert.equal(server.workers.alive.length, 1);
});

test("a crash that the failure script asks for ends that worker alone", async (t) => {
  const config =
    "engine: { simulated: { tokens_per_second: 0, failures: [{ kind: crash, when_text_contains: boom }] } }\ntasks: { max_attempts: 1 }";
  const server = await startLocalServer(t, { config, devices: "simulated:2" });
  const crashed = await server.run({ text: "boom" });
  assert.equal(crashed.status, "failed");
  assert.equal((await server.run({ text: "fine" })).status, "completed");
});

test("another life finds the tasks of the one before, with the same key", async (t) => {
  const first = await startLocalServer(t, { config: FAST, devices: "simulated:1" });
  const { task_id } = await first.run({ text: "hello" });
  await first.stop();
  const second = await first.restart();
  assert.equal((await second.task(task_id)).status, "completed");
});
