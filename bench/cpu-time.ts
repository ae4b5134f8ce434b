/** Processor time of a process tree, from Linux's /proc; elsewhere nothing is known. */
import { readdirSync, readFileSync } from "node:fs";

/** Ticks a second in /proc, on every Linux that Node runs on (USER_HZ). */
const TICKS = 100;

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
    const main = secondsOf(`/proc/${pid}/task/${pid}/stat`);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
    const workers = children.reduce((sum, child) => sum + secondsOf(`/proc/${child}/stat`), 0);
    const threads = readdirSync(`/proc/${pid}/task`).reduce(
      (sum, thread) => sum + secondsOf(`/proc/${pid}/task/${thread}/stat`),
      -main,
    );
    return { main, threads, workers };
  } catch {
    return null;
  }
}

function secondsOf(path: string): number {
  // After the name, which may hold anything: state, 10 other fields, then the user's and the system's ticks.
  const fields = readFileSync(path, "utf8").split(") ").at(-1)!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}
