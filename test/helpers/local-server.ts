/**
 * A whole server in the test's own process: the real HTTP server on a port of its own, scheduler, store and GPUs; only its workers are no
 * processes (local-channel.ts). It starts in tens of milliseconds.
 *
 *     const server = await startLocalServer(t, { config: "tasks: { max_attempts: 2 }", devices: "simulated:2" });
 *     const task = await server.run({ text: "hello", max_length: 3 });
 *     server.signalWorker(0, "SIGKILL");
 *     await server.became(0, "ready", 2);
 *
 * It has the handle of a server in a process (server.ts) but for what belongs to a process: standard output, exit codes, signals to the
 * server, kill -9, the environment. Of devices it can have simulated ones and servers that run elsewhere.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, parseConfig, type ReloadReport } from "../../src/config/config.ts";
import { createLogger } from "../../src/log/log.ts";
import { type RunningServer, startServer } from "../../src/main.ts";
import type { ClusterMember } from "../../src/http/server-parts.ts";
import { storeOf } from "../../src/store/server-store.ts";
import { setEnvironment } from "./environment.ts";
import { LocalWorkers } from "./local-workers.ts";
import { Hub } from "./memory-bus.ts";
import { deadline, type LogLine, type Owner, ServerHandle } from "./server-handle.ts";
import { withStore } from "./store-section.ts";

export interface LocalServerOptions {
  /** YAML; without it, one that says nothing. */
  readonly config?: string;
  /** As `--devices`; without it, what the configuration says. */
  readonly devices?: string;
  /** A folder whose `data` has an earlier life. */
  readonly folder?: string;
  /** What it is to the other servers of its cluster; without it, it is alone. */
  readonly member?: ClusterMember;
}

/** @throws {AltLasError} when it cannot start; the configuration is checked as at any start */
export async function startLocalServer(owner: Owner, options: LocalServerOptions = {}): Promise<LocalServer> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), "alt-las-local-"));
  const server = new LocalServer(options, folder);
  owner.after(async () => {
    await server.destroy();
    if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
  });
  // A key in the environment of the tests is none of this server's.
  setEnvironment(owner, { ALT_LAS_API_KEY: undefined, ALT_LAS_API_KEY_FILE: undefined });
  await server.start();
  return server;
}

/** One life of a server. */
export class LocalServer extends ServerHandle {
  readonly folder: string;
  /** Its workers, to kill or freeze. */
  readonly workers = new LocalWorkers();
  readonly #options: LocalServerOptions;
  /** Its configuration. */
  #text: string;
  readonly #lines: LogLine[] = [];
  #next: LocalServer | null = null;
  #running: RunningServer | null = null;
  #said = Promise.withResolvers<void>();

  constructor(options: LocalServerOptions, folder: string) {
    super();
    this.#options = options;
    this.#text = options.config ?? "";
    this.folder = folder;
  }

  async start(): Promise<void> {
    const config = this.#read();
    const log = createLogger(config.log.level, { write: (line) => this.#onLine(line) });
    const { member } = this.#options;
    const lead = member && {
      store: await storeOf(config.store, this.dataDir, log),
      member,
      listen: null,
      bus: new Hub().connect(),
    };
    this.#running = await startServer(config, this.dataDir, log, this.workers.open, () => this.#read(), lead);
    this.url = this.#running.url;
    this.key = this.#running.firstKey ?? "";
  }

  #read(): Config {
    const { devices } = this.#options;
    return parseConfig(withStore(this.#text, this.folder), "config.yaml", {
      port: 0,
      ...(devices !== undefined && { devices }),
    });
  }

  /** Has it read another configuration while it runs. @throws {AltLasError} what is wrong with it */
  reload(config: string): ReloadReport {
    this.#text = config;
    return this.#running!.reload();
  }

  get dataDir(): string {
    return join(this.folder, "data");
  }

  override get log(): LogLine[] {
    return this.#lines;
  }

  /** Does to a worker what that signal does to a process. */
  signalWorker(gpuId: number, signal: "SIGKILL" | "SIGSTOP"): void {
    const worker = this.workers.of(gpuId);
    if (signal === "SIGKILL") worker.kill();
    else worker.freeze();
  }

  /** Lets it finish what runs. */
  async stop(): Promise<void> {
    await this.#running?.stop();
  }

  /** Ends whatever is left of it, and of its later lives. */
  async destroy(): Promise<void> {
    await this.#next?.destroy();
    const stopped = this.stop();
    // A second time hurries: it waits for no task.
    void this.stop();
    for (const worker of this.workers.alive) if (worker.isFrozen) worker.kill();
    await stopped;
  }

  /** Another life on the same data directory, after this one has been stopped. */
  async restart(changes: LocalServerOptions = {}): Promise<LocalServer> {
    const next = new LocalServer({ ...this.#options, ...changes }, this.folder);
    this.#next = next;
    await next.start();
    next.key = this.key;
    return next;
  }

  protected override async until(what: string, holds: () => boolean): Promise<void> {
    const end = deadline();
    const late = new Promise<never>((_resolve, reject) => {
      end.addEventListener("abort", () => {
        reject(new Error(`no ${what}:\n${this.log.map((line) => JSON.stringify(line)).join("\n")}`));
      });
    });
    // It may come when nobody waits any more, and would then fail whatever test runs.
    late.catch(() => {});
    while (!holds()) await Promise.race([this.#said.promise, late]);
  }

  #onLine(line: string): void {
    this.#lines.push(JSON.parse(line) as LogLine);
    this.#said.resolve();
    this.#said = Promise.withResolvers<void>();
  }
}
