/** A real server in a process of its own, for tests that meet it as a stranger does: by its command line, HTTP and signals. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type GpuState } from "../../src/gpu/status.ts";
import { type GpusAnswer } from "../../src/http/schemas/gpus.ts";
import { type BatchAnswer } from "../../src/http/schemas/submissions.ts";
import { type TasksAnswer, type TaskSummary, type TaskView } from "../../src/http/schemas/tasks.ts";
import { childrenOf, processes, untilGone } from "./processes.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const BIN = join(ROOT, "bin", "alt-las.js");

/** Milliseconds after which any wait gives up, so that a bug fails its test instead of holding it for ever. */
const PATIENCE = 60_000;

export function deadline(): AbortSignal {
  return AbortSignal.timeout(PATIENCE);
}

/** What can undo things when a test ends: a `TestContext`, or `node:test` itself for what a whole file shares. */
export interface Owner {
  after(undo: () => void | Promise<void>): void;
}

/** A folder of the test's own. */
export function newFolder(owner: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-e2e-"));
  owner.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface ServerOptions {
  /** YAML; without it, one that says nothing. */
  readonly config?: string;
  /** More options of `alt-las serve`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What to start instead of this Node with bin/alt-las.js, up to the options; it leads a process group of its own. */
  readonly command?: readonly string[];
}

/** One line of the log. */
export type LogLine = { readonly msg: string; readonly level: number; readonly pid: number } & Readonly<
  Record<string, unknown>
>;

export interface Answer<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

export interface Failure {
  readonly error: string;
  readonly code: string;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RequestOptions {
  /** Sent as JSON; a string is sent as it is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One life of a server. */
export class Server {
  /** Of what was started: the server itself, or the npm around it. */
  readonly process: ChildProcess;
  readonly folder: string;
  url = "";
  /** An admin's. */
  key = "";
  stdout = "";
  stderr = "";
  /** When everything that holds its standard output and error has ended. */
  readonly exit: Promise<Exit>;
  readonly #owner: Owner;
  readonly #options: ServerOptions;
  /** Every process that was seen to belong to it, to be ended with it. */
  readonly #seen = new Set<number>();

  private constructor(owner: Owner, options: ServerOptions, folder: string) {
    this.#owner = owner;
    this.#options = options;
    this.folder = folder;
    const config = join(folder, "config.yaml");
    writeFileSync(config, options.config ?? "");
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
    await server.#until("the greeting", () => /listens on [^]*\n\n$/.test(server.stdout));
    server.url = /listens on (\S+)/.exec(server.stdout)![1]!;
    server.key = options.env?.["ALT_LAS_API_KEY"] ?? /^ {2}(altlas_\S+)$/m.exec(server.stdout)?.[1] ?? "";
    return server;
  }

  get dataDir(): string {
    return join(this.folder, "data");
  }

  /** The lines of the log so far. */
  get log(): LogLine[] {
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

  // --- waiting -------------------------------------------------------------------------------------------------

  /** Waits for lines of the log, also those that have come already. */
  async logged(isMeant: (line: LogLine) => boolean, count = 1): Promise<LogLine[]> {
    await this.#until("a line of the log", () => this.log.filter(isMeant).length >= count);
    return this.log.filter(isMeant);
  }

  /** Waits until a GPU has gone into a state as often as `count` says. */
  async became(gpu: number, state: GpuState, count = 1): Promise<void> {
    await this.logged(
      (line) => line.msg === "GPU state changed" && line["gpu"] === gpu && line["state"] === state,
      count,
    );
  }

  /** Waits until every GPU has loaded its model, or failed to. */
  async loaded(): Promise<this> {
    const gpus = (await this.gpus()).length;
    await this.#until("all GPUs", () => new Set(this.log.filter(isLoaded).map((line) => line["gpu"])).size === gpus);
    return this;
  }

  /** Resolves when it holds; it is asked again whenever the server has said something. */
  async #until(what: string, holds: () => boolean): Promise<void> {
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

  // --- HTTP ----------------------------------------------------------------------------------------------------

  async request<Body = Failure>(method: string, path: string, options: RequestOptions = {}): Promise<Answer<Body>> {
    const { body, headers } = options;
    const json = body === undefined ? {} : { "content-type": "application/json" };
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.key}`, ...json, ...headers },
      signal: deadline(),
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
  }

  /** Submits one task, which must be accepted. */
  async predict(body: object, headers: Readonly<Record<string, string>> = {}): Promise<TaskSummary> {
    return this.#accepted<TaskSummary>(await this.request("POST", "/api/v1/predict", { body, headers }));
  }

  /** Submits one task and waits for its end. */
  async run(body: object, headers: Readonly<Record<string, string>> = {}): Promise<TaskView> {
    const { task_id } = await this.predict(body, headers);
    return this.ended(task_id, headers);
  }

  /** Submits a batch, which must be accepted. */
  async batch(body: object): Promise<BatchAnswer> {
    return this.#accepted<BatchAnswer>(await this.request("POST", "/api/v1/batch_predict", { body }));
  }

  /** A task as it is now. */
  async task(id: string, headers: Readonly<Record<string, string>> = {}): Promise<TaskView> {
    return this.#accepted<TaskView>(await this.request("GET", `/api/v1/task/${id}`, { headers }));
  }

  /** A task when it has ended. */
  async ended(id: string, headers: Readonly<Record<string, string>> = {}): Promise<TaskView> {
    const task = this.#accepted<TaskView>(await this.request("GET", `/api/v1/task/${id}?wait=55`, { headers }));
    assert.ok(task.finished_at !== null, `task ${id} has not ended: ${JSON.stringify(task)}`);
    return task;
  }

  async tasks(query = "", headers: Readonly<Record<string, string>> = {}): Promise<TasksAnswer> {
    return this.#accepted<TasksAnswer>(await this.request("GET", `/api/v1/tasks${query}`, { headers }));
  }

  async gpus(): Promise<GpusAnswer["gpus"]> {
    return this.#accepted<GpusAnswer>(await this.request("GET", "/api/v1/gpus")).gpus;
  }

  #accepted<Body>({ status, body }: Answer<unknown>): Body {
    assert.equal(status, 200, JSON.stringify(body));
    return body as Body;
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

function isLoaded({ msg, ...line }: LogLine): boolean {
  return msg === "GPU state changed" && line["state"] !== "starting";
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

/** The header of a login with a password. */
export function basic(user: string, password: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
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
