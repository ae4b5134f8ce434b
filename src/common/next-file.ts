/** The names under which files are written that take another one's place when they are whole. */
import { randomBytes } from "node:crypto";
import { readdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { wallTime } from "./clock.ts";

/** Milliseconds without a write after which nobody writes it any more. */
const LEFT = 60 * 60_000;

/** A new name beside a file. Files that killed processes left under such names are removed. */
export function nextName(path: string): string {
  try {
    removeLeft(path);
  } catch {
    // Whether a file can be written here shows when it is.
  }
  return `${path}.${randomBytes(6).toString("hex")}.tmp`;
}

function removeLeft(path: string): void {
  const folder = dirname(path);
  const start = `${basename(path)}.`;
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(start) || !/^[0-9a-f]{12}\.tmp$/.test(name.slice(start.length))) continue;
    const left = join(folder, name);
    const { mtimeMs } = statSync(left);
    if (wallTime() - mtimeMs > LEFT) rmSync(left, { force: true });
  }
}
