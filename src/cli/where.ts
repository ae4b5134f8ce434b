/** `alt-las where`: which folders and files this copy of ALT_LAS uses, and why those. */
import { said } from "../words/terminal.ts";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { hasData } from "../common/data-folder.ts";
import { SYSTEM } from "../common/system.ts";
import { INSTALLATION, type InstalledAs } from "../common/installation.ts";
import { ALT_LAS } from "../common/paste.ts";
import { type Place, userConfigFile } from "../common/places.ts";
import { configPlace, loadConfig } from "../config/config.ts";
import { SOCKET_NAME } from "../control/socket.ts";
import { messageOf } from "../errors.ts";
import { cacheFolder, whyCacheFolder } from "../models/environment.ts";
import { VERSION } from "../common/version.ts";
import type { DataDir } from "./data-dir.ts";
import { type Columns, padded, widthOf, wrapped } from "./table.ts";

/** The report that is printed with `--json`; a path is absolute, null: there is none. */
export interface WhereReport {
  readonly version: string;
  readonly installed: Place & { readonly as: InstalledAs };
  readonly data_directory: Place & { readonly has_data: boolean };
  readonly configuration: MaybePlace;
  readonly task_database: MaybePlace;
  readonly control_socket: MaybePlace;
  readonly model_cache: Place;
  readonly compiled_code: MaybePlace;
  /** Sentences about data elsewhere. */
  readonly notes: readonly string[];
}

interface MaybePlace extends Pick<Place, "why"> {
  readonly path: string | null;
}

export interface WhereOptions {
  readonly dataDir: DataDir;
  /** `--config`. */
  readonly config: string | undefined;
  readonly environment: NodeJS.ProcessEnv;
}

/** Looks, and changes nothing. A place that cannot be looked at is told as a reason, and keeps nothing else from being told. */
export function whereReport({ dataDir, config, environment }: WhereOptions): WhereReport {
  const folder = resolve(dataDir.path);
  const data = dataIn(folder);
  return {
    version: VERSION,
    installed: { path: INSTALLATION.root, why: INSTALLED[INSTALLATION.as], as: INSTALLATION.as },
    data_directory: { path: folder, why: `${dataDir.why}; ${data.words}`, has_data: data.has },
    configuration: configurationAt(config),
    task_database: databaseAt(folder, config),
    control_socket: socketAt(folder),
    model_cache: { path: cacheFolder(environment), why: whyCacheFolder(environment) },
    compiled_code: compiledAt(environment),
    notes: dataDir.notes,
  };
}

const INSTALLED: Readonly<Record<InstalledAs, string>> = {
  clone: "a clone of the repository",
  project: "the package, as a part of a project",
  npx: "the package, fetched for one command",
  global: "the package, for every folder",
};

function dataIn(folder: string): { readonly has: boolean; readonly words: string } {
  try {
    if (hasData(folder)) return { has: true, words: "it has data of ALT_LAS" };
    return { has: false, words: existsSync(folder) ? "nothing of ALT_LAS is in it" : "it is not there yet" };
  } catch (error) {
    return { has: false, words: messageOf(error) };
  }
}

function configurationAt(named: string | undefined): MaybePlace {
  const place = configPlace(named);
  if (place !== undefined)
    return { path: resolve(place.path), why: existsSync(place.path) ? place.why : `${place.why}; it is not there` };
  const user = userConfigFile();
  const looked = ["./config.yaml", ...(user === null ? [] : [user.path])].join(" nor ");
  return { path: null, why: `the defaults hold: there is ${user === null ? "no" : "neither"} ${looked}` };
}

function databaseAt(folder: string, config: string | undefined): MaybePlace {
  try {
    const { path } = loadConfig(config).store;
    if (path !== undefined) return { path: resolve(path), why: "by store.path" };
    return { path: join(folder, "alt-las.db"), why: "in the data directory, because store.path is not set" };
  } catch {
    return { path: null, why: `the configuration cannot be used; ${ALT_LAS} validate-config says why` };
  }
}

function socketAt(folder: string): MaybePlace {
  if (SYSTEM.localServers === "pipes")
    return { path: null, why: "a pipe named for the data directory takes its place" };
  const path = join(folder, SOCKET_NAME);
  return {
    path,
    why: `in the data directory; ${existsSync(path) ? "a server has made it" : "there while a server runs"}`,
  };
}

function compiledAt({ NODE_COMPILE_CACHE: path, NODE_DISABLE_COMPILE_CACHE: off }: NodeJS.ProcessEnv): MaybePlace {
  if (off) return { path: null, why: "NODE_DISABLE_COMPILE_CACHE is set" };
  return path
    ? {
        path: resolve(path),
        why: "what Node keeps of our code for the next start; by NODE_COMPILE_CACHE, or beside the packages",
      }
    : { path: null, why: "nothing is kept" };
}

/** The report for people. */
export function whereText({ version, notes, ...places }: WhereReport, columns: Columns): string {
  const rows = Object.entries(places).map(([name, place]) => [said(words(name)), place] as const);
  const width = Math.max(...rows.map(([label]) => widthOf(label)));
  const indentation = " ".repeat(width + 2);
  const lines = rows.map(
    ([label, { path, why }]) =>
      `${padded(label, width)}  ${path ?? said("none")}\n${wrapped(`(${said(why)})`, indentation, columns)}`,
  );
  return [`ALT_LAS ${version}`, ...lines, ...notes.map((note) => `\n${said(note)}`)].join("\n");
}

function words(name: string): string {
  return `${name.charAt(0).toUpperCase()}${name.slice(1).replaceAll("_", " ")}`;
}
