/** The file of a model on this machine, as the GPUs are told of it. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { MAGIC, partsOf } from "../common/gguf.ts";
import { messageOf } from "../errors.ts";
import type { ModelFile } from "../gpu/served.ts";

/** Looks at the parts of a file, and at how the first one begins. @param path of the first part */
export function fileAt(path: string): ModelFile {
  try {
    const parts = partsOf(path).map((part) => ({ part, stats: statSync(part, { throwIfNoEntry: false }) }));
    const missing = parts.find(({ stats }) => stats === undefined);
    if (missing !== undefined) return { state: "failed", why: `The model file ${missing.part} does not exist.` };
    const bytes = parts.reduce((sum, { stats }) => sum + stats!.size, 0);
    const isModel = parts.every(({ stats }) => stats!.isFile()) && beginningOf(path) === MAGIC;
    return isModel ? { state: "there", path, bytes } : { state: "failed", why: `The model file ${path} is no GGUF file.` };
  } catch (error) {
    return { state: "failed", why: `The model file ${path} cannot be used: ${messageOf(error)}.` };
  }
}

/** Bytes of all parts, without ever waiting for the disk in the main thread; null: one cannot be looked at. */
export async function bytesAt(path: string): Promise<number | null> {
  try {
    const parts = await Promise.all(partsOf(path).map((part) => stat(part)));
    return parts.reduce((sum, { size }) => sum + size, 0);
  } catch {
    return null;
  }
}

function beginningOf(path: string): string {
  const bytes = Buffer.alloc(MAGIC.length);
  const file = openSync(path, "r");
  try {
    return bytes.toString("latin1", 0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}
