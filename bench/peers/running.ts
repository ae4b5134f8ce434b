/** Programs of others that run: a process with all that it starts, its processor time and memory, and its end. From Linux's /proc. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { TICKS } from "../cpu-time.ts";

/** Milliseconds between two questions whether a program answers. */
const CHECK = 5;
/** Milliseconds for a program to answer first; LiteLLM takes half a minute on a slow machine. */
const PATIENCE = 60_000;
/** Milliseconds for a program to end by itself when it is asked to. */
const GRACE = 3000;
/** Lines of a program's log that tell why it did not start. */
const LAST_LINES = 4;

/** How a program is started. */
export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  /** Of the program alone; its log goes there as well. */
  readonly folder: string;
  /** Beside this process's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The number of the user whose process it becomes; absent: ours. */
  readonly uid?: number;
}

export interface Running {
  readonly pid: number;
  /** Ends it, and what it has started. */
  stop(): Promise<void>;
}

/** A program that answers HTTP requests. */
export interface Answering extends Running {
  /** Milliseconds from its start to its first answer with 200. */
  readonly readyAfter: number;
}

export function start({ program, args, folder, environment, uid }: Command): Running {
  const log = openSync(logOf(folder), "a");
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...process.env, ...environment },
    stdio: ["ignore", log, log],
    ...(uid !== undefined && { uid, gid: uid }),
  });
  closeSync(log);
  watch(child);
  // A program that is not there has no pid; whoever waits for an answer hears of it.
  child.on("error", () => {});
  return { pid: child.pid ?? -1, stop: () => end(child) };
}

/**
 * Starts a program and waits until it answers a request with 200.
 * @param request a whole HTTP request
 * @throws {Error} it does not, with the end of its log
 */
export async function startAnswering(command: Command, port: number, request: string): Promise<Answering> {
  const started = performance.now();
  const running = start(command);
  while (isAlive(running.pid) && performance.now() - started < PATIENCE) {
    if (await answers(port, request)) return { ...running, readyAfter: performance.now() - started };
    await sleep(CHECK);
  }
  await running.stop();
  const log = stripVTControlCharacters(readFileSync(logOf(command.folder), "utf8"));
  const said = log.trim().split("\n").slice(-LAST_LINES).join(" / ");
  throw new Error(`it did not answer; its last words: ${said || "none"}`);
}

/** Milliseconds behind the start after which what a process keeps is what it keeps. */
export const AT_REST = 6000;

/** Seconds of processor time of a process and all that it has started, as long as that lives. */
export function treeCpu(pid: number): number {
  return sumOf(pid, (each) => {
    const fields = readFileSync(`/proc/${each}/stat`, "utf8").split(") ").at(-1)!.split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  });
}

/** Bytes of resident memory of a process and all that it has started; what two of them share counts twice. */
export function treeMemory(pid: number): number {
  return sumOf(pid, (each) => {
    const [, kilobytes = "0"] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${each}/status`, "utf8")) ?? [];
    return Number(kilobytes) * 1024;
  });
}

function sumOf(pid: number, of: (pid: number) => number): number {
  return treeOf(pid).reduce((sum, each) => {
    try {
      return sum + of(each);
    } catch {
      // It has ended meanwhile.
      return sum;
    }
  }, 0);
}

/** Any thread may have started a process, not only the first one. */
function treeOf(pid: number): number[] {
  try {
    const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
    return [pid, ...children.flatMap(treeOf)];
  } catch {
    return [pid];
  }
}

function answers(port: number, request: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port }, () => socket.write(request));
    const done = (good: boolean): void => {
      socket.destroy();
      resolve(good);
    };
    socket.once("data", (bytes) => done(/^HTTP\/1\.[01] 200 /.test(bytes.toString("latin1"))));
    socket.once("error", () => done(false));
    socket.once("close", () => done(false));
  });
}

/** Programs that run; they would outlive a run that is broken off. */
const alive = new Set<ChildProcess>();

function watch(child: ChildProcess): void {
  if (alive.size === 0) for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, breakOff);
  alive.add(child);
  child.once("exit", () => {
    alive.delete(child);
    if (alive.size === 0) for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, breakOff);
  });
}

function breakOff(): void {
  for (const { pid } of alive) if (pid !== undefined) for (const each of treeOf(pid)) killed(each);
  process.exit(1);
}

async function end(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const tree = treeOf(pid);
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  await Promise.race([gone, sleep(GRACE, undefined, { ref: false })]);
  for (const each of tree) killed(each);
  await gone;
}

function killed(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function isAlive(pid: number): boolean {
  try {
    const state = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)![0];
    return state !== "Z" && state !== "X";
  } catch {
    return false;
  }
}

function logOf(folder: string): string {
  return join(folder, "log");
}
