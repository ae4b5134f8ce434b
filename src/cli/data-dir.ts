/** The data directory of a command: where it is, and whether there is anything of ALT_LAS in it. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Command, Option } from "commander";
import { hasData } from "../common/data-folder.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { ALT_LAS, moveCommand } from "../common/paste.ts";
import { DATA_HERE, type Place, standardDataDir, type Surroundings, surroundings } from "../common/places.ts";

/** Where a command looks. */
export interface DataDir extends Place {
  /** By the command line or the environment. Else it is only where one looks that was named by nobody. */
  readonly isNamed: boolean;
  /** Sentences about data in another place that somebody may look for here. */
  readonly notes: readonly string[];
}

const VARIABLE = "ALT_LAS_DATA_DIR";

/** `--data-dir`; the environment variable ALT_LAS_DATA_DIR counts as well. */
export function dataDirOption(): Option {
  return new Option("--data-dir <folder>", "where tasks, users and keys are kept")
    .default(standardDataDir().path)
    .env(VARIABLE);
}

/** @param command one that has `dataDirOption` */
export function dataDirOf(command: Command): DataDir {
  const path = command.getOptionValue("dataDir") as string;
  const source = command.getOptionValueSource("dataDir");
  // Set to nothing counts as not set.
  if (path === "" || source === "default") return unnamedDataDir();
  return { path, why: `named by ${source === "env" ? VARIABLE : "--data-dir"}`, isNamed: true, notes: [] };
}

/** As `dataDirOf`, for commands without that option. */
export function usualDataDir(): DataDir {
  const path = process.env[VARIABLE];
  return path ? { path, why: `named by ${VARIABLE}`, isNamed: true, notes: [] } : unnamedDataDir();
}

/**
 * Where to look when nobody has named a folder. Until 0.2.0 this was `./data` of whatever folder, so data that is there is used before
 * anything else: a new version must not begin anew beside it.
 */
export function unnamedDataDir(around: Surroundings = surroundings()): DataDir {
  const standard = { ...standardDataDir(around), isNamed: false };
  if (standard.path === DATA_HERE) return { ...standard, notes: [] };
  const here = resolve(DATA_HERE);
  try {
    if (!hasData(here)) return { ...standard, notes: [] };
  } catch (error) {
    return { ...standard, notes: [messageOf(error)] };
  }
  const why = "in the current folder, because it has data of ALT_LAS, as every version before 0.2.0 kept it";
  return { path: here, why, isNamed: false, notes: [moving(here, standard.path)] };
}

/** How data comes from the current folder to its usual place. */
function moving(here: string, standard: string): string {
  const usual = `The usual place of this installation is ${standard}`;
  const taken = contentOf(standard);
  if (taken === "data")
    return `${usual}, which has data of ALT_LAS, too. To use that, start in another folder, or with --data-dir.`;
  if (taken === "other")
    return `${usual}, which is not empty; what is in it is not of ALT_LAS, and nothing is moved there.`;
  const move = moveCommand(here, standard, {
    isEmptyFolder: taken === "nothing",
    parent: !existsSync(dirname(standard)),
  });
  return `${usual}. To move the data there, with no server running: ${move}`;
}

function contentOf(folder: string): "absent" | "nothing" | "data" | "other" {
  try {
    if (!existsSync(folder)) return "absent";
    if (hasData(folder)) return "data";
    return readdirSync(folder).length === 0 ? "nothing" : "other";
  } catch {
    return "other";
  }
}

/**
 * For commands that need data that is there.
 * @returns the folder
 * @throws {AltLasError} `bad_config`, naming the folder, when nothing of ALT_LAS is in it, or it is another user's
 */
export function existingData({ path, isNamed }: Pick<DataDir, "path" | "isNamed">): string {
  if (hasData(path)) return path;
  const hint = isNamed
    ? ""
    : ` Name the folder of your server with --data-dir; ${ALT_LAS} where says where this looks.`;
  throw new AltLasError("bad_config", `There is no ALT_LAS data in ${resolve(path)}; nothing was changed.${hint}`);
}

/**
 * For commands that may begin a data directory, where its folder was named.
 * @returns the folder, and a sentence that says so when there is nothing of ALT_LAS in it yet; else null
 * @throws {AltLasError} `bad_config` as `existingData`, when the folder was not named
 */
export function existingOrNewData(dataDir: Pick<DataDir, "path" | "isNamed">): {
  readonly path: string;
  readonly begun: string | null;
} {
  const { path, isNamed } = dataDir;
  if (!isNamed || hasData(path)) return { path: existingData(dataDir), begun: null };
  return { path, begun: `There was no ALT_LAS data in ${resolve(path)}; this begins it.` };
}
