/** The process ids of our workers, as a driver may give them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * All numbers under which the kernel knows a process: one for each PID namespace, from that of `procRoot` inwards, so that a driver
 * which counts in an outer namespace is understood where the kernel shows it. Source: `NSpid` in proc_pid_status(5).
 *
 * @returns `[pid]` where the kernel does not tell, as on other systems than Linux
 */
export async function visiblePids(pid: number, procRoot = "/proc"): Promise<readonly number[]> {
  const status = await readFile(join(procRoot, String(pid), "status"), "utf8").catch(() => "");
  const numbers = /^NSpid:((?:\s+\d+)+)$/m.exec(status)?.[1];
  return numbers === undefined ? [pid] : [...new Set([pid, ...numbers.trim().split(/\s+/).map(Number)])];
}
