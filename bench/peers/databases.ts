/** The databases behind the queues of others: Redis and PostgreSQL, each on a Unix socket of its own, told to lose nothing. */
import { execFile, execFileSync } from "node:child_process";
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Program, scratch } from "./cupboard.ts";
import { type Running, start } from "./running.ts";

/** Milliseconds for a socket to be there, and between two looks. */
const PATIENCE = 30_000;
const LOOK = 20;

export interface Database extends Running {
  /** As `Part` has it. */
  readonly socket: string;
}

/** Each write is on disk before it is answered. */
export async function startRedis({ path, environment }: Program): Promise<Database> {
  const folder = scratch("redis");
  // The path of a socket may have a hundred characters.
  const sockets = mkdtempSync(join(tmpdir(), "redis-"));
  const socket = join(sockets, "socket");
  const args = `--port 0 --appendonly yes --appendfsync always --maxmemory-policy noeviction --dir ${folder} --unixsocket ${socket}`;
  // Its words on standard output would end in a data directory that is about to go.
  const save = ["--save", ""];
  const running = start({ program: path, args: [...args.split(" "), ...save], folder, environment });
  return waited(running, socket, socket, [folder, sockets]);
}

/** With fsync and synchronous_commit, as it is by default. It refuses to run as root. */
export async function startPostgres({ path, environment }: Program): Promise<Database> {
  const folder = scratch("postgresql");
  const data = join(folder, "data");
  const socket = mkdtempSync(join(tmpdir(), "postgresql-"));
  const user = process.getuid?.() === 0 ? numberOf("postgres") : null;
  mkdirSync(data);
  if (user !== null) for (const each of [folder, data, socket]) chownSync(each, user, user);
  const owner = user === null ? {} : { uid: user, gid: user };
  await promisify(execFile)(join(path, "initdb"), ["-D", data, "-U", "postgres", "-A", "trust", "--no-instructions"], {
    cwd: folder,
    env: { ...process.env, ...environment },
    ...owner,
  });
  const args = [
    "-D",
    data,
    "-c",
    "listen_addresses=",
    "-c",
    `unix_socket_directories=${socket}`,
    "-c",
    "max_connections=200",
  ];
  const running = start({
    program: join(path, "postgres"),
    args,
    folder,
    environment,
    ...(user !== null && { uid: user }),
  });
  return waited(running, join(socket, ".s.PGSQL.5432"), socket, [folder, socket]);
}

async function waited(running: Running, file: string, socket: string, folders: readonly string[]): Promise<Database> {
  const stop = async (): Promise<void> => {
    await running.stop();
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  };
  const giveUp = performance.now() + PATIENCE;
  while (!existsSync(file)) {
    if (performance.now() > giveUp) {
      await stop();
      throw new Error("its socket did not come");
    }
    await sleep(LOOK);
  }
  return { pid: running.pid, socket, stop };
}

/** Of a user of this machine. @throws {Error} there is none */
function numberOf(user: string): number {
  return Number(execFileSync("id", ["-u", user], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }));
}
