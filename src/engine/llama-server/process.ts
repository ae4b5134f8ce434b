/**
 * A llama.cpp server as a process of ours, on a socket that nobody else can reach.
 *
 * It never outlives this process, however that ends: guard.sh sees to it. On Windows the system does, as Node puts all its children into
 * one job object with `JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { freePort } from "../../common/free-port.ts";
import { type System, SYSTEM } from "../../common/system.ts";

/** Where it listens. */
export interface PrivateAddress {
  readonly url: string;
  /** null: on the port in the URL. */
  readonly socketPath: string | null;
  /** Of the socket, for nobody else; null: there is none. */
  readonly directory: string | null;
}

/** How it ended. */
export interface ServerEnd {
  /** Like `SIGKILL` or `exit code 1`. */
  readonly how: string;
  /** Whether a signal ended it. */
  readonly killed: boolean;
  /** Its last words, at most `MAX_WORDS` characters. */
  readonly words: string;
}

/** Characters of what it writes that are kept. */
const MAX_WORDS = 8000;

/** Bytes that a socket's path can have everywhere (sun_path in unix(7); macOS has the least room). */
const MAX_SOCKET_PATH = 103;

const GUARD = fileURLToPath(new URL("guard.sh", import.meta.url));

/** A socket in a directory of its own, which others cannot enter; a port of this machine where that is not possible. */
export async function privateAddress(system: System = SYSTEM): Promise<PrivateAddress> {
  const name = "llama.sock";
  const prefix = join(tmpdir(), "alt-las-llama-");
  const fits = Buffer.byteLength(prefix) + "XXXXXX/".length + name.length <= MAX_SOCKET_PATH;
  if (system.localServers === "pipes" || !fits) {
    return { url: `http://127.0.0.1:${await freePort()}`, socketPath: null, directory: null };
  }
  const directory = await mkdtemp(prefix);
  return { url: "http://localhost", socketPath: join(directory, name), directory };
}

export class ServerProcess {
  /** Resolves when it is gone, and everything that it has written has been read. */
  readonly ended: Promise<ServerEnd>;
  readonly #child: ChildProcess;
  /** Reports of the guard: the process id, then the exit status. */
  #told = "";
  #words = "";
  #hasEnded = false;

  /** @param directory removed when it has ended; null: there is none */
  constructor(
    program: string,
    args: readonly string[],
    options: { readonly environment: NodeJS.ProcessEnv; readonly directory: string | null },
  ) {
    this.#child = start(program, args, options);
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#words = (this.#words + text).slice(-MAX_WORDS);
    });
    // The guard's end of it is closed by its death.
    this.#lifeline?.on("error", () => {});
    this.#lifeline?.setEncoding("utf8").on("data", (text: string) => (this.#told += text));
    this.ended = this.#untilEnded(options.directory);
  }

  /** Its process id; null: it has not been started yet. */
  get pid(): number | null {
    if (this.#lifeline === undefined) return this.#child.pid ?? null;
    return Number.parseInt(this.#told, 10) || null;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Ends it at once. It has nothing that it could lose. */
  kill(): void {
    if (this.#lifeline === undefined) this.#child.kill("SIGKILL");
    else this.#lifeline.end();
  }

  /** Absent on Windows. */
  get #lifeline(): Duplex | undefined {
    return this.#child.stdio[3] as Duplex | undefined;
  }

  async #untilEnded(directory: string | null): Promise<ServerEnd> {
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#child.once("error", (error) => resolve(error.message));
    // The guard may have been killed alone.
    this.#child.once("exit", () => this.kill());
    this.#child.once("close", (code, signal) => resolve(this.#howEnded(code, signal)));
    const how = await promise;
    if (directory !== null) await rm(directory, { recursive: true, force: true });
    this.#hasEnded = true;
    return { how, killed: how.startsWith("SIG"), words: this.#words };
  }

  #howEnded(code: number | null, signal: NodeJS.Signals | null): string {
    const [, status] = this.#told.trim().split("\n");
    if (status === undefined) return signal ?? `exit code ${code}`;
    // The exit status of a shell tells that of the process it waited for.
    const name = Object.entries(constants.signals).find(([, number]) => number === Number(status) - 128)?.[0];
    return name ?? `exit code ${status}`;
  }
}

function start(
  program: string,
  args: readonly string[],
  { environment, directory }: { readonly environment: NodeJS.ProcessEnv; readonly directory: string | null },
): ChildProcess {
  if (!SYSTEM.hasShell) {
    return spawn(program, args, { env: environment, stdio: ["ignore", "ignore", "pipe"], windowsHide: true });
  }
  return spawn("/bin/sh", [GUARD, directory ?? "", program, ...args], {
    env: environment,
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    // A group of its own: what a terminal sends to all that it has started is the business of our parent.
    detached: true,
  });
}
