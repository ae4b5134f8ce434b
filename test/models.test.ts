/** The names of models, and the list of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type EngineInfo } from "../src/engine/engine.ts";
import { ModelNames, modelsOf } from "../src/gpu/models.ts";
import { SIMULATED } from "./helpers/engines.ts";
import { SimulatedEngine } from "../src/engine/simulated/simulated.ts";

const file = (model: string) => ({ kind: "llama", model }) as const;
const server = (model: string) => ({ kind: "openai", model }) as const;

test("models that are called alike get names of their own, which they keep", () => {
  const names = new ModelNames();
  const asked = () => [
    names.of(file("/q4.gguf"), "Qwen"),
    names.of(file("/q8.gguf"), "Qwen"),
    names.of(server(""), "Qwen"),
    names.of(file("/other.gguf"), "Other"),
    names.of(file("/q4.gguf"), "Qwen"),
  ];
  assert.deepEqual(asked(), ["Qwen", "Qwen-2", "Qwen-3", "Other", "Qwen"]);
  assert.deepEqual(asked(), ["Qwen", "Qwen-2", "Qwen-3", "Other", "Qwen"]);
});

test("a name that ends like a second one of another model is nobody's but its own", () => {
  const names = new ModelNames();
  assert.equal(names.of(file("/a.gguf"), "Qwen-2"), "Qwen-2");
  assert.equal(names.of(file("/b.gguf"), "Qwen"), "Qwen");
  assert.equal(names.of(file("/c.gguf"), "Qwen"), "Qwen-3");
});

test("servers that call their model alike are one model, however it was asked for there", () => {
  const names = new ModelNames();
  assert.equal(names.of(server("Qwen"), "Qwen"), "Qwen");
  assert.equal(names.of(server(""), "Qwen"), "Qwen");
});

test("a file that is replaced by another model has another name", () => {
  const names = new ModelNames();
  names.of(file("/a.gguf"), "Qwen");
  assert.equal(names.of(file("/a.gguf"), "Llama"), "Llama");
});

test("a request may name a model by its file where only one has that, which a name of a model goes before", () => {
  const names = new ModelNames();
  names.of(file("/models/smol-135m.Q8_0.gguf"), "Smol 135M Mix Ep2");
  names.of(file("/models/other.gguf"), "smol-135m.Q8_0.gguf");
  names.of(file("/a/twice.gguf"), "A");
  names.of(file("/b/twice.gguf"), "B");
  names.of(server("upstream.gguf"), "Upstream");
  const meant = (asked: string) => names.meantBy(asked);
  assert.equal(meant("smol-135m.Q8_0"), "Smol 135M Mix Ep2");
  assert.equal(meant("smol-135m.Q8_0.gguf"), "smol-135m.Q8_0.gguf");
  assert.equal(meant("other.gguf"), "smol-135m.Q8_0.gguf");
  for (const unknown of ["twice", "twice.gguf", "Other", "/models/other.gguf", "models/other.gguf", "upstream", ""])
    assert.equal(meant(unknown), unknown);
});

test("models that were loaded are listed with what they can do on all their GPUs together", async () => {
  const simulated = await new SimulatedEngine(SIMULATED, 0).load();
  const names = new ModelNames();
  const instance = (path: string, called: string, changes: Partial<EngineInfo> = {}) => ({
    modelName: names.of(file(path), called),
    info: { ...simulated, ...changes },
    stay: { served: null },
  });
  const toLoad = { modelName: null, info: null, stay: { served: null } };
  const gpus = [
    { instances: [toLoad] },
    { instances: [instance("/a", "Qwen", { context: 100, capabilities: ["completion"] })] },
    { instances: [instance("/b", "Embedder", { context: null, capabilities: ["embedding"] })] },
    { instances: [instance("/a", "Qwen", { context: 200, capabilities: ["completion", "chat"] })] },
  ];
  const about = (name: string) => {
    const { since, file: path } = names.about(name);
    return { since, file: path };
  };
  const own = { aliases: [], served: null };
  assert.deepEqual(modelsOf(gpus, [], names), [
    { name: "Qwen", ...own, context: 200, capabilities: ["completion", "chat"], ...about("Qwen") },
    { name: "Embedder", ...own, context: null, capabilities: ["embedding"], ...about("Embedder") },
  ]);
});
