/** Another version of a model on a GPU that has the one before: which worker is started and ended when, and who is told of it. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { parseConfig } from "../src/config/config.ts";
import { type ModelFile, type ServedModel } from "../src/gpu/served.ts";
import { ScriptedPool } from "./helpers/scripted-pool.ts";

const GIB = 2 ** 30;
const TIMING = { restartPause: 0, retryPauses: [0], healthyAfter: 300_000 };

/** A version of the model `a`, by the number of GiB that it needs. */
function version(gib: number, state: ModelFile["state"] = "there", rest = ""): ServedModel {
  const path = `/models/${gib}.gguf`;
  const [settings] = parseConfig(`models: [{ name: a, source: ${path}${rest} }]`, "c.yaml").models;
  return { settings: settings!, file: state === "there" ? { state, path, bytes: 1 } : { state, why: "It comes." } };
}

class Versions {
  readonly scripted: ScriptedPool;

  private constructor(scripted: ScriptedPool) {
    this.scripted = scripted;
  }

  /** A pool whose GPU has loaded a first version. */
  static async loaded(t: TestContext, first: ServedModel): Promise<Versions> {
    const estimate = async ({ model }: { readonly model: string }) => {
      const bytes = Number(/(\d+)\.gguf$/.exec(model)?.[1]) * GIB;
      return { wanted: bytes, least: bytes };
    };
    const config = `gpu: { devices: { gpu: simulated:1, memory_bytes: ${20 * GIB} } }\nmodels: [{ name: a, source: /models/a.gguf }]`;
    const parts = { config, models: [first], estimate, timing: TIMING };
    const versions = new Versions(await ScriptedPool.of(t, parts));
    const { pool } = versions.scripted;
    await pool.planStart();
    pool.start();
    await versions.begins(1);
    versions.scripted.loads[0]!.done();
    await versions.are("ready");
    return versions;
  }

  serve(model: ServedModel): void {
    this.scripted.pool.serve([model], false);
  }

  /** Waits for so many loads in all, while what the scheduler wants is done. */
  async begins(loads: number): Promise<void> {
    await this.#until(() => this.scripted.loads.length >= loads);
  }

  /** Waits until the scheduler sees these. */
  async are(...states: string[]): Promise<void> {
    await this.#until(() => this.seen.join() === states.join());
  }

  /** What the scheduler sees. */
  get seen(): string[] {
    return this.scripted.world.scheduler.instances.map(({ facts }) => facts.state);
  }

  /** What clients see. */
  get shown(): string[] {
    return this.scripted.pool.instances().map(({ source, state }) => `${source} ${state}`);
  }

  /** Files that workers have begun to load, and what has become of them. */
  get loads(): string[] {
    return this.scripted.loads.map(({ engine, state }) => `${engine.model} ${state}`);
  }

  async #until(holds: () => boolean): Promise<void> {
    const { world, pool } = this.scripted;
    await this.scripted.until(() => {
      for (const ref of world.modelsUnloaded.splice(0)) pool.unload(ref, "The scheduler wants it.");
      for (const ref of world.modelsLoaded.splice(0)) pool.load(ref);
      setImmediate(() => this.scripted.again());
      return holds();
    });
  }
}

test("the version before serves until the file of the next one has come, and until that is loaded", async (t) => {
  const versions = await Versions.loaded(t, version(4));
  versions.serve(version(5, "fetching"));
  assert.deepEqual([versions.seen, versions.loads.length], [["ready"], 1]);
  assert.deepEqual(versions.shown, ["/models/4.gguf ready", " loading"]);
  versions.serve(version(5));
  await versions.begins(2);
  await versions.are("ready", "starting");
  versions.scripted.loads[1]!.done();
  await versions.are("ready");
  assert.deepEqual(versions.loads, ["/models/4.gguf ended", "/models/5.gguf loaded"]);
  assert.deepEqual(versions.shown, ["/models/5.gguf ready"]);
});

test("a version that is no model is shown as failed, with the reason; placement does not hear of it again", async (t) => {
  const versions = await Versions.loaded(t, version(4));
  versions.serve(version(5));
  await versions.begins(2);
  versions.scripted.loads[1]!.refuse("model_error");
  await versions.are("ready");
  assert.deepEqual(versions.shown, ["/models/4.gguf ready", "/models/5.gguf failed"]);
  assert.equal(versions.scripted.pool.instances()[1]!.reason, "It says model_error.");
  versions.scripted.pool.tryAgain();
  await versions.begins(3);
});

test("a version that finds too little memory gets that of the one before, which comes back if it was not enough", async (t) => {
  const versions = await Versions.loaded(t, version(4));
  versions.serve(version(15));
  await versions.begins(2);
  versions.scripted.loads[1]!.refuse("out_of_memory");
  await versions.begins(3);
  assert.deepEqual(versions.loads.slice(0, 1), ["/models/4.gguf ended"], "it needs more than was reckoned");
  versions.scripted.loads[2]!.refuse("out_of_memory");
  await versions.begins(4);
  versions.scripted.loads[3]!.done();
  await versions.are("ready");
  assert.deepEqual(versions.shown, ["/models/4.gguf ready", "/models/15.gguf failed"]);
});

test("of versions that follow each other before any is loaded the last one counts; back to the first, nothing is loaded", async (t) => {
  const versions = await Versions.loaded(t, version(4));
  versions.serve(version(5));
  await versions.begins(2);
  versions.serve(version(6));
  await versions.begins(3);
  assert.deepEqual(versions.loads, ["/models/4.gguf loaded", "/models/5.gguf ended", "/models/6.gguf loading"]);
  versions.serve(version(4));
  await versions.are("ready");
  assert.deepEqual(versions.loads.slice(0, 1), ["/models/4.gguf loaded"]);
  assert.deepEqual(versions.shown, ["/models/4.gguf ready"]);
});

test("on a GPU that an operator has drained the next version takes the place at once, and is loaded when it is resumed", async (t) => {
  const versions = await Versions.loaded(t, version(4));
  const { pool } = versions.scripted;
  pool.drain(0, { deadlineSeconds: null, by: "ada" });
  await versions.are("drained");
  versions.serve(version(5));
  await versions.are("drained");
  pool.resume(0, "ada");
  await versions.begins(2);
  assert.deepEqual(versions.loads, ["/models/4.gguf ended", "/models/5.gguf loading"]);
});

test("on GPUs that it may not be on any more a model goes, and where it may be now it is loaded", async (t) => {
  const versions = await Versions.loaded(t, version(4));
  versions.serve(version(4, "there", ", gpus: [1]"));
  await versions.are();
  versions.serve(version(4, "there", ", gpus: [0]"));
  await versions.begins(2);
  assert.deepEqual(versions.loads, ["/models/4.gguf ended", "/models/4.gguf loading"]);
});
