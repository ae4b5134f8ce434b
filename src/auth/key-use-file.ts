/** `key-use.json` in the data directory: when each key was used last. Only figures are lost with it. */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nextName } from "../common/next-file.ts";
import { readPlainFile } from "../common/plain-file.ts";
import { rename } from "../common/rename.ts";
import type { KeyUses } from "../store/accounts.ts";

/** The times, in ISO 8601, by SHA-256; empty where nothing can be read. */
export function readKeyUse(dataDir: string): Map<string, string> {
  try {
    const found: unknown = JSON.parse(readPlainFile(pathIn(dataDir)).toString("utf8"));
    const pairs = Object.entries(Object(found) as object);
    return new Map(pairs.filter((pair): pair is [string, string] => typeof pair[1] === "string"));
  } catch {
    return new Map();
  }
}

/** @throws what the system throws; the file is as it was then */
export async function writeKeyUse(dataDir: string, uses: KeyUses): Promise<void> {
  const path = pathIn(dataDir);
  const next = nextName(path);
  try {
    // A file of that name that is there already, or leads elsewhere, is not ours to write.
    await writeFile(next, JSON.stringify(Object.fromEntries(uses)), { mode: 0o600, flag: "wx" });
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true }).catch(() => undefined);
    throw error;
  }
}

function pathIn(dataDir: string): string {
  return join(dataDir, "key-use.json");
}
