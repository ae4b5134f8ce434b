/** A server whose models come from a hub: it answers while they are fetched, and says what it waits for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ModelView } from "../../src/http/schemas/models.ts";
import { gguf, sendHead, startHub, type StandInHub } from "../helpers/stand-in-hub.ts";
import { runCommand } from "../helpers/command.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { type Owner, type ServerHandle } from "../helpers/server-handle.ts";

const FILE = "a-Q4_K_M.gguf";
const SOURCE = `hf:owner/repo/${FILE}`;
const MODELS = `models: [{ name: chat, source: "${SOURCE}" }]`;

/** A hub that this process's servers ask. Their devices are simulated, so any file will do. */
async function startOwnHub(owner: Owner): Promise<StandInHub> {
  const hub = await startHub(owner, { [FILE]: gguf("a", 50_000) });
  Object.assign(process.env, hub.environment);
  return hub;
}

/** Has the storage send a half, and the rest when it is let go. */
function holdBack(hub: StandInHub): { readonly begun: Promise<void>; go(): void } {
  const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  hub.faults.push((response, file, from) => {
    sendHead(response, file, from);
    response.write(file.subarray(from, 25_000), () => begun.resolve());
    void go.promise.then(() => response.end(file.subarray(25_000)));
  });
  return { begun: begun.promise, go: () => go.resolve() };
}

async function readiness(server: ServerHandle): Promise<[number, string | null]> {
  const { status, body } = await server.request<{ reason: string | null }>("GET", "/readyz");
  return [status, body.reason];
}

test("a server answers while its model is fetched, and is ready when that is loaded", async (t) => {
  const hub = await startOwnHub(t);
  const fetch = holdBack(hub);
  const server = await startLocalServer(t, { config: MODELS, devices: "simulated:2" });
  await fetch.begun;
  await server.logged(({ msg, bytes }) => msg.startsWith("fetch") && bytes === 25_000);
  const [status, reason] = await readiness(server);
  assert.equal(status, 503);
  assert.match(reason!, /^The model is still being fetched \(50 %, .*\/s\)\.$/);
  const { task_id: id } = await server.predict({ text: "hello", max_length: 3, model: "chat" });
  fetch.go();
  const task = await server.ended(id);
  assert.deepEqual([task.status, task.model], ["completed", "chat"]);
  assert.equal((await readiness(server))[0], 200);
});

test("a server whose models are all loaded on demand is ready at once, and stays so while one is loaded", async (t) => {
  const models = "models: [{ name: a, load: demand, engine: { kind: simulated, load_seconds: 0.8 } }]";
  const server = await startLocalServer(t, { config: models, devices: "simulated:1" });
  assert.equal((await readiness(server))[0], 200);
  const { task_id: id } = await server.predict({ text: "hello", max_length: 3 });
  assert.equal((await readiness(server))[0], 200);
  await server.logged(({ msg, model }) => model === "a" && msg.startsWith("loading the model: "));
  const { body } = await server.request<{ models: ModelView[] }>("GET", "/api/v1/models");
  const [{ state, reason } = {}] = body.models[0]!.instances;
  assert.equal(state, "loading");
  assert.match(reason!, /^The model is being loaded \(\d+ %\)\.$/);
  assert.equal((await server.ended(id)).status, "completed");
});

test("a model that cannot be fetched makes no server ready, until it can be", async (t) => {
  const hub = await startOwnHub(t);
  hub.hubFaults.push((response) => void response.writeHead(403).end());
  const server = await startLocalServer(t, { config: MODELS, devices: "simulated:1" });
  await server.logged(({ msg }) => msg.includes("could not be fetched"));
  assert.deepEqual(await readiness(server), [503, "No GPU can run tasks; GET /api/v1/gpus says why."]);
  assert.match((await server.gpus())[0]!.reason!, /It is tried again 5 s later\.$/);
});

test("a pulled model is served beside a device's own by its name alone, and goes when it is removed", async (t) => {
  await startOwnHub(t);
  const server = await startLocalServer(t, { devices: "simulated:2" });
  await server.loaded();
  await runCommand(["pull", SOURCE, "--name", "mine", "--data-dir", server.dataDir]);
  const named = { text: "hello", max_length: 3, model: "mine" };
  await server.logged(({ models }) => Array.isArray(models) && models.includes("mine"));
  const { status, model } = await server.run(named);
  assert.deepEqual([status, model], ["completed", "mine"]);
  const without = { text: "hello", max_length: 3 };
  const tasks = await Promise.all(Array.from({ length: 20 }, () => server.run(without)));
  assert.deepEqual([...new Set(tasks.map((task) => task.model))], ["simulated"]);
});
