/** A PostgreSQL server for tests: Debian's, started in a folder of its own on a Unix socket, or the one that ALT_LAS_TEST_POSTGRES names. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chownSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { Client } from "pg";
import { PostgresStore, type PostgresStoreOptions } from "../../src/store/postgres/postgres.ts";
import { childrenOf } from "./processes.ts";
import { removeFolder } from "./remove-folder.ts";
import type { Owner } from "./server-handle.ts";
import { type MakePlace, testFolder } from "./store.ts";

const DEBIAN = "/usr/lib/postgresql";
/** Of the superuser `postgres`. */
export const PASSWORD = "of tests only";

export const NO_POSTGRES =
  "no PostgreSQL: neither ALT_LAS_TEST_POSTGRES nor Debian's package postgresql (.ci/run installs it)";

/** The folder of its programs; null: there are none here. */
export const PROGRAMS: string | null = programs();

function programs(): string | null {
  try {
    const versions = readdirSync(DEBIAN).toSorted((one, other) => Number(other) - Number(one));
    return versions[0] === undefined ? null : join(DEBIAN, versions[0], "bin");
  } catch {
    return null;
  }
}

/**
 * A database for tests that do nothing to its server: the one that ALT_LAS_TEST_POSTGRES names, or that of a server of their own, which is
 * null for the first. null: there is none
 */
export async function databaseFor(
  owner: Owner,
): Promise<{ readonly url: string; readonly server: PostgresServer | null } | null> {
  const named = process.env["ALT_LAS_TEST_POSTGRES"];
  if (named !== undefined) return { url: named, server: null };
  if (PROGRAMS === null) return null;
  const server = await PostgresServer.start([], "trust");
  owner.after(() => server.remove());
  return { url: server.url(), server };
}

/** PostgreSQL refuses to run as root. */
export function postgresOwner(): { uid: number; gid: number } | undefined {
  if (userInfo().uid !== 0) return undefined;
  const { stdout } = spawnSync("id", ["-u", "postgres"], { encoding: "utf8" });
  const group = spawnSync("id", ["-g", "postgres"], { encoding: "utf8" });
  return { uid: Number(stdout), gid: Number(group.stdout) };
}

/** A server of the test's own, which can be killed. */
export class PostgresServer {
  /** Where its socket is. */
  readonly folder: string;
  /** The lines of its log. */
  readonly log: string[] = [];
  readonly #settings: readonly string[];
  readonly #as = postgresOwner();
  #process: ChildProcess | undefined;

  private constructor(settings: readonly string[], folder?: string) {
    this.#settings = settings;
    this.folder = folder ?? mkdtempSync(join(tmpdir(), "alt-las-postgres-"));
    if (this.#as !== undefined) chownSync(this.folder, this.#as.uid, this.#as.gid);
  }

  /**
   * @param settings like `max_connections=20` @param auth how it believes clients: checking a password takes milliseconds
   * @param folder an empty one; absent: one of its own
   */
  static async start(
    settings: readonly string[] = [],
    auth = "scram-sha-256",
    folder?: string,
  ): Promise<PostgresServer> {
    if (PROGRAMS === null) throw new Error(NO_POSTGRES);
    const server = new PostgresServer(settings, folder);
    const passwords = join(server.folder, "password");
    writeFileSync(passwords, PASSWORD, { mode: 0o644 });
    const args = ["-D", server.data, "-U", "postgres", "-A", auth, `--pwfile=${passwords}`, "--no-sync"];
    const made = spawnSync(join(PROGRAMS, "initdb"), [...args, "-E", "UTF8", "--locale=C.UTF-8"], {
      ...server.#as,
      cwd: server.folder,
      encoding: "utf8",
    });
    if (made.status !== 0) throw new Error(made.stderr);
    await server.run();
    return server;
  }

  /** A standby of this server, which follows it. */
  async standby(settings: readonly string[] = []): Promise<PostgresServer> {
    const standby = new PostgresServer(settings);
    const args = ["-d", this.url(), "-D", standby.data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"];
    const made = spawnSync(join(PROGRAMS!, "pg_basebackup"), args, {
      ...this.#as,
      cwd: standby.folder,
      encoding: "utf8",
    });
    if (made.status !== 0) throw new Error(made.stderr);
    await standby.run();
    return standby;
  }

  get data(): string {
    return join(this.folder, "data");
  }

  get pid(): number {
    return this.#process!.pid!;
  }

  /** Its address, or that of a socket in another folder. */
  url(database = "postgres", folder = this.folder): string {
    return `postgres://postgres:${encodeURIComponent(PASSWORD)}@${encodeURIComponent(folder)}/${database}`;
  }

  /** Starts it, again if it was stopped; resolves when it takes connections. */
  async run(): Promise<void> {
    const settings = ["listen_addresses=", `unix_socket_directories=${this.folder}`, ...this.#settings];
    const args = ["-D", this.data, ...settings.flatMap((setting) => ["-c", setting])];
    const running = spawn(join(PROGRAMS!, "postgres"), args, {
      ...this.#as,
      cwd: this.folder,
      env: { ...process.env, LC_ALL: "C" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    this.#process = running;
    const ready = Promise.withResolvers<void>();
    createInterface({ input: running.stderr }).on("line", (line) => {
      this.log.push(line);
      if (line.includes("ready to accept")) ready.resolve();
    });
    running.once("exit", () => ready.reject(new Error(this.log.join("\n"))));
    await ready.promise;
  }

  /** Whether it lets a client in. */
  async answers(): Promise<boolean> {
    const client = new Client({ connectionString: this.url(), connectionTimeoutMillis: 1000 });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.query("SELECT 1");
      return true;
    } catch {
      return false;
    } finally {
      void client.end().catch(() => {});
    }
  }

  get isRunning(): boolean {
    return this.#process?.exitCode === null && this.#process.signalCode === null;
  }

  /** Of the server and all that it has started; the server's is the first. */
  get processes(): number[] {
    return this.isRunning ? [this.pid, ...childrenOf(this.pid).map(({ pid }) => pid)] : [];
  }

  /** Sends all of its processes a signal. */
  signalAll(signal: NodeJS.Signals): void {
    for (const pid of this.processes) signalTo(pid, signal);
  }

  /** Ends it: SIGQUIT as in a crash, SIGINT as in a restart. */
  async stop(signal: NodeJS.Signals = "SIGQUIT"): Promise<void> {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, "exit");
    running.kill(signal);
    await gone;
  }

  async remove(): Promise<void> {
    await this.stop();
    removeFolder(this.folder);
  }
}

/** One that has ended gets none. */
export function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ESRCH") throw error;
  }
}

/** A client of the database. */
export async function connected(t: TestContext, url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  t.after(() => client.end().catch(() => undefined));
  return client;
}

/** A store in a schema of its own. */
export function storeIn(t: TestContext, url: string, more: Partial<PostgresStoreOptions> = {}): () => PostgresStore {
  const schema = `test_${randomUUID().replaceAll("-", "").slice(0, 12)}`;
  const dataDir = testFolder(t);
  return () => new PostgresStore({ url, schema, dataDir, ...more });
}

/** A place in a database for the kits of stores. */
export function placeIn(url: string): MakePlace {
  return (t) => storeIn(t, url);
}
