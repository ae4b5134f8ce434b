/** What all of it happens in: a folder, a disk that can be made full, users, and the configuration of the server. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashApiKey } from "../src/auth/secrets.ts";
import { type User } from "./api.ts";
import { CLOCK_VARIABLES, WallClock } from "./clock.ts";
import { Disk } from "./disk.ts";
import { FAILURES } from "./kinds.ts";

export interface Shape {
  readonly gpus: number;
  readonly slots: number;
  /** Tasks that a user may have running, by its name. */
  readonly maxRunning: Readonly<Record<string, number>>;
}

export const SHAPE: Shape = { gpus: 3, slots: 4, maxRunning: { cara: 2 } };

export interface World {
  readonly folder: string;
  readonly disk: Disk;
  readonly dataFolder: string;
  readonly databaseFile: string;
  readonly clock: WallClock;
  /** Options of `alt-las serve`. */
  readonly serveOptions: readonly string[];
  readonly logFile: string;
  readonly admin: User;
  readonly users: readonly User[];
  /** Opens connections and lets them stall. */
  readonly idler: User;
}

/** Bytes of one body, and of all bodies that are under way. */
export const LARGEST_BODY = 16 * 2 ** 20;
const OPEN_BODIES = 32 * 2 ** 20;

/**
 * @param verbose whether the server logs each step of each task
 * @param tasks settings of the configuration's section `tasks` beside the usual ones
 * @param store likewise
 */
export function makeWorld(verbose: boolean, tasks: object = {}, store: object = {}): World {
  const folder = mkdtempSync(join(tmpdir(), "alt-las-chaos-"));
  const small = join(folder, "disk");
  mkdirSync(small);
  const disk = new Disk(small);
  const [admin, ...users] = ["root", "ada", "bob", "cara", "dora"].map(newUser);
  const idler = newUser("idler");
  const configFile = join(folder, "config.yaml");
  const data = join(small, "data");
  // JSON is YAML.
  writeFileSync(configFile, JSON.stringify(configOf([admin!, ...users, idler], verbose, { tasks, store }), null, 2));
  return {
    folder,
    disk,
    dataFolder: data,
    databaseFile: join(data, "alt-las.db"),
    clock: new WallClock(join(folder, "clock")),
    serveOptions: ["--config", configFile, "--port", "0", "--data-dir", data],
    // As on many machines, the log is on the disk that is full.
    logFile: join(small, "server.log"),
    admin: admin!,
    users,
    idler,
  };
}

export function removeWorld({ folder, disk }: World): void {
  disk.close();
  rmSync(folder, { recursive: true, force: true });
}

function newUser(name: string): User {
  return { name, key: `altlas_chaos_${name}`, secret: "" };
}

/** Of users that are more than users. */
const ROLES: Readonly<Record<string, string>> = { root: "admin", idler: "admin" };

/** Everything happens fast, so that a short time has room for much of it. */
function configOf(users: readonly User[], verbose: boolean, own: { tasks: object; store: object }): object {
  const { gpus, slots, maxRunning } = SHAPE;
  const limits = Object.entries(maxRunning).map(([name, max_running]) => [name, { max_running }] as const);
  return {
    server: { drain_timeout: 1 },
    auth: {
      users: users.map(({ name }) => ({ name, role: ROLES[name] ?? "user" })),
      keys: users.map(({ name, key }) => ({ name: `${name}-key`, user: name, sha256: hashApiKey(key) })),
    },
    limits: { max_body_bytes: LARGEST_BODY, max_open_bytes: OPEN_BODIES },
    gpu: {
      worker_environment: CLOCK_VARIABLES,
      devices: `simulated:${gpus}`,
      stall_timeout: 2,
      health_check_interval: 2,
      multi_gpu: { max_concurrent_tasks_per_gpu: slots, max_queue_size: 200 },
    },
    engine: { simulated: { tokens_per_second: 500, failures: FAILURES } },
    tasks: { cancel_timeout: 1, retry_backoff: 0.2, ageing_seconds: 2, ...own.tasks },
    store: own.store,
    callers: { users: { ...Object.fromEntries(limits), dora: { max_queued: 20, weight: 2 } } },
    webhooks: { allow_private: true },
    log: { level: verbose ? "debug" : "info" },
  };
}
