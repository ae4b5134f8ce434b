/**
 * Where packages of PyPI come from on this machine: the indexes that pip would ask, by its environment and its files, so that a mirror
 * that is set for Python is used here too. https://pip.pypa.io/en/stable/topics/configuration/
 */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { type System, SYSTEM } from "./system.ts";

export interface PipSettings {
  /** Addresses of indexes ("simple" API), in the order in which they are asked. They may hold credentials. */
  readonly indexes: readonly string[];
  /** A file with further certificates to believe; null: those of the system and Node. */
  readonly certificates: string | null;
}

const PYPI = "https://pypi.org/simple";

export function pipSettings(environment: NodeJS.ProcessEnv, system: System = SYSTEM): PipSettings {
  const fromFiles = new Map<string, string>();
  // Later files win, as in pip.
  for (const path of settingsFiles(environment, system))
    for (const [key, value] of readSettings(path)) fromFiles.set(key, value);
  const setting = (key: string): string =>
    environment[`PIP_${key.toUpperCase().replaceAll("-", "_")}`] || fromFiles.get(key) || "";
  const indexes = [setting("index-url") || PYPI, ...setting("extra-index-url").split(/\s+/)];
  return { indexes: [...new Set(indexes.filter((url) => url !== ""))], certificates: setting("cert") || null };
}

function settingsFiles(environment: NodeJS.ProcessEnv, { platform }: System): string[] {
  const { PIP_CONFIG_FILE: named, XDG_CONFIG_HOME, XDG_CONFIG_DIRS, VIRTUAL_ENV, APPDATA, PROGRAMDATA } = environment;
  // pip's own word for "read none".
  if (named === "/dev/null" || named === "nul") return [];
  const home = environment["HOME"] || homedir();
  const files =
    platform === "win32"
      ? [PROGRAMDATA, APPDATA].flatMap((folder) => (folder ? [join(folder, "pip", "pip.ini")] : []))
      : [
          ...(XDG_CONFIG_DIRS || "/etc/xdg").split(":").map((folder) => join(folder, "pip", "pip.conf")),
          "/etc/pip.conf",
          join(home, ".pip", "pip.conf"),
          join(XDG_CONFIG_HOME || join(home, ".config"), "pip", "pip.conf"),
        ];
  if (VIRTUAL_ENV) files.push(join(VIRTUAL_ENV, platform === "win32" ? "pip.ini" : "pip.conf"));
  return named ? [...files, named] : files;
}

/** Of the sections that hold for `pip download`; a line that is indented belongs to the one before it. */
function readSettings(path: string): Map<string, string> {
  const settings = new Map<string, string>();
  let section = "";
  let last = "";
  for (const line of textOf(path).split(/\r?\n/)) {
    if (/^\s*([#;]|$)/.test(line)) continue;
    const [, heading] = /^\[(.+)\]\s*$/.exec(line) ?? [];
    const [, key, value = ""] = /^([^\s=:][^=:]*?)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? [];
    if (heading !== undefined) section = heading.trim();
    else if (section !== "global" && section !== "download") continue;
    else if (/^\s/.test(line)) settings.set(last, `${settings.get(last) ?? ""} ${line.trim()}`);
    else if (key !== undefined) {
      last = key.toLowerCase().replaceAll("_", "-");
      settings.set(last, value);
    }
  }
  return settings;
}

/** A file that is not there, or not for us, sets nothing. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
