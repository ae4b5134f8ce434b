/** Commands in sentences, written so that they can be pasted into a shell. */
import { posix, win32 } from "node:path";
import { INSTALLATION } from "./installation.ts";
import { standardDataDir } from "./places.ts";
import { type System, SYSTEM } from "./system.ts";

const IS_PACKAGE = INSTALLATION.as !== "clone";

/** How the commands are called: from the folder of ALT_LAS, or from any where it was installed for all. */
export const ALT_LAS = INSTALLATION.as === "global" ? "alt-las" : "npx alt-las";

/** How a server is started. In a clone npm brings the Node that it runs on. */
export const START = IS_PACKAGE ? ALT_LAS : "npm start";

/** The command that brings what llama.cpp needs for a kind of GPU; the kind follows. */
export const ADD_GPU = IS_PACKAGE ? `${ALT_LAS} add-gpu` : "npm run add-gpu";

/** Between one of these commands and its options: npm takes for its own what stands before it. */
export const BEFORE_OPTIONS = IS_PACKAGE ? "" : " --";

/** A text, quoted where a shell would not take it for one word. On Windows as its shells both read it, where names of files have no quotes. */
export function shellWord(text: string, { hasShell }: System = SYSTEM): string {
  if (!hasShell) return /^[\p{L}\p{N}_.:\\/+=-]+$/u.test(text) ? text : `"${text}"`;
  return /^[\p{L}\p{N}_./:@%+=,-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * The command that gives a folder another name.
 * @param target `isEmptyFolder`: it is there, and has nothing in it; `parent`: the folder that it is to be in has to be made first
 */
export function moveCommand(
  from: string,
  to: string,
  target: { readonly isEmptyFolder: boolean; readonly parent: boolean },
  platform = SYSTEM.platform,
): string {
  const [source, destination] = [shellWord(from), shellWord(to)];
  if (platform === "win32") {
    const [made, word] = [win32.dirname(to), (path: string) => `"${path}"`];
    const before = target.isEmptyFolder ? `rmdir ${word(to)} && ` : target.parent ? `mkdir ${word(made)} && ` : "";
    return `${before}move ${word(from)} ${word(to)}`;
  }
  // mv would put it inside a folder that is there.
  const before = target.isEmptyFolder ? `rmdir ${destination} && ` : "";
  return `${target.parent ? `mkdir -p ${shellWord(posix.dirname(to))} && ` : before}mv ${source} ${destination}`;
}

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
  const isDefault = folder === standardDataDir().path && !process.env["ALT_LAS_DATA_DIR"];
  return isDefault ? "" : ` --data-dir ${shellWord(folder)}`;
}

/** The same, and `--config` with a file; undefined: none was named, or it need not be. */
export function placeWords(folder: string, configFile: string | undefined): string {
  return dataDirWords(folder) + (configFile === undefined ? "" : ` --config ${shellWord(configFile)}`);
}
