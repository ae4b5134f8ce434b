/** Files that a configuration names and that a server would miss. Not asked at a start: there a GPU without its model is listed with why. */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { messageOf } from "../errors.ts";
import { MAGIC } from "../common/gguf.ts";
import { fieldName } from "../common/validation.ts";
import { parseSource } from "../models/source.ts";
import { deviceEntries, type PlacedEntry } from "./devices.ts";
import type { DeviceEngine } from "../engine/engine.ts";
import { engineTraits } from "../engine/kinds.ts";
import type { Finding, Path } from "./findings.ts";
import type { ModelSettings } from "./models-section.ts";
import type { Config } from "./schema.ts";

/** Files that are missing, or that this user cannot read or run. */
export function checkFiles(config: Config): Finding[] {
  const { cert, key, client_ca: clientCa } = config.server.tls;
  const { path } = config.store;
  return [
    ...deviceEntries(config).flatMap((placed) => checkEngine(config, placed)),
    ...config.models.flatMap((model, index) => checkSource(config, model, ["models", index, "source"])),
    ...faultOf(["server", "tls", "cert"], cert, readable),
    ...faultOf(["server", "tls", "key"], key, readable),
    ...faultOf(["server", "tls", "client_ca"], clientCa, readable),
    ...faultOf(["tls", "ca"], config.tls.ca, readable),
    ...faultOf(["server", "socket"], config.server.socket, inFolder),
    ...faultOf(["store", "path"], path, inFolder),
  ];
}

/** Sources that are fetched are not asked for. */
function checkSource(config: Config, { source, engine }: ModelSettings, path: Path): Finding[] {
  const isFile = engineTraits(engine?.kind ?? config.engine.kind).model === "file";
  return isFile && source !== undefined && parseSource(source).kind === "path" ? faultOf(path, source, gguf) : [];
}

/** The model and the program of an entry; each is its own, or that of all. */
function checkEngine(config: Config, { path, entry }: PlacedEntry): Finding[] {
  const { kind = config.engine.kind, model, binary } = entry.engine ?? {};
  const engine = engineTraits(kind);
  if (engine.model !== "file" || String(entry.gpu).startsWith("simulated:")) return [];
  const own = (name: string, value: unknown): Path =>
    value === undefined ? ["engine", name] : [...path, "engine", name];
  // The name of a model on a server is no file.
  const shared = engineTraits(config.engine.kind).model === "name" ? undefined : config.engine.model;
  return [
    ...faultOf(own("model", model), model ?? shared, gguf),
    ...(engine.startsProgram ? faultOf(own("binary", binary), binary ?? config.engine.binary, runnable) : []),
  ];
}

/** Reasons that will keep an engine from loading, as far as its files show them beforehand. */
export interface EngineFault {
  readonly key: "model" | "binary";
  readonly sentence: string;
}

/** The same for the engine of one device, with its defaults: what `validate-config` would find. */
export function engineFault(engine: Pick<DeviceEngine, "kind" | "model" | "binary">): EngineFault | null {
  const { kind, model, binary } = engine;
  const traits = engineTraits(kind);
  if (traits.model !== "file") return null;
  const looks = [
    ["binary", binary, runnable],
    ["model", model, gguf],
  ] as const;
  for (const [key, value, look] of traits.startsProgram ? looks : looks.slice(1))
    for (const { sentence } of faultOf(["engine", key], value, look)) return { key, sentence };
  return null;
}

/** @param look throws, or returns what is wrong; null: nothing */
function faultOf(path: Path, value: string | undefined, look: (value: string) => string | null): Finding[] {
  if (value === undefined) return [];
  const fault = look(value);
  return fault === null ? [] : [{ path, sentence: `${fieldName(path, "")} is ${value}, ${fault}.` }];
}

function gguf(path: string): string | null {
  const fault = readable(path);
  if (fault !== null) return fault;
  const file = openSync(path, "r");
  const bytes = Buffer.alloc(MAGIC.length);
  try {
    readSync(file, bytes, 0, bytes.length, 0);
  } finally {
    closeSync(file);
  }
  return bytes.toString("latin1") === MAGIC ? null : "which is no GGUF file";
}

function readable(path: string): string | null {
  try {
    if (!statSync(path).isFile()) return "which is no file";
    accessSync(path, constants.R_OK);
    return null;
  } catch (error) {
    return faultIn(error);
  }
}

/** The file itself, or the socket, is made by a start. */
function inFolder(path: string): string | null {
  try {
    accessSync(dirname(path), constants.W_OK);
    return null;
  } catch (error) {
    return isAbsent(error) ? "whose folder does not exist" : faultIn(error);
  }
}

/** A name without a folder is looked for as a shell would. */
function runnable(program: string): string | null {
  const folders = program.includes("/") ? [""] : (process.env["PATH"] ?? "").split(delimiter);
  if (folders.some((folder) => canRun(join(folder, program)))) return null;
  return program.includes("/") ? "which is no program that can be run" : "which no folder of PATH has";
}

function canRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isAbsent(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
}

function faultIn(error: unknown): string {
  return isAbsent(error) ? "which does not exist" : `which cannot be used (${messageOf(error)})`;
}
