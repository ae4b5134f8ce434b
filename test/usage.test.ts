/** Usage of a whole server: what tasks cost, and whose they are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TaskView } from "../src/http/schemas/tasks.ts";
import { hashApiKey } from "../src/auth/secrets.ts";
import { type UsageAnswer } from "../src/http/schemas/usage.ts";
import { startLocalServer } from "./helpers/local-server.ts";
import { StandIn } from "./helpers/upstream.ts";
import { embeddingsOf } from "./helpers/upstream-vendors.ts";

/** Seconds by which shown times, which are whole milliseconds, may be off a measured one. */
const ROUNDED = 0.003;

/** Seconds that a GPU had a task, as its attempts are shown. */
function held({ attempts }: TaskView): number {
  const times = attempts.map(({ started_at, ended_at }) => Date.parse(ended_at!) - Date.parse(started_at));
  return times.reduce((sum, time) => sum + time, 0) / 1000;
}

test("a task says when its parts were and what it cost, and one that never ran says only how long it waited", async (t) => {
  const config = "engine: { simulated: { tokens_per_second: 100 } }";
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  const task = await server.run({ text: "sixteen bytes ok", max_length: 20 });
  const { usage, timing, result } = task;
  assert.deepEqual(
    [usage?.prompt_tokens, usage?.completion_tokens, usage?.cached_tokens, usage?.energy_joules],
    [4, 20, 0, null],
  );
  const { queued, prompt, first_token, generation } = timing;
  // The first of 100 tokens a second.
  assert.ok(prompt! >= 0.009 && generation! > 0, JSON.stringify(timing));
  assert.ok(Math.abs(first_token! - queued - prompt!) < 1e-5);
  assert.ok(prompt! + generation! >= result!.execution_time - ROUNDED);
  assert.ok(usage!.gpu_seconds! >= result!.execution_time - ROUNDED);
  assert.ok(usage!.gpu_seconds! <= held(task) + ROUNDED, JSON.stringify(task));
});

test("a task that is canceled while it waits has cost nothing, and what others cut off still costs", async (t) => {
  const config = `
engine: { simulated: { tokens_per_second: 50 } }
gpu: { multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }`;
  const server = await startLocalServer(t, { config, devices: "simulated:1" });
  await server.loaded();
  const running = await server.predict({ text: "long", max_length: 20 });
  // It does not end meanwhile, however slow the machine is.
  server.signalWorker(0, "SIGSTOP");
  const waiting = await server.predict({ text: "waits" });
  const soFar = await server.task(waiting.task_id);
  assert.ok(soFar.timing.queued >= 0);
  await server.request("POST", `/api/v1/task/${waiting.task_id}/cancel`);
  const canceled = await server.task(waiting.task_id);
  assert.equal(canceled.usage, undefined);
  const waited = (Date.parse(canceled.finished_at!) - Date.parse(canceled.created_at)) / 1000;
  assert.ok(Math.abs(canceled.timing.queued - waited) < ROUNDED);
  server.signalWorker(0, "SIGKILL");
  const ended = await server.ended(running.task_id);
  assert.equal(ended.attempts.length, 2);
  // The tokens of the attempt that was cut off, 50 a second.
  const lost = ended.usage!.completion_tokens - 20;
  const { gpu_seconds } = ended.usage!;
  assert.ok(gpu_seconds! >= ended.result!.execution_time + (lost - 1) / 50 - ROUNDED, JSON.stringify(ended));
  assert.ok(gpu_seconds! <= held(ended) + ROUNDED, JSON.stringify(ended));
  assert.ok(ended.timing.queued >= held({ ...ended, attempts: ended.attempts.slice(0, 1) }) - ROUNDED);
});

/** Their GPU-seconds together. */
function costOf(tasks: readonly TaskView[]): number {
  return tasks.reduce((seconds, { usage }) => seconds + usage!.gpu_seconds!, 0);
}

/** Two users, one of which has two keys, on a GPU whose steps they share. */
const SHARED = `
engine: { simulated: { tokens_per_second: 200 } }
auth:
  users: [{ name: root, role: admin }, { name: ada, role: user }, { name: bob, role: user }]
  keys:
    - { name: root, user: root, sha256: ${hashApiKey("root")} }
    - { name: ada-laptop, user: ada, sha256: ${hashApiKey("ada 1")} }
    - { name: ada-server, user: ada, sha256: ${hashApiKey("ada 2")} }
    - { name: bob, user: bob, sha256: ${hashApiKey("bob")} }
`;

test("what users that share a GPU have cost adds up to the time that it worked, also over a restart", async (t) => {
  let server = await startLocalServer(t, { config: SHARED, devices: "simulated:1" });
  server.key = "root";
  await server.loaded();
  const ended: TaskView[] = [];
  const runAll = async (): Promise<void> => {
    const keys = ["ada 1", "bob", "ada 2", "ada 1"].map((key) => ({ authorization: `Bearer ${key}` }));
    const tasks = keys.map((headers, index) => server.run({ text: `text ${index}`, max_length: 10 + index }, headers));
    ended.push(...(await Promise.all(tasks)));
  };
  const usageBy = async (by: string, key = "root"): Promise<UsageAnswer> => {
    const headers = { authorization: `Bearer ${key}` };
    return (await server.request<UsageAnswer>("GET", `/api/v1/usage?by=${by}`, { headers })).body;
  };
  const began = performance.now();
  await runAll();
  await server.stop();
  server = await server.restart();
  server.key = "root";
  await runAll();
  const worked = (performance.now() - began) / 1000;
  const { rows, total } = await usageBy("user,key");
  assert.deepEqual(
    rows.map(({ user, key, completed, completion_tokens }) => [user, key, completed, completion_tokens]),
    [
      ["ada", "ada-laptop", 4, 46],
      ["ada", "ada-server", 2, 24],
      ["bob", "bob", 2, 22],
    ],
  );
  // Each task's figures are rounded to microseconds.
  assert.ok(Math.abs(total.gpu_seconds - costOf(ended)) < 1e-4);
  for (const row of rows) {
    const own = ended.filter(({ user }) => user === row.user);
    const ofUser = rows.filter(({ user }) => user === row.user).reduce((seconds, one) => seconds + one.gpu_seconds, 0);
    assert.ok(Math.abs(ofUser - costOf(own)) < 1e-4 && row.gpu_seconds > 0);
  }
  // They share the GPU: together they cost less than each waited for its own.
  assert.ok(total.gpu_seconds <= worked, `${total.gpu_seconds} of ${worked} s`);
  assert.ok(total.gpu_seconds < ended.reduce((seconds, task) => seconds + held(task), 0));
  // Nothing of it goes with the tasks.
  for (const { task_id } of ended) await server.request("DELETE", `/api/v1/task/${task_id}`);
  assert.deepEqual((await usageBy("user,key")).rows, rows);
  const own = await usageBy("key", "bob");
  assert.deepEqual(
    own.rows.map(({ key, tasks }) => [key, tasks]),
    [["bob", 2]],
  );
});

test("tasks on a server that runs elsewhere have their cost, and those that come by /v1 their key", async (t) => {
  await using standIn = await StandIn.open({ vendor: "ollama", pages: { "/v1/embeddings": embeddingsOf } });
  const device = `{ name: far, engine: { kind: openai, url: '${standIn.url}' } }`;
  const server = await startLocalServer(t, { config: `gpu: { devices: [${device}] }` });
  await server.loaded();
  const chat = { messages: [{ role: "user", content: "about a lamp" }], max_tokens: 3 };
  const { status, headers } = await server.request("POST", "/v1/chat/completions", { body: chat });
  assert.equal(status, 200);
  const task = await server.task(headers.get("x-task-id")!);
  const { usage, result } = task;
  assert.equal(usage?.prompt_tokens, result?.usage.prompt_tokens);
  assert.deepEqual([usage?.completion_tokens, usage?.energy_joules], [3, null]);
  assert.ok(usage!.gpu_seconds! > 0 && usage!.gpu_seconds! <= held(task) + ROUNDED);
  const vectors = await server.run({ input: ["one", "two"] });
  assert.ok(vectors.usage!.gpu_seconds! > 0 && vectors.timing.prompt! > 0);
  const { body } = await server.request<UsageAnswer>("GET", "/api/v1/usage?by=key,model");
  assert.deepEqual(
    body.rows.map(({ key, model, tasks }) => [key, model, tasks]),
    [["first", task.model, 2]],
  );
});
