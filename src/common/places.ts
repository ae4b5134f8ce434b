/**
 * Where things are kept when nobody names a place. A clone, and the package as a part of somebody's project, keep them in the current
 * folder, which was made for that. A package for every folder follows the system's own places: else each folder in which the command is
 * typed would have users and tasks of its own.
 *
 * https://specifications.freedesktop.org/basedir-spec/latest/
 */
import { homedir } from "node:os";
import { posix, win32 } from "node:path";
import { type Installation, INSTALLATION } from "./installation.ts";
import { SYSTEM } from "./system.ts";

/** Facts that decide on the places. */
export interface Surroundings {
  readonly installation: Installation;
  readonly environment: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  /** null: the user has none. */
  readonly home: string | null;
}

/** A place, and the rule that led there. */
export interface Place {
  readonly path: string;
  /** The end of a sentence that begins with the path. */
  readonly why: string;
}

/** Where a clone looks, from the folder in which it is started. */
export const DATA_HERE = "./data";

/** Those of this process, now. */
export function surroundings(environment: NodeJS.ProcessEnv = process.env): Surroundings {
  return { installation: INSTALLATION, environment, platform: SYSTEM.platform, home: homeOf() };
}

/** null: the system knows no home of this user, as in a container that runs as a number. */
function homeOf(): string | null {
  try {
    return homedir() || null;
  } catch {
    return null;
  }
}

/** Whether data and configuration are those of the user, and not of the current folder. */
export function keepsForUser({ installation: { as }, ...rest }: Surroundings): boolean {
  return (as === "global" || as === "npx") && userPlace(rest, "data") !== null;
}

/** The data directory that nobody has named. */
export function standardDataDir(around: Surroundings = surroundings()): Place {
  const own = keepsForUser(around) ? userPlace(around, "data") : null;
  return own ?? { path: DATA_HERE, why: `in the current folder, ${whyHere(around.installation)}` };
}

function whyHere({ as }: Installation): string {
  if (as === "clone") return "as in every clone of the repository";
  if (as === "project") return "because the package is a part of a project";
  return "because this user has no home";
}

/** The configuration file beside `./config.yaml`, which goes before it; null: there is no other place. */
export function userConfigFile(around: Surroundings = surroundings()): Place | null {
  return keepsForUser(around) ? userPlace(around, "config") : null;
}

/** By kind of thing: the variable of XDG, which counts on every system, and the places below a home where it is not set. */
const KINDS = {
  data: {
    xdg: "XDG_DATA_HOME",
    inXdg: "alt-las",
    linux: ".local/share/alt-las",
    darwin: "Library/Application Support/alt-las/data",
    win32: ["LOCALAPPDATA", "AppData\\Local", "alt-las\\data"],
  },
  config: {
    xdg: "XDG_CONFIG_HOME",
    inXdg: "alt-las/config.yaml",
    linux: ".config/alt-las/config.yaml",
    darwin: "Library/Application Support/alt-las/config.yaml",
    win32: ["APPDATA", "AppData\\Roaming", "alt-las\\config.yaml"],
  },
  cache: {
    xdg: "XDG_CACHE_HOME",
    inXdg: "alt-las",
    linux: ".cache/alt-las",
    darwin: "Library/Caches/alt-las",
    win32: ["LOCALAPPDATA", "AppData\\Local", "alt-las\\cache"],
  },
} as const;

/** Where this user's things of a kind are; null: there is neither a variable that says so nor a home. */
export function userPlace(
  { environment, platform, home }: Omit<Surroundings, "installation">,
  kind: keyof typeof KINDS,
): Place | null {
  const places = KINDS[kind];
  const { join, isAbsolute } = platform === "win32" ? win32 : posix;
  const named = environment[places.xdg];
  // XDG: a path that is not absolute counts as none.
  if (named && isAbsolute(named)) return { path: join(named, places.inXdg), why: `by ${places.xdg}` };
  if (platform === "win32") {
    const [variable, below, rest] = places.win32;
    const folder = environment[variable] || (home === null ? null : join(home, below));
    return folder === null ? null : { path: join(folder, rest), why: "where Windows keeps a user's files of programs" };
  }
  if (home === null) return null;
  if (platform === "darwin")
    return { path: join(home, places.darwin), why: "where macOS keeps a user's files of programs" };
  return { path: join(home, places.linux), why: `in the home of this user, because ${places.xdg} is not set` };
}
