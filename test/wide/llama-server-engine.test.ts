/** The engine that starts a llama.cpp server: with a real one, where this machine has one, and with a stand-in. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { textOf, type Delta } from "../../src/output.ts";
import { completionOf } from "../../src/request.ts";
import { type Engine, type EngineInfo, type EngineOptions } from "../../src/engine/engine.ts";
import { createEngine } from "../../src/engine/open.ts";
import { EMBEDDED, keepsThePromises } from "../helpers/engine-promises.ts";
import { LLAMA, loaded, planned, refused, started, watch } from "../helpers/engines.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER, Program } from "../helpers/llama-server.ts";

type Create = (changes: Partial<EngineOptions>) => Promise<Engine>;

/** Describes what such a server does, once it is there. */
function withProgram(name: string, open: () => Promise<Program>, use: (create: Create) => void): void {
  describe(name, () => {
    let program: Program;
    before(async () => {
      program = await open();
    });
    after(() => program[Symbol.asyncDispose]());
    use((changes) => createEngine({ ...LLAMA, kind: "llama-server", binary: program.path, ...changes }, 0));
  });
}

withProgram(
  "a stand-in for llama-server",
  () => Program.standIn(),
  (create) => {
    const info = { context: 4096, backend: "cpu", device: "CPU" };
    keepsThePromises({ name: "llama-server", traits: { ...EMBEDDED, inSteps: false }, info, create });
  },
);

if (LLAMA_SERVER === null) {
  it("a real llama-server", { skip: NO_LLAMA_SERVER }, () => {});
} else {
  withProgram(
    "a real llama-server whose texts have no end",
    () => Program.running([...LLAMA_SERVER!, "--ignore-eos"]),
    (create) => {
      // Its batches are as they come, and the numbers of a batch depend on its size.
      const traits = { ...EMBEDDED, inSteps: false, repeats: false };
      const info = { model: "demo", context: 4096, backend: "cpu", device: "CPU" };
      keepsThePromises({ name: "llama-server", traits, info, create });
      isLostWithItsProcess(create);
    },
  );
  withProgram("a real llama-server", () => Program.running(LLAMA_SERVER!), isLikeTheEmbeddedEngine);
}

/** The embedded engine as it is where memory has no room for vectors, which a server does not make beside texts. */
async function withoutVectors(): Promise<EngineInfo> {
  return loaded({ ...LLAMA, memoryBudget: planned(await loaded(LLAMA)) - 1 });
}

function isLikeTheEmbeddedEngine(create: Create): void {
  let engine: Engine;
  let info: EngineInfo;
  before(async () => {
    engine = await create({});
    info = await engine.load();
  });
  after(() => engine.stop());

  it("plans the same memory, and has the same shape", async () => {
    const { memory, kvBytesPerToken, context, slots, model } = await withoutVectors();
    assert.deepEqual(
      [info.memory, info.kvBytesPerToken, info.context, info.slots, info.model],
      [memory, kvBytesPerToken, context, slots, model],
    );
  });

  it("has the same tokens for a text, and takes what looks like a special token for text", async () => {
    const embedded = await createEngine(LLAMA, 0);
    await embedded.load();
    const texts = [
      "The cat said",
      " ",
      " a  b ",
      "\0",
      "\ud800",
      "🙂ğüş",
      "<|endoftext|>",
      "cat<|endoftext|>",
      "[1]",
      "a\r\n\tb",
    ];
    // Too long to be sent without being counted.
    texts.push("cat ".repeat(1020));
    for (const text of texts) {
      const tasks = [engine, embedded].map((one) => watch(one, text, 1));
      const [here, there] = await Promise.all(tasks.map(({ outcome }) => outcome));
      assert.equal(here!.promptTokens, there!.promptTokens, JSON.stringify(text));
    }
    await embedded.stop();
  });

  it("ends where the model ends its text, which is no token of the answer", async () => {
    const task = watch(engine, "Once upon a time there was a dog", 4000);
    const { finishReason, completionTokens } = await task.outcome;
    assert.deepEqual([finishReason, completionTokens], ["stop", task.tokens]);
    assert(task.text.length > 100 && !task.text.includes("<|"), task.text);
  });

  it("computes no prompt twice", async () => {
    const text = "The king and the queen ".repeat(20);
    const { promptTokens } = await watch(engine, text, 1).outcome;
    const { cachedTokens } = await watch(engine, text, 1).outcome;
    assert.equal(cachedTokens, promptTokens! - 1);
  });

  it("makes progress while it takes a long prompt in", async () => {
    const { progress } = engine;
    const { promptTokens } = await started(engine, "dog cat ".repeat(1500), 3, 1);
    assert(engine.progress - progress >= promptTokens[0]! / 128, `${engine.progress - progress} for ${promptTokens}`);
  });

  it("never repeats itself at a temperature above 0", async () => {
    const texts = [1, 2, 3, 4, 5].map(() => {
      let text = "";
      const emit = (delta: Delta) => void (text += textOf(delta));
      const request = completionOf("Once", { maxTokens: 40, temperature: 1.2 });
      const { signal } = new AbortController();
      return engine.generate({ request, signal, emit }).then(() => text);
    });
    assert(new Set(await Promise.all(texts)).size > 1);
  });

  it("refuses a file that is no model, in the words of the embedded engine", async () => {
    const model = new URL(import.meta.url).pathname;
    const own = await create({ model });
    const error = await refused(own.load());
    const { code, message } = await refused(loaded({ ...LLAMA, model }));
    assert.deepEqual([error.code, error.message], [code, message]);
    await own.stop();
  });
}

/** Its tasks must not end by themselves before. */
function isLostWithItsProcess(create: Create): void {
  it("is lost with its process, and says so first", async () => {
    const own = await create({});
    await own.load();
    const said: string[] = [];
    const gone = own.gone!.then(({ sentence, crashed }) => said.push(`${sentence.split(".")[0]} ${crashed}`));
    const tasks = await Promise.all(["One", "Two"].map((text) => started(own, text, 4000, 1)));
    process.kill(own.serverPid!, "SIGKILL");
    for (const { outcome } of tasks) said.push((await refused(outcome)).code);
    await gone;
    assert.deepEqual(said, ["The llama-server process ended (SIGKILL) true", "gpu_lost", "gpu_lost"]);
    await own.stop();
  });
}
