/** The commands `alt-las backup`, `restore` and `compact`. Each returns the text to print, or throws `AltLasError` with a sentence. */
import { createWriteStream, existsSync, linkSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { openAnswer } from "../control/client.ts";
import { foreignOwner } from "../common/data-folder.ts";
import { nextName } from "../common/next-file.ts";
import { renameSync } from "../common/rename.ts";
import { syncFolder } from "../common/sync.ts";
import { AltLasError, messageOf } from "../errors.ts";
import { ALT_LAS, shellWord, startCommand } from "../common/paste.ts";
import { compactDatabase } from "../store/sqlite/compact.ts";
import { openOffline } from "../store/sqlite/offline.ts";
import { isDamage } from "../store/sqlite/schema.ts";
import { FILES } from "./archive.ts";
import { beginBackup } from "./backup.ts";
import { BACKUP_ROUTE } from "./leftovers.ts";
import { restoreBackup } from "./restore.ts";
import { checkRoom } from "../common/disk-space.ts";
import { shownSize } from "../common/sizes.ts";

/** Bytes that a second writes, on a slow disk. */
const SLOW_DISK = 50_000_000;

export interface CommandContext {
  readonly dataDir: string;
  /** `store.path` of the configuration; undefined: in the data directory. */
  readonly storePath: string | undefined;
}

/**
 * `backup FILE`: the file appears whole or not at all.
 * @param overwrite whether a file of that name may be replaced
 */
export async function backupCommand(context: CommandContext, file: string, overwrite: boolean): Promise<string> {
  const folder = dirname(resolve(file));
  if (!isFolder(folder))
    throw new AltLasError("bad_config", `The folder ${folder} for the backup does not exist; make it first.`);
  if (isFolder(file)) throw new AltLasError("bad_config", `${file} is a folder; name a file in it.`);
  if (!overwrite && existsSync(file)) throw exists(file);
  const answer = await openAnswer(context.dataDir, BACKUP_ROUTE);
  if (answer !== undefined) await writeWhole(file, answer, overwrite);
  else await withOwnCopy(context, (bytes) => writeWhole(file, bytes, overwrite));
  const by = answer === undefined ? "no server runs here, so this command made the copy" : "from the running server";
  return `${file}: ${shownSize(statSync(file).size)}, ${by}. To use it: ${ALT_LAS} restore ${shellWord(file)} --data-dir NEW`;
}

/** `restore FILE --data-dir NEW` */
export async function restoreCommand(file: string, dataDir: string): Promise<string> {
  const { created_at, files } = await restoreBackup(file, dataDir);
  const uploaded = files.filter(({ name }) => name.startsWith(`${FILES}/`)).length;
  const own = files.map(({ name }) => name).filter((name) => !name.startsWith(`${FILES}/`));
  const names = [...own, ...(uploaded > 0 ? [`${uploaded} uploaded files`] : [])].join(", ");
  return `${dataDir} holds the backup of ${created_at}: ${names}. To serve it: ${startCommand(new Map([["--data-dir", dataDir]]))}`;
}

/** `compact [--accept-missing-log]`. @param tell is told what it needs, before it begins */
export async function compactCommand(
  context: CommandContext,
  acceptMissingLog: boolean,
  tell: (text: string) => void,
): Promise<string> {
  const path = databaseOf(context);
  const size = existsSync(path) ? statSync(path).size : 0;
  const free = await checkRoom(dirname(resolve(path)), size, "Compacting this database");
  const seconds = Math.ceil(size / SLOW_DISK);
  tell(
    `Compacting ${path} needs up to ${shownSize(size)} of free disk (${shownSize(free)} are free), about ${seconds} s, and no running server.`,
  );
  const { before, after } = await inWords(path, () => compactDatabase(path, acceptMissingLog));
  return `${path}: ${shownSize(before)} before, ${shownSize(after)} now. Removed text is overwritten from now on.`;
}

function databaseOf({ dataDir, storePath }: CommandContext): string {
  return storePath ?? join(dataDir, "alt-las.db");
}

/** @throws {AltLasError} also for what SQLite and the system throw */
async function inWords<T>(path: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    const foreign = foreignOwner(dirname(resolve(path)), error);
    const next = isDamage(error) ? "; a start of the server moves it aside and begins a new one" : "";
    const sentence = foreign ?? `${path} cannot be used: ${messageOf(error)}${next}.`;
    throw new AltLasError("store_unavailable", sentence, { cause: error });
  }
}

/** Makes the copy here, under the lock that keeps a server from starting meanwhile. */
async function withOwnCopy(context: CommandContext, use: (bytes: Readable) => Promise<void>): Promise<void> {
  const databasePath = databaseOf(context);
  const copier = await inWords(databasePath, () => openOffline(databasePath));
  try {
    const parts = { copier, databasePath, dataDir: context.dataDir };
    await use(await inWords(databasePath, () => beginBackup(parts, new AbortController().signal)));
  } finally {
    copier.close();
  }
}

/** Writes a file for its owner alone; under its name only when all of it is on disk. */
async function writeWhole(file: string, bytes: Readable, overwrite: boolean): Promise<void> {
  const next = nextName(file);
  try {
    await pipeline(bytes, createWriteStream(next, { flags: "wx", mode: 0o600, flush: true }));
    if (overwrite) {
      renameSync(next, file);
    } else {
      // Unlike a rename, this replaces nothing that has come meanwhile.
      linkSync(next, file);
      rmSync(next);
    }
    syncFolder(dirname(resolve(file)));
  } catch (error) {
    bytes.destroy();
    forget(next);
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw exists(file);
    if (error instanceof AltLasError) throw error;
    throw new AltLasError("bad_config", `The backup was not made: ${messageOf(error)}.`, { cause: error });
  }
}

/** Where nothing could be written, a removal is refused for the same reason, which is told already. */
function forget(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It was not made, or stays as a file that is named `.tmp`.
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // One that cannot be looked at, too: the write says why.
    return false;
  }
}

function exists(file: string): AltLasError {
  return new AltLasError("bad_config", `${file} exists already. To replace it: --overwrite`);
}
