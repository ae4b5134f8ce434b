/** The resources that another process uses, as the kernel tells them. */
import { readFileSync } from "node:fs";

export interface ProcessUse {
  /** Since it started. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** Clock ticks a second in what the kernel shows (`USER_HZ`, the same on all machines). */
const TICKS = 100;

/** Sources: proc_pid_stat(5) and proc_pid_status(5). null: it has ended, or the system is not Linux. */
export function useOf(pid: number): ProcessUse | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    // The name stands in parentheses and may itself contain some; utime and stime are the 14th and 15th field.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? "0";
    return {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS,
      residentBytes: Number(kilobytes) * 1024,
    };
  } catch {
    return null;
  }
}
