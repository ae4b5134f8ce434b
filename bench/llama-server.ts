/**
 * The llama-server behind a server of this project, to be asked directly too. Two of them on the same machine, started with the same
 * arguments, differ by several per cent; one and the same does not.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { NetConnectOpts } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../src/common/free-port.ts";
import { findBinary } from "../src/engine/llama-server/binary.ts";
import { CACHE } from "./server.ts";

/** Where the program is: what ALT_LAS_LLAMA_SERVER names, or llama-server on PATH; null: there is none, or it could not be traced. */
export async function findLlamaServer(): Promise<string | null> {
  // A script is no program there.
  if (process.platform === "win32") return null;
  return findBinary(process.env.ALT_LAS_LLAMA_SERVER ?? "llama-server").catch(() => null);
}

export const NO_LLAMA_SERVER =
  "there is no llama-server here, or this is Windows. ALT_LAS_LLAMA_SERVER can name the program; else it is looked for on PATH.";

/** A llama-server that runs. */
export interface LlamaServer {
  readonly pid: number;
  /** Where it listens. */
  readonly address: NetConnectOpts;
  /** Value of the `Authorization` header that it wants. */
  readonly authorization: string;
}

export interface LlamaServerShape {
  /** The path of a file. */
  readonly model: string;
  readonly slots: number;
  /** Tokens of each slot. */
  readonly context: number;
  readonly threads: number;
}

/** Starts one on the CPU with its own defaults, without its cache of prompts beside the slots. @throws {Error} it does not get ready */
export async function startLlamaServer(
  binary: string,
  { model, slots, context, threads }: LlamaServerShape,
): Promise<LlamaServer & { stop(): Promise<void> }> {
  const address = { host: "127.0.0.1", port: await freePort(), noDelay: true };
  const values = {
    "--model": model,
    "--host": address.host,
    "--port": address.port,
    "--parallel": slots,
    "--ctx-size": context * slots,
    "--threads": threads,
    "--device": "none",
    "--n-gpu-layers": 0,
  };
  const key = randomUUID();
  const child = spawn(binary, [...Object.entries(values).flat().map(String), "--no-webui"], {
    env: { ...process.env, LLAMA_ARG_CACHE_RAM: "0", LLAMA_API_KEY: key },
    stdio: "ignore",
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()).once("error", () => resolve()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
  };
  const health = `http://${address.host}:${address.port}/health`;
  while (
    !(await fetch(health).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null || child.pid === undefined) throw new Error(`${binary} ended before it was ready`);
    await sleep(50);
  }
  return { pid: child.pid!, address, authorization: `Bearer ${key}`, stop };
}

/** A program for `engine.binary` that becomes the real one, and leaves behind how that is reached. */
export class TracedBinary {
  readonly path: string;
  readonly #folder: string;
  readonly #trace: string;

  constructor(binary: string) {
    mkdirSync(CACHE, { recursive: true });
    this.#folder = mkdtempSync(join(CACHE, "llama-server-"));
    this.path = join(this.#folder, "llama-server");
    this.#trace = join(this.#folder, "trace");
    writeFileSync(this.path, scriptFor(binary, this.#trace), { mode: 0o755 });
  }

  /** The one that was started last. @throws {Error} none was */
  started(): LlamaServer {
    const [pid, key, ...args] = readFileSync(this.#trace, "utf8").split("\n");
    const valueOf = (name: string): string | undefined => args[args.indexOf(name) + 1];
    const host = valueOf("--host")!;
    const address = args.includes("--port") ? { host, port: Number(valueOf("--port")), noDelay: true } : { path: host };
    return { pid: Number(pid), address, authorization: `Bearer ${key}` };
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** It is also run to list its devices; then it listens nowhere. */
function scriptFor(binary: string, trace: string): string {
  return `#!/bin/sh
case " $* " in *" --host "*) printf '%s\\n' "$$" "$LLAMA_API_KEY" "$@" >${quoted(trace)} ;; esac
exec ${quoted(binary)} "$@"
`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
