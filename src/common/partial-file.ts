/** A file on its way: written piece by piece under a name of its own, hashed meanwhile, and given its final name only when it is whole. */
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { constants } from "node:fs";
import { dirname } from "node:path";
import { rename } from "./rename.ts";
import { syncFolder } from "./sync.ts";
import { diskFault } from "./disk-faults.ts";

/** Bytes that are gathered before they are written, and read at once to hash what is there. */
const GATHERED = 2 ** 20;

/**
 * The part of a file that is kept between two runs: the bytes, and beside them the server's mark for this version of the file. Two that
 * write the same file at once do no harm: each writes the same bytes at the same places.
 */
export class PartialFile implements AsyncDisposable {
  /** Bytes at its beginning that are known, and hashed: what comes next belongs there. */
  position = 0;
  /** The server's `ETag` for these bytes, to ask for the rest of the same version; null: it gave none. */
  etag: string | null = null;
  /** Whether some of them are of an earlier run. */
  isResumed = false;
  readonly #path: string;
  readonly #file: FileHandle;
  #hash: Hash = createHash("sha256");
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Opens it, and hashes what an earlier run left of it.
   * @param most the bytes that the whole file has; if there are more, they are not of this file
   */
  static async open(path: string, most: number | null, signal: AbortSignal): Promise<PartialFile> {
    await mkdir(dirname(path), { recursive: true });
    const partial = new PartialFile(path, await open(path, constants.O_RDWR | constants.O_CREAT, 0o644));
    try {
      await partial.#resume(most, signal);
      return partial;
    } catch (error) {
      await partial.#file.close();
      throw error;
    }
  }

  async #resume(most: number | null, signal: AbortSignal): Promise<void> {
    const { size } = await this.#file.stat();
    // A mark without its bytes would be taken for that of the next ones.
    if (size === 0) return rm(this.#etagPath, { force: true });
    if (size > (most ?? Infinity)) return this.restart();
    this.etag = await readFile(this.#etagPath, "utf8").catch(() => null);
    const buffer = Buffer.allocUnsafe(GATHERED);
    while (this.position < size) {
      signal.throwIfAborted();
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.position);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.position += bytesRead;
    }
    this.isResumed = this.position > 0;
  }

  get #etagPath(): string {
    return `${this.#path}.etag`;
  }

  /** The SHA-256 of all bytes so far, in hexadecimal digits. */
  get sha256(): string {
    return this.#hash.copy().digest("hex");
  }

  /** Its first bytes, as far as they are there. */
  async start(length: number): Promise<Buffer> {
    await this.flush();
    const { buffer, bytesRead } = await this.#file.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  }

  /** Forgets all bytes, because the server begins anew. */
  async restart(): Promise<void> {
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#hash = createHash("sha256");
    this.position = 0;
    this.etag = null;
    this.isResumed = false;
    await this.#file.truncate(0);
    await rm(this.#etagPath, { force: true });
  }

  /** Remembers the version that the next bytes are of, before the first of them. */
  async mark(etag: string | null): Promise<void> {
    this.etag = etag;
    if (etag !== null) await writeFile(this.#etagPath, etag);
  }

  async append(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    this.#gathered.push(bytes);
    this.#gatheredBytes += bytes.length;
    this.position += bytes.length;
    if (this.#gatheredBytes >= GATHERED) await this.flush();
  }

  /** Writes what was gathered. */
  async flush(): Promise<void> {
    const pieces = this.#gathered;
    let at = this.position - this.#gatheredBytes;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    if (pieces.length === 0) return;
    let rest = Buffer.concat(pieces);
    try {
      while (rest.length > 0) {
        const { bytesWritten } = await this.#file.write(rest, 0, rest.length, at);
        at += bytesWritten;
        rest = rest.subarray(bytesWritten);
      }
    } catch (error) {
      // Said here: beside a network's failure it would look like one, and be tried again.
      throw diskFault(error, dirname(this.#path)) ?? error;
    }
  }

  /** Gives it its final name; it is on disk before that, and the name after. It takes no more bytes then. */
  async finish(target: string): Promise<void> {
    await this.flush();
    await this.#file.sync();
    // Some systems rename no file that is open.
    await this.#file.close();
    await mkdir(dirname(target), { recursive: true });
    await rename(this.#path, target);
    syncFolder(dirname(target));
    await rm(this.#etagPath, { force: true });
  }

  /** Removes it, because its bytes are wrong. */
  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
    await rm(this.#etagPath, { force: true });
  }

  /** The bytes that came so far stay on disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.flush();
    } finally {
      await this.#file.close();
    }
  }
}
