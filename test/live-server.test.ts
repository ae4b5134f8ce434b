/** Changes to the configuration of a whole server while it runs: what its parts make of them, and that no task is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { API, AS, testServer } from "./helpers/http.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";

const SLOW = `
gpu: { devices: "simulated:2", multi_gpu: { max_concurrent_tasks_per_gpu: 4 } }
engine: { kind: simulated, simulated: { tokens_per_second: 0 } }`;

interface Answer {
  readonly config: { readonly gpu: { readonly multi_gpu: Readonly<Record<string, unknown>> } };
  readonly sources: { readonly gpu: { readonly multi_gpu: Readonly<Record<string, string>> } };
}

async function patched(server: LocalServer, body: object): Promise<Answer> {
  const answer = await server.request<Answer>("PATCH", "/api/v1/config", { body });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
}

async function predicted(server: LocalServer, gpu_options: object) {
  return server.request("POST", "/api/v1/predict", { body: { text: "x", max_length: 2, gpu_options } });
}

test("strategies that requests may name, and the one of those that name none, change at once", async (t) => {
  const server = await startLocalServer(t, { config: SLOW });
  const { config, sources } = await patched(server, {
    gpu: { multi_gpu: { default_strategy: "round_robin", strategies: ["round_robin", "random"] } },
  });
  assert.equal(config.gpu.multi_gpu["default_strategy"], "round_robin");
  assert.equal(sources.gpu.multi_gpu["default_strategy"], "runtime");
  assert.equal((await server.run({ text: "x", max_length: 2 })).placement?.strategy, "round_robin");
  const refused = await predicted(server, { strategy: "least_loaded" });
  assert.deepEqual([refused.status, refused.body.code], [400, "invalid_input"]);
  assert.match(refused.body.error, /gpu_options\.strategy must be one of "round_robin", "random"/);
  assert.equal((await predicted(server, { strategy: "random" })).status, 200);
  await patched(server, { gpu: null });
  assert.equal((await predicted(server, { strategy: "least_loaded" })).status, 200);
});

test("the original system's forms answer with what holds now", async (t) => {
  const server = await startLocalServer(t, { config: SLOW });
  const change = (path: string, body: object) =>
    server.request<unknown>("POST", `/api/v1/config/gpu/${path}`, { body });
  const strategy = await change("strategy", { strategy: "random" });
  assert.deepEqual([strategy.status, strategy.body], [200, { strategy: "random" }]);
  const slots = await change("max_concurrent_tasks", { max_concurrent_tasks: 2 });
  assert.deepEqual([slots.status, slots.body], [200, { max_concurrent_tasks: 2 }]);
  assert.deepEqual(
    (await server.gpus()).map((gpu) => gpu.slots),
    [2, 2],
  );
  for (const [path, body] of [
    ["strategy", { strategy: "fastest" }],
    ["strategy", {}],
    ["max_concurrent_tasks", { max_concurrent_tasks: 0 }],
    ["max_concurrent_tasks", { max_concurrent_tasks: 1.5 }],
  ] as const)
    assert.equal((await change(path, body)).status, 400, JSON.stringify(body));
});

test("who is no admin may neither see nor change the configuration", async (t) => {
  const { app } = testServer(t);
  for (const headers of [AS.user, AS.viewer]) {
    assert.equal((await app.inject({ url: `${API}/config`, headers })).statusCode, 403);
    const body = { log: { level: "debug" } };
    assert.equal((await app.inject({ method: "PATCH", url: `${API}/config`, headers, body })).statusCode, 403);
  }
});

test("a merge patch may be declared by its own type, and what is wrong with it has its field", async (t) => {
  const { app } = testServer(t);
  const headers = { ...AS.admin, "content-type": "application/merge-patch+json" };
  const send = (body: string) => app.inject({ method: "PATCH", url: `${API}/config`, headers, body });
  assert.equal((await send('{"log": {"level": "warn"}}')).statusCode, 200);
  for (const body of ["[]", "3", "null", '"x"']) assert.equal((await send(body)).statusCode, 400, body);
  const wrong = await send('{"log": {"level": "loud"}}');
  assert.deepEqual([wrong.statusCode, wrong.json<{ code: string }>().code], [400, "invalid_input"]);
  assert.match(wrong.json<{ error: string }>().error, /^log\.level must be one of "trace"/);
  const locked = await send('{"server": {"host": "0.0.0.0"}}');
  assert.deepEqual([locked.statusCode, locked.json<{ code: string }>().code], [409, "conflict"]);
});
