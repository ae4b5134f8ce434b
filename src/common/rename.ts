/**
 * Renaming, for all of src. Windows replaces no file that somebody has open, and others open files for moments: a virus scanner, the indexer,
 * a command that reads what a server is about to replace. So there a rename that was refused is tried again for a while.
 */
import { renameSync as systemRenameSync } from "node:fs";
import { rename as systemRename } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { type System, SYSTEM } from "./system.ts";

/** Error codes for a file that is open, on Windows. */
const IN_USE: ReadonlySet<string | undefined> = new Set(["EPERM", "EACCES", "EBUSY"]);
/** Milliseconds before each further try: a second in all. */
const PAUSES: readonly number[] = [10, 20, 40, 80, 150, 300, 400];

/** Parts that a test replaces. */
interface Renaming {
  readonly system?: System;
  readonly move?: (from: string, to: string) => void;
  readonly pauses?: readonly number[];
}

/** As node:fs has it; a refusal for an open file stands still for a second at most. @throws what the system says */
export function renameSync(from: string, to: string, options: Renaming = {}): void {
  const { move = systemRenameSync } = options;
  for (const wait of pausesOf(options)) {
    try {
      return move(from, to);
    } catch (error) {
      if (!isInUse(error)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, wait);
    }
  }
  move(from, to);
}

/** As node:fs/promises has it. @throws what the system says */
export async function rename(from: string, to: string): Promise<void> {
  for (const wait of pausesOf({})) {
    try {
      return await systemRename(from, to);
    } catch (error) {
      if (!isInUse(error)) throw error;
      await pause(wait);
    }
  }
  await systemRename(from, to);
}

function pausesOf({ system = SYSTEM, pauses = PAUSES }: Renaming): readonly number[] {
  return system.replacesOpenFiles ? [] : pauses;
}

function isInUse(error: unknown): boolean {
  return IN_USE.has((error as NodeJS.ErrnoException).code);
}
