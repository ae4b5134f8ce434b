/** Which program `engine.binary` means. */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { SYSTEM } from "../../common/system.ts";
import { EngineFailure } from "../failures.ts";

/**
 * The path of a program that is named by a path, or is looked for on PATH.
 * @throws {EngineFailure} `model_error` when there is none that can be run
 */
export async function findBinary(binary: string): Promise<string> {
  if (/[/\\]/.test(binary)) {
    const fault = await faultOf(resolve(binary));
    if (fault === null) return resolve(binary);
    throw new EngineFailure("model_error", `engine.binary is ${binary}, which ${fault}.`);
  }
  const places = (process.env.PATH ?? "").split(delimiter).filter((place) => place !== "");
  for (const place of places) {
    for (const name of namesOf(binary)) if ((await faultOf(join(place, name))) === null) return join(place, name);
  }
  const sentence = `engine.binary is ${binary}, but no program of that name is on PATH; install llama.cpp's server, or give its path.`;
  throw new EngineFailure("model_error", sentence);
}

function namesOf(binary: string): string[] {
  return SYSTEM.programEndings.map((ending) => binary + ending);
}

/** The fault of a program, as the end of a sentence; null: it can be run. */
async function faultOf(path: string): Promise<string | null> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) return found.code === "ENOENT" ? "does not exist" : `cannot be read: ${found.message}`;
  if (!found.isFile()) return "is not a file";
  const executable = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
  return executable ? null : "is not executable";
}
