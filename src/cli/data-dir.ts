/** The data directory of a command: where it is, and whether there is anything of ALT_LAS in it. */
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { hasData } from "../common/data-folder.ts";
import { AltLasError } from "../errors.ts";
import { DEFAULT_DATA_DIR } from "../common/paste.ts";

/** Where a command looks. */
export interface DataDir {
  readonly path: string;
  /** By the command line or the environment. Else it is only `./data` of whatever folder one happens to be in. */
  readonly isNamed: boolean;
}

/** `--data-dir`; the environment variable ALT_LAS_DATA_DIR counts as well. */
export function dataDirOption(): Option {
  return new Option("--data-dir <folder>", "where tasks, users and keys are kept")
    .default(DEFAULT_DATA_DIR)
    .env("ALT_LAS_DATA_DIR");
}

/** @param command one that has `dataDirOption` */
export function dataDirOf(command: Command): DataDir {
  const path = command.getOptionValue("dataDir") as string;
  // Set to nothing counts as not set.
  if (path === "") return { path: DEFAULT_DATA_DIR, isNamed: false };
  return { path, isNamed: command.getOptionValueSource("dataDir") !== "default" };
}

/**
 * For commands that need data that is there.
 * @returns the folder
 * @throws {AltLasError} `bad_config`, naming the folder, when nothing of ALT_LAS is in it, or it is another user's
 */
export function existingData({ path, isNamed }: DataDir): string {
  if (hasData(path)) return path;
  const hint = isNamed ? "" : " Name the folder of your server with --data-dir.";
  throw new AltLasError("bad_config", `There is no ALT_LAS data in ${resolve(path)}; nothing was changed.${hint}`);
}

/**
 * For commands that may begin a data directory, where its folder was named.
 * @returns the folder, and a sentence that says so when there is nothing of ALT_LAS in it yet; else null
 * @throws {AltLasError} `bad_config` as `existingData`, when the folder was not named
 */
export function existingOrNewData(dataDir: DataDir): { readonly path: string; readonly begun: string | null } {
  const { path, isNamed } = dataDir;
  if (!isNamed || hasData(path)) return { path: existingData(dataDir), begun: null };
  return { path, begun: `There was no ALT_LAS data in ${resolve(path)}; this begins it.` };
}
