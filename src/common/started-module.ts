/**
 * The modules that are started, in a thread or as a process, and not imported. A clone runs TypeScript as it is, the package on npm runs
 * what the compiler made of it. The compiler renames what is imported, and knows nothing of what is started.
 */

/** The ending of our modules' names, here. */
const ENDING = import.meta.url.slice(import.meta.url.lastIndexOf("."));

/** Whether this is the package as npm installs it, and not a clone of the repository. */
export const IS_PACKAGE = ENDING !== ".ts";

/**
 * Where a module of ours is that is to be started.
 * @param name its path from the module that asks, without its ending: "./thread"
 * @param from `import.meta.url` of the module that asks
 */
export function startedModule(name: string, from: string): URL {
  return new URL(name + ENDING, from);
}
