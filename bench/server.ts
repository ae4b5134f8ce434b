/** The real server as a child process, with a data directory of its own on the disk that holds the checkout. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { newApiKey } from "../src/auth/secrets.ts";
import type { Memory } from "./memory-probe.ts";

/** What the benchmarks make and may delete; git ignores it. */
export const CACHE = join(import.meta.dirname, "cache");
/** Arguments of Node that load the probe into a process with a channel to us; it answers any message. */
export const PROBE = ["--expose-gc", "--import", new URL("memory-probe.ts", import.meta.url).href];
const WORKER_PROBE = new URL("worker-probe.ts", import.meta.url).href;
const PROFILES = join(CACHE, "profiles");
const PROGRAM = join(import.meta.dirname, "..", "bin", "alt-las.js");

const LOG = "server.log";
/** Milliseconds in which a server is seen to have ended. */
const ENDING = 500;
/** Milliseconds for a model to load. */
const READY_TIMEOUT = 60_000;
const READY_CHECK = 10;

export interface ServerOptions {
  /** Absent: those of the configuration. */
  readonly devices?: string;
  /** Parts of a configuration file; JSON is YAML. */
  readonly config: object;
  /** Writes CPU profiles of all its threads and of its workers into bench/cache/profiles when it stops. */
  readonly profile?: boolean;
  /** Lets `memory` be asked. */
  readonly probe?: boolean;
  /** An admin's; absent: a new one. */
  readonly key?: string;
  /** More of its environment. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Another checkout's bin/alt-las.js; none: this one's. */
  readonly program?: string;
}

export interface BenchServer {
  readonly pid: number;
  readonly host: string;
  readonly port: number;
  /** Value of the `Authorization` header of every request: an admin's. */
  readonly authorization: string;
  /** Milliseconds from the start of the process to its first 200 of /readyz. */
  readonly readyAfter: number;
  /** Asks the API; @throws when the answer is not 2xx */
  ask<Answer>(path: string, body?: object, headers?: Readonly<Record<string, string>>): Promise<Answer>;
  /** What the server's main thread has when nothing is left to collect, which this does; for servers with `probe`. */
  memory(): Promise<Memory>;
  stop(): Promise<void>;
}

/** The Node that belongs to a checkout, as its `npm ci` brought it; this process's where it has none. @param program its bin/alt-las.js */
export function nodeOf(program: string): string {
  const own = join(dirname(program), "..", "node_modules", "node", "bin", "node");
  return existsSync(own) ? own : process.execPath;
}

/** Starts a server and resolves when every GPU is ready. */
export async function startServer({
  devices,
  config,
  profile = false,
  probe = false,
  program = PROGRAM,
  key = newApiKey(),
  environment = {},
}: ServerOptions): Promise<BenchServer> {
  mkdirSync(profile ? PROFILES : CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, "run-"));
  const configFile = join(folder, "config.json");
  writeFileSync(configFile, JSON.stringify(profile ? inherited(config) : config));
  const log = openSync(join(folder, LOG), "w");
  const profiling = profile ? ["--cpu-prof", `--cpu-prof-dir=${PROFILES}`] : [];
  const profilingWorkers = profile && { NODE_OPTIONS: `--import ${WORKER_PROBE}`, ALT_LAS_PROFILES: PROFILES };
  const probing = probe ? PROBE : [];
  const options = [
    "--config",
    configFile,
    "--data-dir",
    folder,
    ...(devices === undefined ? [] : ["--devices", devices]),
    "--host",
    "127.0.0.1",
    "--port",
    "0",
  ];
  const started = performance.now();
  const child = spawn(nodeOf(program), [...profiling, ...probing, program, "serve", ...options], {
    env: { ...process.env, ALT_LAS_API_KEY: key, ...profilingWorkers, ...environment },
    // The log goes to a file, as under a service manager: its price is part of what is measured.
    stdio: ["ignore", "pipe", log, probe ? "ipc" : "ignore"],
  });
  closeSync(log);
  try {
    const greeting = await greetingOf(child);
    const url = new URL(/listens on (\S+)/.exec(greeting)![1]!);
    await untilReady(url, child);
    const readyAfter = performance.now() - started;
    return serverAt(url, { authorization: `Bearer ${key}`, child, folder, readyAfter });
  } catch (error) {
    child.kill("SIGKILL");
    const said = lastWords(folder);
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`the server did not start: ${said}`, { cause: error });
  }
}

interface Started extends Pick<BenchServer, "authorization" | "readyAfter"> {
  readonly child: ChildProcess;
  readonly folder: string;
}

/** A configuration by which workers hear of the folder for profiles. */
function inherited(config: { readonly gpu?: object }): object {
  return { ...config, gpu: { ...config.gpu, worker_environment: ["ALT_LAS_PROFILES"] } };
}

function serverAt(url: URL, { authorization, readyAfter, child, folder }: Started): BenchServer {
  return {
    pid: child.pid!,
    host: url.hostname,
    port: Number(url.port),
    authorization,
    readyAfter,
    async ask<Answer>(path: string, body?: object, headers?: Readonly<Record<string, string>>): Promise<Answer> {
      const response = await fetch(new URL(path, url), {
        method: body === undefined ? "GET" : "POST",
        headers: { authorization, ...(body && { "content-type": "application/json" }), ...headers },
        ...(body && { body: JSON.stringify(body) }),
      }).catch(async (error: unknown) => {
        await sleep(ENDING);
        throw new Error(`${path}: no answer; the server ${stateOf(child)}: ${lastWords(folder)}`, { cause: error });
      });
      const answer: unknown = await response.json();
      if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
      return answer as Answer;
    },
    async memory(): Promise<Memory> {
      child.send("memory");
      const [memory] = await once(child, "message");
      return memory as Memory;
    },
    async stop(): Promise<void> {
      const gone = new Promise((resolve) => child.once("close", resolve));
      if (child.exitCode === null && child.signalCode === null && child.kill("SIGTERM")) await gone;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function stateOf({ exitCode, signalCode }: ChildProcess): string {
  if (exitCode === null && signalCode === null) return "runs";
  return signalCode === null ? `has ended with ${exitCode}` : `was ended by ${signalCode}`;
}

/** The end of its log. */
function lastWords(folder: string): string {
  return readFileSync(join(folder, LOG), "utf8").trim().split("\n").slice(-5).join("\n");
}

function greetingOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    child.stdout!.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
      // A server of a cluster has nothing to try yet.
      if (/listens on \S+\n/.test(text)) resolve(text);
    });
    child.once("close", (code) => reject(new Error(`exit code ${code}`)));
    child.once("error", reject);
  });
}

async function untilReady(url: URL, child: ChildProcess): Promise<void> {
  const giveUp = performance.now() + READY_TIMEOUT;
  while (child.exitCode === null && performance.now() < giveUp) {
    const { status } = await fetch(new URL("/readyz", url));
    if (status === 200) return;
    await sleep(READY_CHECK);
  }
  throw new Error("not ready in time");
}
