/**
 * The disk of the data directory and the log, which can be made full: a tmpfs that is shrunk to what it holds. Where nothing may be
 * mounted, the server alone is forbidden to make any file longer (`prlimit --fsize`), which looks to it like a disk that is broken.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";

const SIZE = "1g";
const TRIES = 10;

export class Disk {
  readonly folder: string;
  readonly #how: "tmpfs" | "prlimit" | "nothing";

  /** @param folder empty */
  constructor(folder: string) {
    this.folder = folder;
    if (works("mount", "-t", "tmpfs", "-o", `size=${SIZE}`, "alt-las-chaos", folder)) this.#how = "tmpfs";
    else this.#how = works("prlimit", "--version") ? "prlimit" : "nothing";
  }

  get canFill(): boolean {
    return this.#how !== "nothing";
  }

  /** Whether a server can also be started while it is full. */
  get outlivesServers(): boolean {
    return this.#how === "tmpfs";
  }

  /** @param pids of the server's processes @returns false: it could not be done */
  fill(...pids: readonly number[]): boolean {
    if (this.#how === "prlimit")
      return pids.map((pid) => works("prlimit", "--pid", String(pid), "--fsize=1:unlimited")).includes(true);
    // More may be written between the look and the shrinking, which is refused then.
    for (let tries = 0; tries < TRIES; tries++)
      if (works("mount", "-o", `remount,size=${this.#used()}k`, this.folder)) return true;
    return false;
  }

  empty(...pids: readonly number[]): void {
    if (this.#how === "tmpfs") works("mount", "-o", `remount,size=${SIZE}`, this.folder);
    else for (const pid of pids) works("prlimit", "--pid", String(pid), "--fsize=unlimited:unlimited");
  }

  /** Databases that a server took for damaged. */
  damaged(): string[] {
    return readdirSync(this.folder, { recursive: true, encoding: "utf8" }).filter((name) => name.includes(".damaged-"));
  }

  close(): void {
    if (this.#how === "tmpfs") works("umount", "-l", this.folder);
  }

  #used(): number {
    const { stdout } = spawnSync("df", ["-k", "--output=used", this.folder], { encoding: "utf8" });
    // 0 would mean that there is no limit.
    return Math.max(4, Number(stdout.split("\n")[1]));
  }
}

function works(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}
