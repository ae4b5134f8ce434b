/** Which files have some bytes in them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Those below a folder whose bytes, whatever they are, have this text in UTF-8. */
export function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => contentOf(path).includes(text));
}

/** A file may go while it is looked for. */
function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
