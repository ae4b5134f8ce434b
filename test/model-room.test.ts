/** Models by name on GPUs and CPU devices: what each may take of the memory and of the cores, and which are loaded at the start, in which order. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { type Estimate } from "../src/engine/estimate.ts";
import { type ServedModel } from "../src/gpu/served.ts";
import { card } from "./helpers/gpu-identities.ts";
import { ScriptedPool } from "./helpers/scripted-pool.ts";

const GIB = 2 ** 30;
/** Each has 24 GiB, of which models may take 0.9. */
const GPUS = [card("GPU-a", "0000:01:00.0", { index: 0 }), card("GPU-b", "0000:02:00.0", { index: 1 })];
const [A, B] = ["GPU-a", "GPU-b"] as const;

/** GiB that models need, by their names: with all that they want, and at least. */
type Needs = Readonly<Record<string, readonly [wanted: number, least: number]>>;

/** @param models YAML, each without its source */
function poolOf(t: TestContext, models: readonly string[], needs: Needs, devices = "[0, 1]"): Promise<ScriptedPool> {
  const list = models.map((model) => `  - { source: /models/a.gguf, ${model} }`).join("\n");
  const config = `gpu: { devices: ${devices} }\nmodels:\n${list}`;
  const served = parseConfig(config, "c.yaml").models.map((settings): ServedModel => {
    const path = `/models/${settings.name}.gguf`;
    return { settings, file: { state: "there", path, bytes: 1 } };
  });
  const estimate = async ({ model }: { readonly model: string }): Promise<Estimate> => {
    const [wanted, least] = needs[/(\w+)\.gguf$/.exec(model)![1]!]!;
    return { wanted: wanted * GIB, least: least * GIB };
  };
  return ScriptedPool.of(t, { config, gpus: GPUS, models: served, estimate, cores: 17 });
}

/** Loads that have begun, like `0 chat`. */
function begun({ loads }: ScriptedPool): string[] {
  return loads.map(({ gpuId, engine }) => `${gpuId} ${/(\w+)\.gguf$/.exec(engine.model)![1]}`);
}

function budgetOf({ loads }: ScriptedPool, place: number): number {
  return Math.round((loads[place]!.engine.memoryBudget! / GIB) * 10) / 10;
}

async function started(scripted: ScriptedPool): Promise<void> {
  await scripted.pool.planStart();
  scripted.pool.start();
  scripted.look();
}

test("models are loaded at the start on all GPUs at once, and one after the other on each", async (t) => {
  const scripted = await poolOf(t, ["name: chat", "name: small"], { chat: [4, 4], small: [2, 2] });
  await started(scripted);
  await scripted.until(() => scripted.loads.length === 2);
  assert.deepEqual(begun(scripted), ["0 chat", "1 chat"]);
  scripted.loads[1]!.done();
  await scripted.until(() => {
    // The card has been used: what is free there counts only when it was measured after that.
    scripted.look();
    return scripted.loads.length === 3;
  });
  assert.deepEqual(begun(scripted).slice(2), ["1 small"]);
  assert.equal(scripted.loads[0]!.state, "loading");
});

test("at the start models go where they fit beside those before them; others wait until they are wanted", async (t) => {
  const needs: Needs = { large: [20, 20], small: [5, 5], late: [1, 1] };
  const scripted = await poolOf(t, ["name: large, gpus: [0]", "name: small", "name: late, load: demand"], needs);
  await started(scripted);
  await scripted.until(() => scripted.loads.length === 2);
  assert.deepEqual(begun(scripted), ["0 large", "1 small"]);
});

test("a model that fits nowhere beside those before it refuses the start, with both numbers", async (t) => {
  const needs: Needs = { large: [20, 20], other: [5, 4], huge: [30, 22] };
  const models = ["name: large, gpus: [0]", "name: other, gpus: [0]", "name: huge"];
  const scripted = await poolOf(t, models, needs);
  await assert.rejects(scripted.pool.planStart(), {
    code: "bad_config",
    message: [
      "The model other needs 5.0 GiB, and no GPU has more than 1.5 GiB left for it.",
      "The model huge needs 22.0 GiB, and no GPU has more than 21.5 GiB left for it.",
    ].join("\n"),
  });
});

test("a model that wants more than a GPU has is loaded with less context, if it can be", async (t) => {
  const scripted = await poolOf(t, ["name: large, gpus: [0]"], { large: [40, 10] });
  await started(scripted);
  await scripted.until(() => scripted.loads.length === 1);
  assert.deepEqual(begun(scripted), ["0 large"]);
  assert.equal(budgetOf(scripted, 0), 21.6);
});

test("a model that wants more than a GPU has is loaded when it is asked for, too", async (t) => {
  const scripted = await poolOf(t, ["name: large, gpus: [0], load: demand"], { large: [40, 10] });
  await started(scripted);
  await scripted.until(() => scripted.world.scheduler.instances.some(({ facts }) => facts.residency.memory !== null));
  scripted.world.submit({ model: "large" });
  assert.deepEqual(scripted.world.modelsLoaded.length, 1);
});

test("entries on one card share its memory at the start", async (t) => {
  const needs: Needs = { large: [15, 15], small: [4, 4] };
  const scripted = await poolOf(t, ["name: large", "name: small"], needs, "[{ gpu: 0 }, { gpu: 0 }]");
  await started(scripted);
  await scripted.until(() => scripted.loads.length === 1);
  scripted.loads[0]!.done();
  await scripted.until(() => {
    scripted.look();
    return scripted.loads.length === 2;
  });
  assert.deepEqual(begun(scripted), ["0 large", "0 small"]);
});

test("what is known to be enough for a model is all that is left to it when another one loads before", async (t) => {
  const scripted = await poolOf(t, ["name: large, gpus: [0]", "name: small, gpus: [0]"], {
    large: [16, 9],
    small: [3, 3],
  });
  await started(scripted);
  await scripted.until(() => scripted.loads.length === 1);
  assert.equal(budgetOf(scripted, 0), 18.6, "as much as it wants, and more than half");
  scripted.loads[0]!.done();
  await scripted.until(() => {
    scripted.look({ [A]: 8 * GIB, [B]: 24 * GIB });
    return scripted.loads.length === 2;
  });
  assert.equal(budgetOf(scripted, 1), 7.2);
});

test("models on a CPU device share its cores, and one that is alone there has them all", async (t) => {
  const needs: Needs = { chat: [0.1, 0.1], small: [0.1, 0.1], rare: [0.1, 0.1] };
  const models = ["name: chat, gpus: [0]", "name: small, gpus: [0]", "name: rare, load: demand, gpus: [1]"];
  const scripted = await poolOf(t, models, needs, "cpu:2");
  await started(scripted);
  await scripted.until(() => scripted.loads.length === 1);
  scripted.loads[0]!.done();
  await scripted.until(() => scripted.loads.length === 2);
  scripted.world.submit({ model: "rare" });
  for (const instance of scripted.world.modelsLoaded) scripted.pool.load(instance);
  await scripted.until(() => scripted.loads.length === 3);
  // Of 17 cores one is left for the server, and each of two devices has half of the others.
  assert.deepEqual(
    scripted.loads.map(({ engine }) => engine.tuning.cores),
    [4, 4, 8],
  );
});
