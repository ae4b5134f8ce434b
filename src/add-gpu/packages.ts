/** llama.cpp's packages for GPUs, in node_modules. npm is asked for them, so that its registry, proxy and cache are used. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { npm } from "../common/npm.ts";
import { renameSync } from "../common/rename.ts";

/** The fields of a package's package.json. */
interface Package {
  readonly name: string;
  readonly version: string;
}

export function packageFolder(root: string, name: string): string {
  return join(root, "node_modules", name);
}

/** Of all of llama.cpp's packages here. */
export function llamaVersion(root: string): string {
  return readPackage(packageFolder(root, "node-llama-cpp"))!.version;
}

/** Brings a package, unless it is there. It has its place only when it is whole. @throws {Error} when npm cannot fetch it */
export function addPackage(root: string, name: string, say: (line: string) => void): void {
  const version = llamaVersion(root);
  const target = packageFolder(root, name);
  const present = readPackage(target);
  // The stand-in that `npm ci` puts there has another name.
  if (present?.name === name && present.version === version) return;
  const folder = mkdtempSync(join(tmpdir(), "alt-las-gpu-"));
  try {
    say(`Fetching ${name}@${version} …`);
    const packed = npm(["pack", "--json", "--pack-destination", folder, `${name}@${version}`]);
    const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
    const half = `${target}.part`;
    rmSync(half, { recursive: true, force: true });
    mkdirSync(half, { recursive: true });
    // By its name alone: the tar of Git for Windows takes what stands before a colon for another machine.
    execFileSync("tar", ["-xzf", filename, "-C", relative(folder, half), "--strip-components=1"], { cwd: folder });
    rmSync(target, { recursive: true, force: true });
    renameSync(half, target);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readPackage(folder: string): Package | null {
  const path = join(folder, "package.json");
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Package) : null;
}
