/* Restoring a backup: into a folder of its own, checked whole, and only then under its name. */
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readdirSync } from "node:fs";
import { type FileHandle, mkdir, mkdtemp, open, rm, rmdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import tar, { type Entry } from "tar-stream";
import { pathFault } from "../common/file-words.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { rename } from "../common/rename.ts";
import { syncFolder } from "../common/sync.ts";
import { type System, SYSTEM } from "../common/system.ts";
import { forgetMissingFiles } from "../models/pulled.ts";
import { knownSchema } from "../store/sqlite/upgrade.ts";
import { misfitOf } from "../common/validation.ts";
import { DATABASE, FILES, isBackupName, MANIFEST, type Manifest, MAX_MANIFEST, validateManifest } from "./archive.ts";

/** The content of the tar file. */
interface Found {
  readonly size: number;
  readonly sha256: string;
}

/**
 * Restores a backup.
 * @param file as `alt-las backup` wrote it
 * @param dataDir does not exist, or is empty. It appears whole or not at all
 * @throws {AltLasError} `bad_config`, saying what is wrong with the file or the folder
 */
export async function restoreBackup(file: string, dataDir: string, system: System = SYSTEM): Promise<Manifest> {
  const target = resolve(dataDir);
  const folder = await beginFolder(dataDir, file);
  try {
    const manifest = await unpack(file, folder);
    forgetMissingFiles(folder);
    if (existsSync(join(folder, FILES))) syncFolder(join(folder, FILES));
    syncFolder(folder);
    // Elsewhere a folder takes an empty one's place; what is not empty is not removed by this.
    if (!system.replacesOpenFiles && existsSync(target)) await rmdir(target).catch(() => undefined);
    await rename(folder, target).catch((error: NodeJS.ErrnoException) => {
      refuseData(dataDir);
      throw refusal(`${dataDir} cannot be made (${error.code}). Name a folder that does not exist yet.`);
    });
    syncFolder(dirname(target));
    return manifest;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error instanceof AltLasError ? error : refusal(unreadable(file, error));
  }
}

/** Asks for the file before a folder is made for it. @throws {AltLasError} `bad_config` */
async function beginFolder(dataDir: string, file: string): Promise<string> {
  const target = resolve(dataDir);
  if (!existsSync(file)) throw refusal(`There is no file ${file}.`);
  try {
    refuseData(dataDir);
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    return await mkdtemp(`${target}.restoring-`);
  } catch (error) {
    throw error instanceof AltLasError
      ? error
      : refusal(`${dataDir} cannot be made: ${pathFault(error)}. Name another folder.`);
  }
}

/** The system's own errors say what is wrong with a file; the words of whatever takes it apart mean nothing to those who read them. */
function unreadable(file: string, error: unknown): string {
  const { syscall } = error as NodeJS.ErrnoException;
  if (syscall !== undefined) return `${file} cannot be restored: ${messageOf(error)}.`;
  return `${file} is no whole backup of ALT_LAS: it is cut off, damaged, or another kind of file.`;
}

function refuseData(dataDir: string): void {
  if (!existsSync(dataDir) || readdirSync(dataDir).length === 0) return;
  throw refusal(`${dataDir} is not empty. A backup is restored into a new folder only; nothing was changed.`);
}

/** Writes the files of a backup into a folder, and checks each of them against the manifest. */
async function unpack(file: string, folder: string): Promise<Manifest> {
  const found = new Map<string, Found>();
  let manifest: Manifest | undefined;
  const extract = tar.extract();
  const input = createReadStream(file);
  input.on("error", (error) => extract.destroy(error));
  input.pipe(extract);
  for await (const entry of extract) {
    const { name, type } = entry.header;
    const isFile = type === "file" && (name === MANIFEST || isBackupName(name));
    if (!isFile || found.has(name)) throw refusal(`${file} is no backup of ALT_LAS: it holds ${JSON.stringify(name)}.`);
    if (name === MANIFEST) {
      if (manifest !== undefined) throw refusal(`${file} is damaged: it has two manifests.`);
      manifest = await readManifest(entry, file);
    } else {
      const path = join(folder, name);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      found.set(name, await write(entry, path));
    }
  }
  if (manifest === undefined) throw refusal(`${file} is no whole backup of ALT_LAS: it has no ${MANIFEST}.`);
  check(manifest, found, file);
  return manifest;
}

async function readManifest(entry: Entry, file: string): Promise<Manifest> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of entry) {
    size += chunk.length;
    if (size > MAX_MANIFEST) throw refusal(`${file} is damaged: its ${MANIFEST} is too long.`);
    chunks.push(chunk);
  }
  let manifest: unknown;
  try {
    manifest = JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw refusal(`${file} is damaged: its ${MANIFEST} is not JSON.`);
  }
  if (validateManifest(manifest)) return manifest as Manifest;
  throw refusal(`${file}: ${misfitOf(validateManifest, `the ${MANIFEST}`).sentence}`);
}

async function write(entry: Entry, path: string): Promise<Found> {
  const hash = createHash("sha256");
  let size = 0;
  const handle: FileHandle = await open(path, "wx", 0o600);
  try {
    for await (const chunk of entry) {
      hash.update(chunk);
      size += chunk.length;
      await handle.writeFile(chunk);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { size, sha256: hash.digest("hex") };
}

function check({ files, schema }: Manifest, found: ReadonlyMap<string, Found>, file: string): void {
  if (schema > knownSchema()) {
    const known = `schema ${schema}, this version knows up to ${knownSchema()}`;
    throw refusal(`${file} was written by a newer version of ALT_LAS (${known}); use that version.`);
  }
  for (const { name, size, sha256 } of files) {
    const is = found.get(name);
    if (is?.size !== size || is.sha256 !== sha256) throw refusal(`${file} is damaged: ${name} is not what was saved.`);
  }
  const names = files.map(({ name }) => name);
  if (new Set(names).size === found.size && names.includes(DATABASE)) return;
  throw refusal(`${file} is damaged: its ${MANIFEST} names other files than it holds.`);
}

function refusal(sentence: string): AltLasError {
  return new AltLasError("bad_config", sentence);
}
