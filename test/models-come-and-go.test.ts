/** Models by name on simulated GPUs, with workers: when they are unloaded, what a failed load says, and when it is tried again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Mutex } from "../src/common/mutex.ts";
import { type LocalServer, startLocalServer } from "./helpers/local-server.ts";
import { Stay } from "../src/gpu/instance/stay.ts";
import { aDevice, simulatedEngine } from "./helpers/devices.ts";

const GIB = 2 ** 30;
const SHORT = { text: "short", max_length: 3 };

interface Setting {
  readonly gpu?: string;
  readonly failures?: string;
  readonly a?: string;
  readonly b?: string;
}

/** Two models of 6 GiB, for a GPU that has room for one. */
function configOf({ gpu = "", failures = "", a = "", b = "" }: Setting = {}): string {
  const model = (name: string, rest: string): string =>
    `  - { name: ${name}, load: demand, engine: { memory_bytes: ${6 * GIB}, load_seconds: 0 }${rest} }`;
  return `
gpu: { devices: [{ gpu: "simulated:1", slots: 2, memory_bytes: ${10 * GIB} }]${gpu} }
engine: { kind: simulated, simulated: { tokens_per_second: 0, failures: [${failures}] } }
tasks: { retry_backoff: 0 }
models:
${model("a", a)}
${model("b", b)}`;
}

async function ran(server: LocalServer, model: string): Promise<[string, string | undefined]> {
  const task = await server.run({ ...SHORT, model });
  return [task.status, task.model];
}

test("models that do not fit beside each other come and go for their tasks, and each worker ends with its model", async (t) => {
  const server = await startLocalServer(t, { config: configOf() });
  for (const model of ["a", "b", "a", "b"]) assert.deepEqual(await ran(server, model), ["completed", model]);
  assert.equal(server.workers.count, 4);
  assert.equal(server.workers.alive.length, 1);
});

test("a model that nothing uses for keep_alive seconds is unloaded, and comes back with the next task", async (t) => {
  const [long, short] = [configOf({ a: ", keep_alive: 600" }), configOf({ a: ", keep_alive: 0.001" })];
  const server = await startLocalServer(t, { config: long });
  assert.deepEqual(await ran(server, "a"), ["completed", "a"]);
  // Only now, so that it is not over before the task has come.
  server.reload(short);
  await server.logged(({ msg }) => msg === "model unloaded");
  await server.workers.gone();
  server.reload(long);
  assert.deepEqual(await ran(server, "a"), ["completed", "a"]);
  assert.equal(server.workers.count, 2);
});

test("tasks whose model cannot be loaded end with the reason, and the other model still serves", async (t) => {
  const server = await startLocalServer(t, { config: configOf({ failures: "{ kind: load_error }" }) });
  const task = await server.run({ ...SHORT, model: "a" });
  assert.deepEqual([task.status, task.error_code], ["failed", "model_error"]);
  assert.match(task.error!, /^The model a cannot be loaded\. GPU 0: .*is set to fail/);
  const { status, body } = await server.request("POST", "/api/v1/predict", { body: { ...SHORT, model: "a" } });
  assert.equal(status, 503, JSON.stringify(body));
});

test("a model whose worker dies is brought back, in the place that it had", async (t) => {
  const server = await startLocalServer(t, { config: configOf() });
  assert.deepEqual(await ran(server, "a"), ["completed", "a"]);
  server.workers.of().kill();
  await server.workers.started(2);
  assert.deepEqual(await ran(server, "a"), ["completed", "a"]);
  assert.equal(server.workers.count, 2);
});

test("what a model of unknown size takes is reckoned by its file, so that its load can say what is wrong with it", async () => {
  const settings = { name: "a", load: "demand" } as never;
  const stay = new Stay(
    {
      device: aDevice(),
      engine: simulatedEngine(),
      served: { settings, file: { state: "there", path: "/a.gguf", bytes: 100 } },
      estimate: async () => null,
      footprint: () => null,
      loading: new Mutex(),
    } as never,
    { changed: () => {}, idle: () => {}, outgrown: () => {} },
  );
  await stay.reckoned;
  assert.equal(stay.residency.memory, 100);
  stay.needsMore();
  assert.equal(stay.residency.memory, 125, "more is reckoned with after a load that found too little");
});
