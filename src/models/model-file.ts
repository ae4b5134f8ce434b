/** The file of a model on this machine, as the GPUs are told of it. */
import { type Stats, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { partsOf } from "../common/gguf.ts";
import { messageOf } from "../errors.ts";
import { type ModelFile } from "../gpu/served.ts";

/** Looks at the parts of a file. @param path of the first part */
export function fileAt(path: string): ModelFile {
  try {
    return sumOf(
      path,
      partsOf(path).map((part) => statSync(part)),
    );
  } catch (error) {
    return absent(path, error);
  }
}

/** As `fileAt`, without ever waiting for the disk in the main thread. */
export async function fileNowAt(path: string): Promise<ModelFile> {
  try {
    return sumOf(path, await Promise.all(partsOf(path).map((part) => stat(part))));
  } catch (error) {
    return absent(path, error);
  }
}

function sumOf(path: string, parts: readonly Stats[]): ModelFile {
  return { state: "there", path, bytes: parts.reduce((sum, { size }) => sum + size, 0) };
}

function absent(path: string, error: unknown): ModelFile {
  return { state: "failed", why: `The model file ${path} cannot be used: ${messageOf(error)}.` };
}
