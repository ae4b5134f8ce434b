/** Processor time: whose it was. From Linux's /proc; elsewhere nothing is known. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Milliseconds between two looks at whether a process has become quiet. */
const LOOK = 500;
/** Seconds of processor time in one `LOOK` up to which it is. */
const QUIET = 0.02;
/** Ticks a second in /proc, on every Linux that Node runs on (USER_HZ). */
export const TICKS = 100;

/** Seconds of processor time since their start. */
export interface CpuTime {
  /** The server's main thread. */
  readonly main: number;
  /** Its other threads: storage, garbage collection, … */
  readonly threads: number;
  /** Its child processes. */
  readonly workers: number;
}

/** null: this system does not tell. */
export function cpuTimeOf(pid: number): CpuTime | null {
  try {
    const main = secondsOf(`/proc/${pid}/task/${pid}`);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
    const workers = children.reduce((sum, child) => sum + secondsOfAll(child), 0);
    return { main, threads: secondsOfAll(pid) - main, workers };
  } catch {
    return null;
  }
}

/** What was used between two looks; null: this system does not tell. */
export function cpuBetween(before: CpuTime | null, after: CpuTime | null): CpuTime | null {
  if (before === null || after === null) return null;
  return {
    main: after.main - before.main,
    threads: after.threads - before.threads,
    workers: after.workers - before.workers,
  };
}

/** Seconds of processor time of a process since its start, without its children. NaN: this system does not tell. */
export function ownCpuOf(pid: number): number {
  const cpu = cpuTimeOf(pid);
  return cpu === null ? NaN : cpu.main + cpu.threads;
}

/** The same for some milliseconds from now. */
export async function cpuDuring(pid: number, milliseconds: number): Promise<number> {
  const before = ownCpuOf(pid);
  await sleep(milliseconds);
  return ownCpuOf(pid) - before;
}

/** Resolves when a process has done what it had to do; at once where the system does not tell. */
export async function untilQuiet(pid: number): Promise<void> {
  while ((await cpuDuring(pid, LOOK)) > QUIET);
}

/**
 * Starts watching what else runs on the machine. The function it returns says how many cores that has kept busy since; all child
 * processes begun meanwhile must have ended by then. null: this system does not tell.
 */
export function watchOthers(): () => number | null {
  const before = { all: busySeconds(), own: ownSeconds(), at: performance.now() };
  return () => {
    const own = ownSeconds();
    if (own === null || before.own === null) return null;
    const seconds = (performance.now() - before.at) / 1000;
    return Math.max(0, (busySeconds() - before.all - (own - before.own)) / seconds);
  };
}

/** Of all processes together, since the machine started. */
function busySeconds(): number {
  return cpus().reduce((sum, { times }) => sum + (times.user + times.nice + times.sys + times.irq) / 1000, 0);
}

/** Of this process and of its descendants that have ended. */
function ownSeconds(): number | null {
  try {
    const [user = 0, system = 0, childrenUser = 0, childrenSystem = 0] = ticksOf("/proc/self/stat");
    return (user + system + childrenUser + childrenSystem) / TICKS;
  } catch {
    return null;
  }
}

/** Of a process's threads. */
function secondsOfAll(pid: number | string): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + secondsOf(`/proc/${pid}/task/${thread}`), 0);
}

/** Of one thread: to the nanosecond where the system counts so, as a turn of a benchmark takes few ticks. */
/** Of those children of this process that have ended. NaN: this system does not tell. */
export function endedChildrenCpu(): number {
  try {
    const [, , user = 0, system = 0] = ticksOf("/proc/self/stat");
    return (user + system) / TICKS;
  } catch {
    return NaN;
  }
}

function secondsOf(thread: string): number {
  const schedstat = join(thread, "schedstat");
  if (existsSync(schedstat)) return Number(readFileSync(schedstat, "utf8").split(" ")[0]) / 1e9;
  const [user = 0, system = 0] = ticksOf(join(thread, "stat"));
  return (user + system) / TICKS;
}

/** Of the process or thread itself (in user code, in the system), then of its children that have ended. */
function ticksOf(path: string): number[] {
  // The name before ") " may hold anything.
  return readFileSync(path, "utf8").split(") ").at(-1)!.split(" ").slice(11, 15).map(Number);
}
