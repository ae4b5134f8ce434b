/* Making a backup: a copy of the database as of one moment, and what stands beside it, while the server goes on. */
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Readable } from "node:stream";
import { AltLasError } from "../errors.ts";
import { checkRoom } from "../common/disk-space.ts";
import { PREFIX, removeLeftovers } from "./leftovers.ts";
import { archiveOf, DATABASE, FILES, isBackupName, SMALL_FILES, type Source } from "./archive.ts";

/** Makes the copy of the database. */
export interface Copier {
  /**
   * Copies the database into a new file.
   * @returns the number of the last migration that it has
   * @throws {AltLasError} when that fails, or the signal is aborted
   */
  copy(path: string, signal: AbortSignal): Promise<number>;
}

export interface BackupParts {
  readonly copier: Copier;
  /** The database; it is in the data directory, or elsewhere. */
  readonly databasePath: string;
  readonly dataDir: string;
}

/** Backups under way, by data directory: each needs as much room as the database. */
const underWay = new Set<string>();

/**
 * Begins a backup: makes the copy, and then gives the bytes of the tar file.
 * The copy stands beside the database meanwhile, and is removed when the last byte is read or the reader leaves.
 * @throws {AltLasError} `conflict` when another one is under way, `store_unavailable` without enough room or when the copy fails
 */
export async function beginBackup(parts: BackupParts, signal: AbortSignal): Promise<Readable> {
  const { copier, databasePath, dataDir } = parts;
  const key = resolve(databasePath);
  if (underWay.has(key)) throw new AltLasError("conflict", "Another backup of this server is under way.");
  underWay.add(key);
  let folder: string | undefined;
  const clean = async (): Promise<void> => {
    underWay.delete(key);
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  };
  try {
    await removeLeftovers(databasePath);
    await checkRoom(dirname(key), await sizeWithLog(databasePath), "A backup of this database");
    folder = await mkdtemp(join(dirname(key), PREFIX));
    const copy = join(folder, DATABASE);
    const schema = await copier.copy(copy, signal);
    // After the database: each file that it knows is there, unless it is removed meanwhile.
    const others = [...(await smallFiles(dataDir)), ...(await uploadedFiles(dataDir))];
    const sources: Source[] = [{ name: DATABASE, content: { path: copy } }, ...others];
    return cleaned(archiveOf(sources, schema), clean);
  } catch (error) {
    await clean();
    throw error;
  }
}

/** Cleans when the last byte is read, before the reader learns that it is, or when the reader leaves. */
function cleaned(bytes: AsyncIterable<Buffer>, clean: () => Promise<void>): Readable {
  let begun = false;
  const stream = Readable.from(
    (async function* () {
      begun = true;
      try {
        yield* bytes;
      } finally {
        await clean();
      }
    })(),
    { objectMode: false },
  );
  // A generator that was never asked for anything never ends either.
  return stream.once("close", () => begun || void clean());
}

async function sizeWithLog(databasePath: string): Promise<number> {
  const sizes = [databasePath, `${databasePath}-wal`].map((path) =>
    stat(path).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

async function smallFiles(dataDir: string): Promise<Source[]> {
  const sources: Source[] = [];
  for (const name of SMALL_FILES) {
    const content = await readFile(join(dataDir, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw new AltLasError("store_unavailable", `${name} cannot be read: ${error.code}.`, { cause: error });
    });
    if (content !== null) sources.push({ name, content });
  }
  return sources;
}

async function uploadedFiles(dataDir: string): Promise<Source[]> {
  const names = await readdir(join(dataDir, FILES)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new AltLasError("store_unavailable", `${FILES} cannot be read: ${error.code}.`, { cause: error });
  });
  return names
    .map((name) => ({ name: `${FILES}/${name}`, content: { path: join(dataDir, FILES, name) } }))
    .filter(({ name }) => isBackupName(name));
}
