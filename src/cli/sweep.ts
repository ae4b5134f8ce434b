/** `alt-las sweep --now`: has the running server remove what is old enough. */
import { askServer } from "../control/client.ts";
import { AltLasError } from "../errors.ts";

/**
 * @returns one line: what was done
 * @throws {AltLasError} `bad_config` when no server runs there
 */
export async function sweepNow(dataDir: string): Promise<string> {
  const answer = await askServer(dataDir, "POST /sweep");
  if (answer === undefined) {
    throw new AltLasError("bad_config", `No server runs on ${dataDir}. A server removes what is old by itself.`);
  }
  const { held, tasks } = answer as { readonly held: boolean; readonly tasks: number };
  const removed =
    tasks === 1 ? "1 task was old enough and is removed." : `${tasks} tasks were old enough and are removed.`;
  return held ? `The wall clock is believed from now on. ${removed}` : removed;
}
