/** Why none of llama.cpp's builds that npm installs runs here. Asked only after none could be opened: it reads whole libraries. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SYSTEM } from "../../common/system.ts";
import { messageOf } from "../../errors.ts";

/** The C library that this process runs on. */
export interface SystemLibrary {
  readonly name: "glibc" | "musl" | "other";
  /** null: it does not tell. */
  readonly version: string | null;
}

/** The parts of Node's report that tell of it. */
interface Report {
  readonly header: { readonly glibcVersionRuntime?: string };
  readonly sharedObjects: readonly string[];
}

export function systemLibrary(): SystemLibrary {
  // Else it asks name servers for the names of all open connections.
  const report = process.report as typeof process.report & { excludeNetwork: boolean };
  report.excludeNetwork = true;
  const { header, sharedObjects } = report.getReport() as unknown as Report;
  if (header.glibcVersionRuntime !== undefined) return { name: "glibc", version: header.glibcVersionRuntime };
  return { name: sharedObjects.some((path) => /\bld-musl-/.test(path)) ? "musl" : "other", version: null };
}

const ADDON = "llama-addon.node";
const INSTEAD = "or set engine.kind: llama-server, which works with any build of llama.cpp";

/**
 * The end of a sentence that says that llama.cpp cannot be opened.
 * @param library null: there is nothing to know, as the system has one C library only
 * @param folder of the build that npm has installed for this system; null: there is none
 */
export function whyNoBuild(
  library: SystemLibrary | null = SYSTEM.platform === "linux" ? systemLibrary() : null,
  folder: string | null = buildFolder(),
): string {
  const here = `${SYSTEM.platform}-${process.arch}`;
  if (library?.name === "musl")
    return `this system's C library is musl, as on Alpine, and npm has builds of it for glibc only; use a system with glibc, such as Debian or Ubuntu, ${INSTEAD}`;
  if (folder === null)
    return `npm has installed no build of it for ${here}; if there is one, optional packages were left out, and npm i --include=optional brings it, ${INSTEAD}`;
  const needed = neededGlibc(folder);
  const { version } = library ?? { version: null };
  if (needed !== null && version !== null && isBelow(version, needed))
    return `this system's glibc is ${version}, and the build of it that npm has needs ${needed} or later; use a newer system, ${INSTEAD}`;
  return `the build of it that npm has for ${here} does not run on this machine (${loaderSays(join(folder, ADDON))}); use another system, ${INSTEAD}`;
}

/** null: npm has installed none. */
function buildFolder(): string | null {
  if (SYSTEM.platform !== "linux") return null;
  const name = `linux-${process.arch === "arm" ? "armv7l" : process.arch}`;
  try {
    const entry = fileURLToPath(import.meta.resolve(`@node-llama-cpp/${name}`));
    const folder = join(dirname(entry), "..", "bins", name);
    return readdirSync(folder).includes(ADDON) ? folder : null;
  } catch {
    return null;
  }
}

/** The newest version of glibc whose symbols the libraries there want; null: they want none. */
export function neededGlibc(folder: string): string | null {
  const files = readdirSync(folder).filter((name) => /\.(?:node|so)$/.test(name));
  const wanted = files.flatMap((name) =>
    Array.from(
      readFileSync(join(folder, name), "latin1").matchAll(/GLIBC_(\d+\.\d+)(?:\.\d+)?\0/g),
      ([, version]) => version!,
    ),
  );
  return wanted.reduce<string | null>((most, one) => (most === null || isBelow(most, one) ? one : most), null);
}

function isBelow(version: string, other: string): boolean {
  const [a, b] = [version, other].map((text) => text.split(".").map(Number));
  return a![0]! < b![0]! || (a![0] === b![0] && a![1]! < b![1]!);
}

/** In the words of the system's loader, which alone knows of other libraries that are missing or too old. */
function loaderSays(path: string): string {
  try {
    process.dlopen({ exports: {} }, path);
    return "though it can be loaded by itself";
  } catch (error) {
    return messageOf(error).split("\n")[0]!;
  }
}
