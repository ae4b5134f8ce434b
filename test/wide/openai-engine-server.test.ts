/** The engine that asks a server, against a real llama.cpp server. */
import { type ChildProcess, spawn } from "node:child_process";
import { after, before, describe } from "node:test";
import { createEngine } from "../../src/engine/open.ts";
import { keepsThePromises } from "../helpers/engine-promises.ts";
import { LLAMA, OPENAI, SLOTS } from "../helpers/engines.ts";
import { LLAMA_SERVER, NO_LLAMA_SERVER } from "../helpers/llama-server.ts";

describe("against a real llama.cpp server", { skip: LLAMA_SERVER === null && NO_LLAMA_SERVER }, () => {
  let server: ChildProcess;
  let url: string;
  before(async () => {
    ({ server, url } = await serve(LLAMA_SERVER!));
  });
  after(() => server.kill("SIGKILL"));

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
    info: { context: 4096, memory: null, backend: "openai" },
    create: (changes) => createEngine({ ...OPENAI, upstream: { url, apiKey: null }, ...changes }, 0),
  });
});

/** Starts it with the demo model; resolves when it has said where it listens, and has loaded. */
async function serve([program = "", ...args]: readonly string[]): Promise<{ server: ChildProcess; url: string }> {
  const shape = ["--parallel", String(SLOTS), "--ctx-size", String(SLOTS * 4096), "--threads", "1"];
  const address = ["--host", "127.0.0.1", "--port", "0"];
  const server = spawn(program, [...args, "--model", LLAMA.model, ...shape, ...address], {
    stdio: ["ignore", "pipe", "pipe"],
  });
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
