/** How this copy of ALT_LAS came to be here, by which it is known where it keeps things and how its commands are called. */
import { existsSync } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { IS_PACKAGE } from "./started-module.ts";

/**
 * `clone`: of the repository. Else it is the package: `project`, a dependency of a folder that somebody made; `npx`, fetched for one
 * command and kept in a cache; `global`, for every folder.
 */
export type InstalledAs = "clone" | "project" | "npx" | "global";

export interface Installation {
  readonly as: InstalledAs;
  /** The folder with our package.json. */
  readonly root: string;
}

/** Folders in which npm, pnpm and Bun keep what was fetched for one command. */
const FOR_ONE_COMMAND = /[/\\](?:_npx|dlx(?:-[^/\\]*)?|bunx-[^/\\]*)[/\\]/;
/** Projects of their own in which pnpm, Yarn and Bun keep what is installed for every folder. */
const FOR_EVERY_FOLDER = /[/\\](?:pnpm|yarn|install)[/\\]global[/\\]/i;

/**
 * @param root the folder with our package.json
 * @param isPackage whether it is the package for npm
 * @param exists whether there is a file
 */
export function installationOf(
  root: string,
  isPackage: boolean,
  exists: (path: string) => boolean = existsSync,
): Installation {
  if (!isPackage) return { as: "clone", root };
  if (FOR_ONE_COMMAND.test(root)) return { as: "npx", root };
  // npm's own folder for every folder is nobody's project, so it has no package.json.
  const isProject = !FOR_EVERY_FOLDER.test(root) && exists(join(projectAround(root), "package.json"));
  return { as: isProject ? "project" : "global", root };
}

/** The folder whose `node_modules` has it, however deep: package managers nest them. */
function projectAround(root: string): string {
  const [outermost] = root.split(`${sep}node_modules${sep}`);
  return outermost === root ? dirname(root) : outermost!;
}

/** This copy. */
export const INSTALLATION = installationOf(resolve(fileURLToPath(new URL("../..", import.meta.url))), IS_PACKAGE);
