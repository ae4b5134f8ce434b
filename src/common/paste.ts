/** Commands in sentences, written so that they can be pasted into a shell. */

import { IS_PACKAGE } from "./started-module.ts";

/** How the commands are called from the folder of ALT_LAS, also where nothing was installed for the whole machine. */
export const ALT_LAS = "npx alt-las";

/** How a server is started. In a clone npm brings the Node that it runs on. */
export const START = IS_PACKAGE ? ALT_LAS : "npm start";

/** The command that brings what llama.cpp needs for a kind of GPU; the kind follows. */
export const ADD_GPU = IS_PACKAGE ? `${ALT_LAS} add-gpu` : "npm run add-gpu";

/** Between one of these commands and its options: npm takes for its own what stands before it. */
export const BEFORE_OPTIONS = IS_PACKAGE ? "" : " --";

/** A text, quoted where a shell would not take it for one word. */
export function shellWord(text: string): string {
  return /^[\p{L}\p{N}_./:@%+=,-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Where a server and the commands look when nobody names a folder. */
export const DEFAULT_DATA_DIR = "./data";

/**
 * How a server is started again.
 * @param given the options that it was started with; one that `changed` names too is left out
 * @param changed options with what they shall be; in capitals what the reader puts in
 */
export function startCommand(
  given: ReadonlyMap<string, string>,
  changed: Readonly<Record<string, string>> = {},
): string {
  const kept = [...given].filter(([name]) => !Object.hasOwn(changed, name));
  const words = [...kept, ...Object.entries(changed)].flatMap(([name, value]) => [name, shellWord(value)]);
  return [START + (words.length > 0 ? BEFORE_OPTIONS : ""), ...words].join(" ");
}

/**
 * `--data-dir` with a folder, as the end of a command.
 * @returns "" for the folder that a command takes by itself, when nobody named another one in the environment
 */
export function dataDirWords(folder: string): string {
  const isDefault = folder === DEFAULT_DATA_DIR && !process.env["ALT_LAS_DATA_DIR"];
  return isDefault ? "" : ` --data-dir ${shellWord(folder)}`;
}
