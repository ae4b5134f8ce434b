/** One ALT_LAS as the server behind a GPU of another. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Owner, Server } from "../helpers/server.ts";

interface Pair {
  /** What computes, or pretends to. */
  readonly upstream: Server;
  /** What clients talk to. */
  readonly server: Server;
}

/** @param devices more of the second server's @param config of the first one */
async function pair(t: Owner, devices: readonly string[] = [], config = simulated(100)): Promise<Pair> {
  const upstream = await Server.start(t, { config, env: { ALT_LAS_API_KEY: KEY } });
  await upstream.loaded();
  const remote = `{ name: far, engine: { kind: openai, url: '${upstream.url}', api_key: '\${UPSTREAM_KEY}' } }`;
  const server = await Server.start(t, {
    config: `gpu: { devices: [${[remote, ...devices].join(", ")}] }`,
    env: { UPSTREAM_KEY: KEY, UPSTREAM_URL: upstream.url },
  });
  await server.loaded();
  return { upstream, server };
}

function simulated(tokensPerSecond: number): string {
  return `{ gpu: { devices: 'simulated:2' }, engine: { simulated: { tokens_per_second: ${tokensPerSecond} } } }`;
}

const KEY = "altlas_0123456789012345678901234567890123456789abc";

test("tasks run on another ALT_LAS, with the same text and the same counts", async (t) => {
  const { upstream, server } = await pair(t);
  const [gpu] = await server.gpus();
  assert.deepEqual(
    [gpu!.kind, gpu!.status, gpu!.name, gpu!.model, gpu!.context, gpu!.uuid, gpu!.device],
    ["remote", "ready", "far", "simulated", 32_768, `REMOTE-${upstream.url}`, `ALT_LAS at ${upstream.url}`],
  );
  assert.deepEqual([gpu!.utilization, gpu!.memory_used, gpu!.memory_total, gpu!.power], [null, null, null, null]);
  const body = { text: "Once upon a time", max_length: 40 };
  const [there, here] = await Promise.all([upstream.run(body), server.run(body)]);
  assert.deepEqual([here.status, here.result!.text], ["completed", there.result!.text]);
  assert.deepEqual(here.result!.usage, there.result!.usage);
  assert.equal(here.result!.finish_reason, "length");
});

test("a task that is canceled here is canceled there, and frees its slot", async (t) => {
  const { upstream, server } = await pair(t);
  const { task_id } = await server.predict({ text: "endless", max_length: 30_000 });
  const running = await server.request<{ status: string }>("GET", `/api/v1/task/${task_id}`);
  assert.equal(running.body.status, "running");
  await firstToken(server, task_id);
  await server.request("POST", `/api/v1/task/${task_id}/cancel`);
  const task = await server.ended(task_id);
  assert.equal(task.status, "canceled");
  await upstream.logged(({ msg }) => msg === "task canceled");
  const { tasks } = await upstream.tasks("?limit=1");
  const [there] = Object.values(tasks);
  assert.equal(there!.status, "canceled");
  assert(there!.result!.text.startsWith(task.result!.text));
});

test("no task is lost when the server behind a GPU is killed in the middle of them, and comes back", async (t) => {
  const { upstream, server } = await pair(t, [], simulated(2));
  const items = Array.from({ length: 6 }, (_, index) => ({ text: `task ${index}`, max_length: 150 }));
  const { tasks } = await server.batch({ batch: items });
  await Promise.all(tasks.map(({ task_id }) => firstToken(server, task_id)));
  const { port } = new URL(upstream.url);
  await upstream.kill9();
  await server.became(0, "faulted");
  const [gpu] = await server.gpus();
  assert.match(gpu!.reason!, /the connection was refused\.$|closed the connection\.$/);
  await upstream.restart({ args: ["--port", port], config: simulated(1000) });
  await server.became(0, "ready", 2);
  for (const { task_id } of tasks) {
    const task = await server.ended(task_id);
    assert.deepEqual([task.status, task.result!.usage.completion_tokens], ["completed", 150]);
    assert.equal(task.result!.text.trim().split(" ").length, 150);
    assert.equal(task.attempts[0]!.reason, "gpu_lost");
  }
});

test("another ALT_LAS on which nothing serves is full, and a task that waits there is tried again without being counted", async (t) => {
  const upstream = await Server.start(t, {
    config: `{ gpu: { devices: 'simulated:1', multi_gpu: { max_concurrent_tasks_per_gpu: 1 } }, engine: { simulated: { tokens_per_second: 20 } } }`,
    env: { ALT_LAS_API_KEY: KEY },
  });
  await upstream.loaded();
  const server = await Server.start(t, {
    config: `{ gpu: { devices: [{ name: far, engine: { kind: openai, url: '${upstream.url}', api_key: '\${UPSTREAM_KEY}' } }] }, engine: { first_byte_timeout: 5 } }`,
    env: { UPSTREAM_KEY: KEY },
  });
  await server.loaded();
  const { task_id: other } = await upstream.predict({ text: "another client's", max_length: 200 });
  const { task_id } = await server.predict({ text: "waits", max_length: 3 });
  await server.logged(({ msg }) =>
    /has no room now: HTTP 503: the task still waits there after 5 s\./.test(String(msg)),
  );
  assert.equal((await upstream.ended(other)).status, "completed");
  const { status, attempts } = await server.ended(task_id);
  assert.equal(status, "completed");
  assert.deepEqual([...new Set(attempts.slice(0, -1).map(({ reason }) => reason))], ["gpu_full"]);
  await upstream.request("POST", "/api/v1/gpus/0/drain", {});
  await upstream.became(0, "drained");
  await isCrowded(server, "its server is full");
  await upstream.request("POST", "/api/v1/gpus/0/resume", {});
  await isCrowded(server, null);
});

test("what cannot be used is unfit and says why, without a key in any line, and the rest serves", async (t) => {
  const { server, upstream } = await pair(t, [
    "{ engine: { kind: openai, url: 'http://127.0.0.1:9', api_key: sk-secret } }",
    "{ engine: { kind: openai, url: 'ftp://me:sk-secret@far' } }",
    "{ engine: { kind: openai, url: '${UPSTREAM_URL}', api_key: sk-secret } }",
    "'simulated:1'",
  ]);
  const gpus = await server.gpus();
  assert.deepEqual(
    gpus.map(({ status }) => status),
    ["ready", "faulted", "unfit", "unfit", "ready"],
  );
  assert.deepEqual(
    gpus.slice(1, 4).map(({ reason }) => reason),
    [
      "The server at http://127.0.0.1:9 cannot be used now: the connection was refused.",
      'Its address "ftp://far" does not begin with http:// or https://.',
      `The server at ${upstream.url} refuses the key of engine.api_key: HTTP 401: The API key is unknown or was revoked.`,
    ],
  );
  for (const specific_gpu_id of [0, 4]) {
    const { status } = await server.run({ text: "x", max_length: 3, gpu_options: { specific_gpu_id } });
    assert.equal(status, "completed");
  }
  const told = [
    server.stderr,
    server.stdout,
    JSON.stringify(gpus),
    JSON.stringify(await server.request("GET", "/api/v1/gpus/3")),
  ];
  for (const text of told) assert.doesNotMatch(text, new RegExp(`sk-secret|${KEY}`));
});

/** Resolves when the first GPU says so. */
async function isCrowded(server: Server, why: string | null): Promise<void> {
  while ((await server.gpus())[0]!.crowded !== why) await sleep(50);
}

/** Resolves when some of a task's text is there. */
async function firstToken(server: Server, taskId: string): Promise<void> {
  const response = await fetch(`${server.url}/api/v1/task/${taskId}/events`, {
    headers: { authorization: `Bearer ${server.key}` },
  });
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes("event: token")) return;
  }
  assert.fail(`task ${taskId} has ended: ${text}`);
}
