/** How much memory a process has resident, at most, while it is watched. Linux tells; where nobody does, it is not known. */
import { readFileSync } from "node:fs";

/** Milliseconds between two looks. */
const LOOK_EVERY = 50;

export class MemoryWatch {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  #most: number | null = null;

  constructor(pid: number) {
    this.#pid = pid;
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY);
  }

  /** @returns bytes; null: not known */
  stop(): number | null {
    clearInterval(this.#timer);
    this.#look();
    return this.#most;
  }

  #look(): void {
    const now = residentBytes(this.#pid);
    if (now !== null) this.#most = Math.max(now, this.#most ?? 0);
  }
}

function residentBytes(pid: number): number | null {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kilobytes === undefined ? null : Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}
