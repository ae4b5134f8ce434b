/** A file on its way to the disk: hashed as it comes, and nothing of it is left when it does not arrive. */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { AltLasError, messageOf } from "../errors.ts";
import { shownSize } from "../common/sizes.ts";
import { roomIn } from "../common/disk-space.ts";
import { rename } from "../common/rename.ts";
import { syncNames } from "../common/sync.ts";
import type { RoomHolding } from "./room.ts";

/** Bytes of disk that uploads leave to the task database. */
const LEFT = 64 * 2 ** 20;
/** Bytes after which the disk is asked for its room again. */
const LOOK_AGAIN = 32 * 2 ** 20;

export interface UploadOptions {
  /** Where it is written until it is whole. */
  readonly path: string;
  /** Bytes that it may have. */
  readonly maxBytes: number;
  readonly room: RoomHolding;
  /** Aborted when it is to be given up, for the reason that its client is told. */
  readonly signal: AbortSignal;
}

export class Upload implements AsyncDisposable {
  bytes = 0;
  readonly #options: UploadOptions;
  readonly #file: FileHandle;
  readonly #hash = createHash("sha256");
  /** Bytes that the disk had room for when it was asked last. */
  #roomUntil = 0;
  /** Whether its bytes have another name by now. */
  #isMoved = false;

  private constructor(options: UploadOptions, file: FileHandle) {
    this.#options = options;
    this.#file = file;
  }

  /** @throws {AltLasError} `store_unavailable` */
  static async begin(options: UploadOptions): Promise<Upload> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    return onDisk(async () => {
      await makeFolder(dirname(options.path));
      return new Upload(options, await open(options.path, flags, 0o600));
    });
  }

  /** @throws {AltLasError} `body_too_large`; `rate_limited`, `files_full` (`FileRoom`); `store_unavailable`; why it is given up */
  async write(chunk: Buffer): Promise<void> {
    const { maxBytes, room, signal } = this.#options;
    signal.throwIfAborted();
    if (this.bytes + chunk.length > maxBytes) throw fileTooLarge(maxBytes);
    room.take(chunk.length);
    if (this.bytes + chunk.length > this.#roomUntil) await this.#askForRoom();
    this.#hash.update(chunk);
    this.bytes += chunk.length;
    // Unlike `write`, this goes on after a write that took a part.
    await onDisk(() => this.#file.writeFile(chunk));
    signal.throwIfAborted();
  }

  /** All of it has arrived: it is on disk when this resolves. @returns the SHA-256, in hexadecimal digits */
  async whole(): Promise<string> {
    await onDisk(async () => {
      await this.#file.sync();
      await this.#file.close();
    });
    this.#options.signal.throwIfAborted();
    return this.#hash.digest("hex");
  }

  /** Gives it its name, which is on disk when this resolves, and counts its bytes for good. */
  async moveTo(path: string): Promise<void> {
    await onDisk(async () => {
      await rename(this.#options.path, path);
      this.#isMoved = true;
      await syncNames(dirname(path));
    });
  }

  /** Its bytes are another's now. */
  keep(): void {
    this.#options.room.keep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Closing it again is harmless.
    await this.#file.close().catch(() => undefined);
    if (!this.#isMoved) await rm(this.#options.path, { force: true });
    this.#options.room.release();
  }

  /** @throws {AltLasError} `store_unavailable`: with this file the database could not be written any more */
  async #askForRoom(): Promise<void> {
    const free = await onDisk(() => roomIn(dirname(this.#options.path)));
    if (free < LEFT) throw noRoom(free);
    this.#roomUntil = this.bytes + Math.min(LOOK_AGAIN, free - LEFT);
  }
}

export function fileTooLarge(maxBytes: number): AltLasError {
  return new AltLasError(
    "body_too_large",
    `A file may have ${maxBytes} bytes (limits.max_file_bytes); this one has more.`,
  );
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
