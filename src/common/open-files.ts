/** File descriptors of this process: connections are among them. */
import { readdirSync, readFileSync } from "node:fs";

export interface OpenFiles {
  /** How many it may have. */
  readonly limit: number;
  /** How many it has. */
  readonly open: number;
}

/** null: the system does not say it as Linux does, or there is no limit. */
export function openFiles(): OpenFiles | null {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return limit === undefined ? null : { limit: Number(limit), open: readdirSync("/proc/self/fd").length };
  } catch {
    return null;
  }
}
