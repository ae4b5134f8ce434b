/** Processes as the system lists them, for tests that make sure none is left behind. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  /** Its title or command line. */
  readonly command: string;
}

/** Milliseconds between two looks; the system does not tell when a process that is not our child ends. */
const LOOK_EVERY = 20;

/** Everything that runs; those that have ended and were not collected yet don't count. */
export function processes(): Process[] {
  return existsSync("/proc/self/stat") ? fromProc() : fromPs();
}

export function childrenOf(parent: number): Process[] {
  return processes().filter((process) => process.parent === parent);
}

/** Resolves when nothing `isMeant` is true for runs any more. @throws {Error} naming what is left at the deadline */
export async function untilGone(isMeant: (process: Process) => boolean, deadline: AbortSignal): Promise<void> {
  for (;;) {
    const left = processes().filter(isMeant);
    if (left.length === 0) return;
    if (deadline.aborted) throw new Error(`still there: ${left.map(({ pid, command }) => `${pid} ${command}`).join()}`);
    await sleep(LOOK_EVERY);
  }
}

function fromProc(): Process[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      // The name stands in parentheses and may itself contain some.
      const [state, parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state === "Z" || state === "X") return [];
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      return [{ pid: Number(pid), parent: Number(parent), group: Number(group), command }];
    } catch {
      return []; // It ended while we looked.
    }
  });
}

function fromPs(): Process[] {
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid=,pgid=,state=,command="], { encoding: "utf8" });
  return [...stdout.matchAll(/^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/gm)]
    .filter(([, , , , state]) => !state!.startsWith("Z"))
    .map(([, pid, parent, group, , command]) => ({
      pid: Number(pid),
      parent: Number(parent),
      group: Number(group),
      command: command!,
    }));
}
