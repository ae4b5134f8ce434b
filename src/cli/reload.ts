/** `alt-las reload`: has the running server read its configuration again. */
import { type ReloadReport, reloadWords } from "../config/config.ts";
import { askServer } from "../control/client.ts";
import { AltLasError } from "../errors.ts";

/**
 * @returns what is in force now, and what counts from the next start
 * @throws {AltLasError} `bad_config` when no server runs there; what is wrong with the configuration, which changes nothing then
 */
export async function reloadNow(dataDir: string): Promise<string> {
  const answer = await askServer(dataDir, "POST /reload");
  if (answer === undefined) {
    throw new AltLasError(
      "bad_config",
      `No server runs on ${dataDir}. A server reads its configuration when it starts.`,
    );
  }
  return reloadWords(answer as ReloadReport);
}
