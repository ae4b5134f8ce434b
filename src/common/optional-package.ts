/* Packages of npm that are optional: an installation without them serves all that does not need them. */
import { AltLasError } from "../errors.ts";

/**
 * @param load imports the package @param sentence what needs it, and how it is installed
 * @throws {AltLasError} `bad_config`, with that sentence: the package is not installed
 */
export async function optionalPackage<Package>(load: () => Promise<Package>, sentence: string): Promise<Package> {
  try {
    return await load();
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new AltLasError("bad_config", sentence, { cause: error });
  }
}
