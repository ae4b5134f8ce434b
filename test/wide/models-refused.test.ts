/** What is wrong with models by name is told in a sentence: at the start, or to whoever asks for one. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { runCommand } from "../helpers/command.ts";
import { startLocalServer } from "../helpers/local-server.ts";
import { type ServerHandle } from "../helpers/server-handle.ts";

/** A kind without files. */
const SIMULATED = "engine: { kind: simulated, simulated: { tokens_per_second: 0 } }";
const GIB = 2 ** 30;

/** Why a server does not start. */
async function refusal(t: TestContext, models: readonly string[], devices = "[simulated:2]"): Promise<string[]> {
  const list = models.map((model) => `  - { ${model} }`).join("\n");
  const config = `${SIMULATED}\ngpu: { devices: ${devices} }\nmodels:\n${list}`;
  const outcome = await startLocalServer(t, { config }).catch((error: unknown) => error);
  assert.ok(outcome instanceof Error, "the start is refused");
  assert.equal((outcome as Error & { code?: string }).code, "bad_config");
  return outcome.message.split("\n");
}

async function answerTo(server: ServerHandle, model: string): Promise<[number, string]> {
  const { status, body } = await server.request("POST", "/api/v1/predict", { body: { text: "hello", model } });
  return [status, `${body.code}: ${body.error}`];
}

test("a name in two entries is refused with its line, an alias and a task type as well", async (t) => {
  assert.deepEqual(await refusal(t, ["name: a", "name: b, aliases: [a]"]), [
    'config.yaml:5: models[1] has "a" among its names, as models[0] has.',
  ]);
  assert.deepEqual(await refusal(t, ["name: a, task_types: [chat]", "name: b, task_types: [chat]"]), [
    'config.yaml:5: models[1] has "chat" among its task_types, as models[0] has.',
  ]);
});

test("GPUs that are not there, or cannot hold a model, refuse the start with all their models", async (t) => {
  const models = [
    "name: a, gpus: [0, 7]",
    "name: b, gpus: [1], engine: { kind: openai }, source: x",
    "name: c, engine: { kind: openai }, source: x",
  ];
  assert.deepEqual(await refusal(t, models), [
    "models[0] (a).gpus names GPU 7, which is not there; there are 0, 1.",
    "models[1] (b).gpus names GPU 1 (Simulated device 1), which cannot hold a model of engine.kind openai.",
    "models[2] (c) can be on no GPU: none can hold a model of engine.kind openai.",
  ]);
});

test("a model that fits nowhere refuses the start with both numbers, and the exit code is 1", async (t) => {
  const devices = `[{ gpu: simulated:1, memory_bytes: ${GIB} }, { gpu: simulated:1, memory_bytes: ${2 * GIB} }]`;
  const large = `name: large, engine: { memory_bytes: ${3 * GIB} }`;
  const sentence = "The model large needs 3.0 GiB, and no GPU has more than 2.0 GiB left for it.";
  assert.deepEqual(await refusal(t, ["name: small", large], devices), [sentence]);
  const cwd = mkdtempSync(join(tmpdir(), "alt-las-refused-"));
  t.after(() => rmSync(cwd, { recursive: true }));
  writeFileSync(join(cwd, "config.yaml"), `${SIMULATED}\ngpu: { devices: ${devices} }\nmodels: [{ ${large} }]`);
  const { code, stdout, stderr } = await runCommand(["serve", "--port", "0", "--data-dir", "d"], { cwd });
  assert.deepEqual([code, stdout, stderr.split("\n").at(-2)], [1, "", sentence]);
});

test("a model that is loaded when it is wanted, and fits nowhere, is refused with both numbers", async (t) => {
  const config = `
${SIMULATED}
gpu: { devices: [{ gpu: simulated:1, memory_bytes: ${GIB} }, { gpu: simulated:1, memory_bytes: ${2 * GIB} }] }
models: [{ name: small }, { name: large, load: demand, engine: { memory_bytes: ${3 * GIB} } }]`;
  const server = await startLocalServer(t, { config });
  assert.deepEqual(await answerTo(server, "large"), [
    400,
    "model_too_large: model large needs 3.0 GiB, and no GPU has more than 2.0 GiB for it.",
  ]);
  const pinned = await server.request("POST", "/api/v1/predict", {
    body: { text: "hello", model: "large", gpu_options: { specific_gpu_id: 0 } },
  });
  assert.equal(pinned.body.error, "model large needs 3.0 GiB, and GPU 0 has not more than 1.0 GiB for it.");
  assert.equal((await server.run({ text: "hello", model: "small", max_length: 1 })).status, "completed");
});

test("a source that is no GGUF file, or is not there, is told to whoever asks; other models are served", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-refused-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "folder.gguf"));
  writeFileSync(join(folder, "text.gguf"), "once upon a time");
  const entries = ["text", "folder", "gone"].map((name) => {
    const source = join(folder, `${name}.gguf`);
    return `{ name: ${name}, source: ${source}, engine: { kind: llama }, gpus: [0], load: demand }`;
  });
  const config = `
${SIMULATED}
gpu: { devices: [{ gpu: cpu:1, engine: { kind: llama } }, simulated:1] }
models: [${entries.join(", ")}, { name: good, gpus: [1] }]`;
  const server = await startLocalServer(t, { config });
  const sentences = { text: "is no GGUF file", folder: "is no GGUF file", gone: "does not exist" };
  for (const [name, sentence] of Object.entries(sentences)) {
    const why = `GPU 0: The model file ${join(folder, name)}.gguf ${sentence}.`;
    assert.deepEqual(await answerTo(server, name), [
      503,
      `no_usable_gpu: No GPU with the model ${name} can run tasks. ${why}`,
    ]);
  }
  assert.equal((await server.run({ text: "hello", model: "good", max_length: 1 })).gpu_id, 1);
});
