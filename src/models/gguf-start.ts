/** Whether a file begins as a GGUF file does. */
import { open } from "node:fs/promises";
import { MAGIC } from "../common/gguf.ts";

/** false also for one that cannot be read. */
export async function isGguf(path: string): Promise<boolean> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0);
    return buffer.toString("latin1", 0, bytesRead) === MAGIC;
  } catch {
    return false;
  }
}
