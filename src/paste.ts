/** Commands in sentences, written so that they can be pasted into a shell. */

/** How the commands are called from the folder of ALT_LAS, also where nothing was installed for the whole machine. */
export const ALT_LAS = "npx alt-las";

/** A word as a shell takes it for one, whatever is in it. */
export function shellWord(text: string): string {
  return /^[\p{L}\p{N}_./:@%+=,-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Where the default is meant there is nothing to name. */
export const DEFAULT_DATA_DIR = "./data";

/**
 * `--data-dir` with a folder, as the end of a command.
 * @returns "" for the folder that a command takes by itself, when nobody named another one in the environment
 */
export function dataDirWords(folder: string): string {
  const isDefault = ["./data", "data", ""].includes(folder) && !process.env["ALT_LAS_DATA_DIR"];
  return isDefault ? "" : ` --data-dir ${shellWord(folder)}`;
}
