import { rmSync } from "node:fs";
import { SYSTEM } from "../../src/common/system.ts";

/**
 * Removes a test's folder. Tests close what they have opened after this: where a system removes no open file, the folder goes when the
 * process ends.
 */
export function removeFolder(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch (error) {
    if (SYSTEM.replacesOpenFiles) throw error;
    process.once("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  }
}
