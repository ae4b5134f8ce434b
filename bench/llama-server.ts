/** A llama-server without this project before it, started with the very arguments that our engine starts its own with. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type EngineOptions } from "../src/engine/engine.ts";
import { findBinary } from "../src/engine/llama-server/binary.ts";
import { argumentsFor, environmentFor } from "../src/engine/llama-server/command.ts";
import { prepare } from "../src/engine/llama-server/launch.ts";

const HOST = "127.0.0.1";
const READY_CHECK = 20;

/** Where the program is: what ALT_LAS_LLAMA_SERVER names, or llama-server on PATH; null: there is none. */
export async function findLlamaServer(): Promise<string | null> {
  return findBinary(process.env.ALT_LAS_LLAMA_SERVER ?? "llama-server").catch(() => null);
}

export interface LlamaServer {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  stop(): Promise<void>;
}

/** Resolves when its model is loaded. @throws {Error} when it ends instead */
export async function startLlamaServer(options: EngineOptions): Promise<LlamaServer> {
  const port = await freePort();
  const address = { url: `http://${HOST}:${port}`, socketPath: null, directory: null };
  const prepared = await prepare(options, new AbortController().signal);
  const args = argumentsFor({ ...prepared, options, address });
  const env = { ...environmentFor(process.env, ""), LLAMA_API_KEY: undefined };
  const child = spawn(prepared.program, args, { env, stdio: "ignore" });
  await untilLoaded(child, address.url);
  return {
    pid: child.pid!,
    host: HOST,
    port,
    async stop(): Promise<void> {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

async function untilLoaded(child: ChildProcess, url: string): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const status = await fetch(`${url}/health`).then(
      (answer) => answer.status,
      () => null,
    );
    if (status === 200) return;
    await sleep(READY_CHECK);
  }
  throw new Error(`llama-server ended (${child.signalCode ?? child.exitCode}) while it loaded its model`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
