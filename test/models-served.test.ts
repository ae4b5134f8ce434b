/** Several models behind one server: where their tasks go, and what is refused before the queue. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startLocalServer } from "./helpers/local-server.ts";
import { type ServerHandle } from "./helpers/server-handle.ts";

const SIMULATED = `
    tokens_per_second: 0
    models:
      - { gpu_id: 0, name: Base, capabilities: [completion] }
      - { gpu_id: 1, name: Chatty, capabilities: [completion, chat] }
      - { gpu_id: 2, name: Vectors, capabilities: [embedding] }`;
const CONFIG = `engine:\n  simulated:${SIMULATED}`;
const CHAT = { messages: [{ role: "user", content: "hello" }], max_length: 3 };

async function refused(server: ServerHandle, path: string, body: unknown): Promise<[number, string]> {
  const answer = await server.request("POST", `/api/v1${path}`, { body });
  return [answer.status, `${answer.body.code}: ${answer.body.error}`];
}

test("tasks go to the GPUs whose model they name, or whose model can do what they ask", async (t) => {
  const server = await startLocalServer(t, { config: CONFIG, devices: "simulated:3" });
  await server.loaded();
  const ran = async (body: object) => {
    const { gpu_id: gpu, model, status } = await server.run(body);
    return [status, gpu, model];
  };
  assert.deepEqual(await ran(CHAT), ["completed", 1, "Chatty"]);
  assert.deepEqual(await ran({ input: "hello" }), ["completed", 2, "Vectors"]);
  assert.deepEqual(await ran({ text: "hello", max_length: 3, model: "Base" }), ["completed", 0, "Base"]);
});

test("GPUs say what requests call their models, and what these can do", async (t) => {
  const server = await startLocalServer(t, { config: CONFIG, devices: "simulated:3" });
  await server.loaded();
  assert.deepEqual(
    (await server.gpus()).map(({ model, model_name, capabilities, chat_template }) => [
      model,
      model_name,
      capabilities,
      chat_template,
    ]),
    [
      ["simulated", "Base", ["completion"], false],
      ["simulated", "Chatty", ["completion", "chat"], true],
      ["simulated", "Vectors", ["embedding"], false],
    ],
  );
});

test("what no model can do, and names that none has, are refused before the queue", async (t) => {
  const server = await startLocalServer(t, { config: CONFIG, devices: "simulated:3" });
  await server.loaded();
  assert.deepEqual(await refused(server, "/predict", { text: "hello", model: "gpt-4o" }), [
    400,
    'model_not_found: model must be the name of a model (Base, Chatty, Vectors); got "gpt-4o".',
  ]);
  assert.deepEqual(await refused(server, "/predict", { ...CHAT, model: "Base" }), [
    400,
    "unsupported: messages cannot be answered by the model Base; Chatty can.",
  ]);
  const batch = [{ text: "fine" }, { input: ["a"], model: "Chatty" }];
  assert.deepEqual(await refused(server, "/batch_predict", { batch }), [
    400,
    "unsupported: batch[1].input cannot be made into vectors by the model Chatty; Vectors can.",
  ]);
  assert.deepEqual((await server.tasks()).tasks, {}, "nothing of them is stored");
});

test("a task of an earlier life ends when no model can do it any more, and says so to everybody", async (t) => {
  const slow = `${CONFIG.replace("tokens_per_second: 0", "tokens_per_second: 1")}\nserver: { drain_timeout: 0 }`;
  const first = await startLocalServer(t, { config: slow, devices: "simulated:3" });
  await first.loaded();
  const { task_id } = await first.predict({ ...CHAT, max_length: 1000 });
  await first.stop();
  const second = await first.restart({ config: CONFIG.replace("completion, chat", "completion") });
  const task = await second.ended(task_id);
  assert.deepEqual([task.status, task.error_code], ["failed", "unsupported"]);
  assert.equal(
    task.error,
    "No GPU is left for this task: messages cannot be answered by any model here; a model with a chat template could.",
  );
});
