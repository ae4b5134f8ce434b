/**
 * The llama-server behind a server of this project, to be asked directly too. Two of them on the same machine, started with the same
 * arguments, differ by several per cent; one and the same does not.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type NetConnectOpts } from "node:net";
import { join } from "node:path";
import { findBinary } from "../src/engine/llama-server/binary.ts";
import { CACHE } from "./server.ts";

/** Where the program is: what ALT_LAS_LLAMA_SERVER names, or llama-server on PATH; null: there is none, or it could not be traced. */
export async function findLlamaServer(): Promise<string | null> {
  // A script is no program there.
  if (process.platform === "win32") return null;
  return findBinary(process.env.ALT_LAS_LLAMA_SERVER ?? "llama-server").catch(() => null);
}

/** A llama-server that runs. */
export interface LlamaServer {
  readonly pid: number;
  /** Where it listens. */
  readonly address: NetConnectOpts;
  /** Value of the `Authorization` header that it wants. */
  readonly authorization: string;
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
