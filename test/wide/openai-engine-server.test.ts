/** The engine that asks a server, against real llama.cpp servers: one for texts, and one for embeddings. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createEngine } from "../../src/engine/open.ts";
import { SAMPLING_NAMES, TO_THE_END } from "../../src/request.ts";
import { makesVectors, vectorsOf } from "../helpers/embedding-promises.ts";
import { keepsThePromises } from "../helpers/engine-promises.ts";
import { LLAMA, OPENAI, refused, SLOTS } from "../helpers/engines.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER } from "../helpers/llama-server.ts";
import { ask, chatOf } from "../helpers/asking.ts";
import { takesRequests } from "../helpers/request-promises.ts";
import { EMBEDDING_CONTEXT, writeEmbeddingModel } from "../helpers/tiny-models.ts";

const CONTEXT = 4096;

describe("against a real llama.cpp server", { skip: LLAMA_SERVER === null && NO_LLAMA_SERVER }, () => {
  let server: ChildProcess;
  let url: string;
  before(async () => {
    const shape = ["--parallel", String(SLOTS), "--ctx-size", String(SLOTS * CONTEXT)];
    ({ server, url } = await serve(LLAMA_SERVER!, ["--model", LLAMA.model, ...shape]));
  });
  after(() => server.kill("SIGKILL"));

  const create = (changes = {}) => createEngine({ ...OPENAI, upstream: { url, apiKey: null }, ...changes }, 0);

  keepsThePromises({
    name: "openai",
    traits: {
      smallContext: null,
      promptTokens: "after",
      countsEachToken: true,
      repeats: false,
      inSteps: false,
      plansMemory: false,
    },
    info: {
      context: CONTEXT,
      memory: null,
      backend: "openai",
      capabilities: ["chat", "completion"],
      hasChatTemplate: true,
    },
    create,
  });

  takesRequests({
    name: "openai",
    can: ["chat", "completion", ...Object.values(SAMPLING_NAMES)],
    // They are the server's own business.
    special: null,
    countsEachToken: true,
    repeats: false,
    draws: true,
    create: (changes) => create({ raw: false, ...changes }),
  });

  it("a chat ends where the context does, also one without a limit, and is refused where there is no room", async () => {
    const engine = await create();
    try {
      await engine.load();
      const story = "Once upon a time there was a fox. ".repeat(380);
      for (const maxTokens of [TO_THE_END, 1_000_000]) {
        const { promptTokens, completionTokens } = await ask(engine, chatOf(story, { maxTokens }));
        assert(promptTokens! > 3000 && promptTokens! + completionTokens <= CONTEXT + 1);
      }
      const { code, message } = await refused(ask(engine, chatOf(story.repeat(2))));
      assert.equal(code, "prompt_too_long");
      assert.match(message, /\d+ tokens.* 4096 tokens/);
    } finally {
      await engine.stop();
    }
  });
});

describe("against a real llama.cpp server for embeddings", { skip: LLAMA_SERVER === null && NO_LLAMA_SERVER }, () => {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-vectors-"));
  let server: ChildProcess;
  let url: string;
  before(async () => {
    const model = join(folder, "vectors.gguf");
    writeEmbeddingModel(model);
    ({ server, url } = await serve(LLAMA_SERVER!, ["--model", model, "--embeddings", "--parallel", "8"]));
  });
  after(() => {
    server.kill("SIGKILL");
    rmSync(folder, { recursive: true });
  });

  const create = () => createEngine({ ...OPENAI, upstream: { url, apiKey: null } }, 0);

  makesVectors({ name: "openai", generates: false, create });

  it("makes vectors of lists of tokens, and refuses an input that is too long", async () => {
    const engine = await create();
    try {
      const { capabilities } = await engine.load();
      assert.deepEqual(capabilities, ["embedding"]);
      const { vectors } = await vectorsOf(engine, [[1, 2, 3], "The cat said", [1, 2, 3]]);
      assert.deepEqual(vectors[0], vectors[2]);
      const { code } = await refused(vectorsOf(engine, ["cat ".repeat(4 * EMBEDDING_CONTEXT)]));
      assert.equal(code, "prompt_too_long");
    } finally {
      await engine.stop();
    }
  });
});

/** Starts it; resolves when it has said where it listens, and has loaded. */
async function serve(
  [program = "", ...start]: readonly string[],
  args: readonly string[],
): Promise<{ server: ChildProcess; url: string }> {
  const address = ["--threads", "1", "--host", "127.0.0.1", "--port", "0"];
  const server = spawn(program, [...start, ...args, ...address], { stdio: ["ignore", "pipe", "pipe"] });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = "";
  for (const stream of [server.stdout, server.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      const where = /listening on (http:\/\/127\.0\.0\.1:\d+)/.exec(said)?.[1];
      if (where !== undefined) resolve(where);
    });
  }
  server.once("exit", (code) => reject(new Error(`it ended with ${code}: ${said}`)));
  return { server, url: await promise };
}
