/** The bytes of files in a folder, each file under its id. The folder is made by the first upload. */
import { randomUUIDv7 } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { wallTimeText } from "../common/clock.ts";
import { roomIn } from "../common/disk-space.ts";
import { rename } from "../common/rename.ts";
import { shownSize } from "../common/sizes.ts";
import { syncNames } from "../common/sync.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { FileBytes, IncomingBytes, KeptBytes } from "./file-bytes.ts";

/** Bytes of disk that uploads leave to the task database. */
const LEFT = 64 * 2 ** 20;
/** Bytes after which the disk is asked for its room again. */
const LOOK_AGAIN = 32 * 2 ** 20;
/** Ends the names of bytes that are on their way. */
const PARTIAL = ".part";
/** Whatever else is in the folder is left alone. */
const OURS = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\.part)?$/;

export class FolderBytes implements FileBytes {
  readonly where: string;

  constructor(folder: string) {
    this.where = folder;
  }

  /** Those of a data directory. */
  static of(dataDir: string): FolderBytes {
    return new FolderBytes(join(dataDir, "files"));
  }

  receive(): Promise<IncomingBytes> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const path = join(this.where, `${randomUUIDv7()}${PARTIAL}`);
    return onDisk(async () => {
      await makeFolder(this.where);
      return new IncomingFile(path, await open(path, flags, 0o600));
    });
  }

  async open(id: string): Promise<KeptBytes | null> {
    const handle = await open(join(this.where, id), "r").catch(nullIfAbsent);
    if (handle === null) return null;
    const { size } = await handle.stat();
    const stream = (from: number): Readable => handle.createReadStream({ start: from });
    return { size, stream, close: () => handle.close() };
  }

  async size(id: string): Promise<number | null> {
    const stats = await stat(join(this.where, id)).catch(nullIfAbsent);
    return stats?.size ?? null;
  }

  remove(name: string): Promise<void> {
    return rm(join(this.where, name), { force: true });
  }

  async names(): Promise<Set<string>> {
    const names = (await readdir(this.where).catch(nullIfAbsent)) ?? [];
    return new Set(names.filter((name) => OURS.test(name)));
  }

  async putAside(): Promise<string> {
    const to = `${this.where}.of-another-database-${wallTimeText().replaceAll(":", "-")}`;
    await rename(this.where, to);
    return to;
  }
}

class IncomingFile implements IncomingBytes {
  readonly #path: string;
  readonly #file: FileHandle;
  #bytes = 0;
  /** Bytes that the disk had room for when it was asked last. */
  #roomUntil = 0;
  /** Whether its bytes have another name by now. */
  #isMoved = false;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.#bytes + chunk.length > this.#roomUntil) await this.#askForRoom();
    this.#bytes += chunk.length;
    // Unlike `write`, this goes on after a write that took a part.
    await onDisk(() => this.#file.writeFile(chunk));
  }

  whole(): Promise<void> {
    return onDisk(async () => {
      await this.#file.sync();
      await this.#file.close();
    });
  }

  moveTo(id: string): Promise<void> {
    const folder = dirname(this.#path);
    return onDisk(async () => {
      await rename(this.#path, join(folder, id));
      this.#isMoved = true;
      await syncNames(folder);
    });
  }

  async end(): Promise<void> {
    // Closing it again is harmless.
    await this.#file.close().catch(() => undefined);
    if (!this.#isMoved) await rm(this.#path, { force: true });
  }

  /** @throws {AltLasError} `store_unavailable`: with these bytes the database could not be written any more */
  async #askForRoom(): Promise<void> {
    const free = await onDisk(() => roomIn(dirname(this.#path)));
    if (free < LEFT) throw noRoom(free);
    this.#roomUntil = this.#bytes + Math.min(LOOK_AGAIN, free - LEFT);
  }
}

function nullIfAbsent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}

function noRoom(free: number): AltLasError {
  const sentence = `The disk has no room for the file: ${shownSize(free)} are free, and ${shownSize(LEFT)} are left to the tasks. Nothing of it is kept.`;
  return new AltLasError("store_unavailable", sentence);
}

/** @throws {AltLasError} `store_unavailable` for what the system says */
async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    const isFull = code === "ENOSPC" || code === "EDQUOT";
    const why = isFull ? "The disk is full" : `The file cannot be written (${code ?? messageOf(error)})`;
    throw new AltLasError("store_unavailable", `${why}. Nothing of it is kept.`, { cause: error });
  }
}

/** Not those around it: a data directory that went away must not come back empty. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return;
    throw error;
  }
  await syncNames(dirname(path));
}
