/**
 * A real server in a process of its own, for tests that meet it as a stranger does: by its command line and signals. Tests that need
 * neither start one in their own process, which costs a tenth: local-server.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { firstKeyIn } from "./first-key.ts";
import { deadline, newFolder, type Owner, type LogLine, ServerHandle } from "./server-handle.ts";
import { childrenOf, processes, untilGone } from "./processes.ts";
import { withStore } from "./store-section.ts";

export {
  type Answer,
  basic,
  deadline,
  type Failure,
  type LogLine,
  newFolder,
  type Owner,
  type RequestOptions,
} from "./server-handle.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const BIN = join(ROOT, "bin", "alt-las.js");

export interface ServerOptions {
  /** YAML; without it, one that says nothing. */
  readonly config?: string;
  /** More options of `alt-las serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What to start instead of this Node with bin/alt-las.js, up to the options; it leads a process group of its own. */
  readonly command?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One life of a server. */
export class Server extends ServerHandle {
  /** Of what was started: the server itself, or the npm around it. */
  readonly process: ChildProcess;
  readonly folder: string;
  stdout = "";
  stderr = "";
  /** When everything that holds its standard output and error has ended. */
  readonly exit: Promise<Exit>;
  readonly #owner: Owner;
  readonly #options: ServerOptions;
  /** Every process that was seen to belong to it, to be ended with it. */
  readonly #seen = new Set<number>();

  private constructor(owner: Owner, options: ServerOptions, folder: string) {
    super();
    this.#owner = owner;
    this.#options = options;
    this.folder = folder;
    const config = join(folder, "config.yaml");
    writeFileSync(config, withStore(options.config ?? "", folder));
    const [program = "", ...args] = options.command ?? [process.execPath, BIN, "serve"];
    const { ALT_LAS_API_KEY: _key, ALT_LAS_DATA_DIR: _dir, ...env } = process.env;
    // Started in its folder, the server finds its configuration by itself.
    if (options.command !== undefined) args.push("--config", config);
    args.push("--port", "0", "--data-dir", this.dataDir, ...(options.args ?? []));
    this.process = spawn(program, args, {
      cwd: options.command === undefined ? folder : ROOT,
      env: { ...env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: options.command !== undefined,
    });
    this.process.stdout!.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    this.process.stderr!.setEncoding("utf8").on("data", (text: string) => (this.stderr += text));
    this.exit = once(this.process, "close").then(([code, signal]) => ({ code, signal }));
    owner.after(() => this.destroy());
  }

  /** Starts a server; resolves when it has said where it listens. @throws {Error} with what it said instead */
  static async start(owner: Owner, options: ServerOptions = {}, folder = newFolder(owner)): Promise<Server> {
    const server = new Server(owner, options, folder);
    await server.until("the greeting", () => /listens on [^]*\n\n$/.test(server.stdout));
    server.url = /listens on (\S+)/.exec(server.stdout)![1]!;
    server.key = options.env?.["ALT_LAS_API_KEY"] ?? firstKeyIn(server.stdout);
    return server;
  }

  get dataDir(): string {
    return join(this.folder, "data");
  }

  override get log(): LogLine[] {
    const lines = this.stderr.split("\n").slice(0, -1);
    return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as LogLine);
  }

  /** The line of the server's first command that a person can paste. */
  get curl(): string {
    return /^Try it:\n\s*(.*)$/m.exec(this.stdout)![1]!;
  }

  /** The server's own process id, also when npm was started. */
  get pid(): number {
    return this.log[0]?.pid ?? this.process.pid!;
  }

  protected override async until(what: string, holds: () => boolean): Promise<void> {
    const end = deadline();
    while (!holds()) {
      const next = new AbortController();
      const signal = AbortSignal.any([end, next.signal]);
      const events = [this.process.stdout!, this.process.stderr!].map((stream) => once(stream, "data", { signal }));
      const gone = this.exit.then(() => Promise.reject(new Error("it ended")));
      await Promise.race([...events, gone]).catch((error: unknown) => {
        if (!holds()) throw new Error(`no ${what}: ${String(error)}\n${this.stdout}\n${this.stderr}`, { cause: error });
      });
      next.abort();
    }
  }

  // --- its end -------------------------------------------------------------------------------------------------

  /** The workers' process ids by GPU. */
  workers(): Map<number, number> {
    const workers = new Map<number, number>();
    for (const { pid, command } of childrenOf(this.pid)) {
      const gpu = /^alt-las worker gpu (\d+)/.exec(command)?.[1];
      this.#seen.add(pid);
      if (gpu !== undefined) workers.set(Number(gpu), pid);
    }
    return workers;
  }

  /** Sends a worker a signal. */
  signalWorker(gpuId: number, signal: NodeJS.Signals): void {
    process.kill(this.workers().get(gpuId)!, signal);
  }

  /** Sends the server itself a signal. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Lets it finish what runs. */
  async stop(): Promise<Exit> {
    this.signal("SIGTERM");
    return this.exit;
  }

  /** Kills the server, and resolves when neither it nor a worker of it is left. */
  async kill9(): Promise<void> {
    this.workers();
    this.signal("SIGKILL");
    await this.exit;
    await this.untilGone();
  }

  /** Resolves when none of its processes is left. @throws {Error} naming those that stay */
  async untilGone(): Promise<void> {
    await untilGone(({ pid }) => this.#seen.has(pid), deadline());
  }

  /** Another life on the same data directory, after this one has ended. */
  async restart(changes: ServerOptions = {}): Promise<Server> {
    const next = await Server.start(this.#owner, { ...this.#options, ...changes }, this.folder);
    next.key = this.key;
    return next;
  }

  /** Ends whatever is left of it. */
  async destroy(): Promise<void> {
    this.workers();
    const ours = new Set([this.pid, this.process.pid!, ...this.#seen]);
    const left = processes().filter(
      ({ pid, group, command }) => group === this.process.pid || (ours.has(pid) && command.includes("alt-las")),
    );
    for (const { pid } of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended meanwhile.
      }
    }
    await this.exit;
  }
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a program to its end. */
export async function runProgram(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { ALT_LAS_API_KEY: _key, ALT_LAS_DATA_DIR: _dir, ...env } = process.env;
  const child = spawn(program, args, {
    cwd: options.cwd ?? tmpdir(),
    env: { ...env, ...options.env },
    signal: deadline(),
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => {}).end(options.input ?? "");
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

/** Runs `alt-las` to its end, in a process of its own; most commands need none (helpers/command.ts). */
export function altLas(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return runProgram(process.execPath, [BIN, ...args], options);
}

/** Why a test that needs a program cannot run here; false where it can. */
export function lacks(ran: Promise<Ran>, what: string): Promise<string | false> {
  return ran.then(
    ({ code }) => (code === 0 ? false : `${what} does not work on this machine`),
    () => `${what} is not on this machine`,
  );
}
