/** Where the values of a configuration come from. */
import { Template } from "./environment.ts";
import type { Path } from "./findings.ts";
import { leavesOf, valueAt } from "./keys.ts";
import type { Config } from "./schema.ts";

/**
 * `file`: the configuration file; `environment`: a variable that the file names; `option`: the command line; `runtime`: a change that was
 * made while the server ran; `default`: nobody has said anything.
 */
export const SOURCES = ["default", "file", "environment", "option", "runtime"] as const;
export type Source = (typeof SOURCES)[number];

/** By path, without those of `default`. */
export type Sources = ReadonlyMap<string, Source>;

/** A configuration is frozen, so what was found out when it was read stays true. */
const known = new WeakMap<Config, Sources>();

export function rememberSources(config: Config, sources: Sources): void {
  known.set(config, sources);
}

export function sourceOf(config: Config, path: Path): Source {
  return known.get(config)?.get(pathText(path)) ?? "default";
}

/** The same text for the same path. */
export function pathText(path: Path): string {
  return JSON.stringify(path.map(String));
}

/** @param written as the file has it, with its templates @param filled the same with values in their place */
export function sourcesInFile(written: unknown, filled: unknown): Map<string, Source> {
  const sources = new Map<string, Source>();
  for (const { path, value } of leavesOf(written)) {
    if ((valueAt(filled, path) ?? null) === null) continue;
    sources.set(pathText(path), value instanceof Template ? "environment" : "file");
  }
  return sources;
}
