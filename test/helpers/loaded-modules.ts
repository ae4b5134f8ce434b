/** What a program loads: our modules and packages by their names, and which of Node's own are heavy. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./server.ts";

/** Options for Node, and the environment, of a program that is to leave its list in that file. */
export function listing(file: string): { readonly nodeArgs: string[]; readonly env: Record<string, string> } {
  return { nodeArgs: ["--import", join(ROOT, "test/helpers/list-modules.ts")], env: { MODULES: file } };
}

export interface Loaded {
  /** Paths in src. */
  readonly own: readonly string[];
  readonly packages: readonly string[];
  /** Parts of Node that take long to load, and that Node loads when they are asked for. */
  readonly heavy: readonly string[];
}

const HEAVY = { "NativeModule internal/deps/undici/undici": "undici" };

export function loadedBy(file: string): Loaded {
  const all = readFileSync(file, "utf8").split("\n");
  const packages = all.flatMap((url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? []);
  return {
    own: all.flatMap((url) => /\/src\/(.*)$/.exec(url)?.[1] ?? []),
    packages: [...new Set(packages)].toSorted(),
    heavy: Object.entries(HEAVY).flatMap(([name, what]) => (all.includes(name) ? [what] : [])),
  };
}
