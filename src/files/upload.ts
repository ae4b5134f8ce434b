/** A file on its way: hashed as it comes, and nothing of it is left when it does not arrive. */
import { createHash } from "node:crypto";
import { AltLasError } from "../errors.ts";
import type { FileBytes, IncomingBytes } from "../store/file-bytes.ts";
import type { RoomHolding } from "./room.ts";

export interface UploadOptions {
  /** Where its bytes go. */
  readonly to: Pick<FileBytes, "receive">;
  /** Bytes that it may have. */
  readonly maxBytes: number;
  readonly room: RoomHolding;
  /** Aborted when it is to be given up, for the reason that its client is told. */
  readonly signal: AbortSignal;
}

export class Upload implements AsyncDisposable {
  bytes = 0;
  readonly #options: UploadOptions;
  readonly #incoming: IncomingBytes;
  readonly #hash = createHash("sha256");

  private constructor(options: UploadOptions, incoming: IncomingBytes) {
    this.#options = options;
    this.#incoming = incoming;
  }

  /** @throws {AltLasError} `store_unavailable` */
  static async begin(options: UploadOptions): Promise<Upload> {
    try {
      return new Upload(options, await options.to.receive());
    } catch (error) {
      options.room.release();
      throw error;
    }
  }

  /** @throws {AltLasError} `body_too_large`; `rate_limited`, `files_full` (`FileRoom`); `store_unavailable`; why it is given up */
  async write(chunk: Buffer): Promise<void> {
    const { maxBytes, room, signal } = this.#options;
    signal.throwIfAborted();
    if (this.bytes + chunk.length > maxBytes) throw fileTooLarge(maxBytes);
    room.take(chunk.length);
    this.#hash.update(chunk);
    this.bytes += chunk.length;
    await this.#incoming.write(chunk);
    signal.throwIfAborted();
  }

  /** All of it has arrived: it is on disk when this resolves. @returns the SHA-256, in hexadecimal digits */
  async whole(): Promise<string> {
    await this.#incoming.whole();
    this.#options.signal.throwIfAborted();
    return this.#hash.digest("hex");
  }

  /** Gives it its id, which is on disk when this resolves. */
  moveTo(id: string): Promise<void> {
    return this.#incoming.moveTo(id);
  }

  /** Its bytes are another's now: they count for good. */
  keep(): void {
    this.#options.room.keep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#incoming.end();
    this.#options.room.release();
  }
}

export function fileTooLarge(maxBytes: number): AltLasError {
  return new AltLasError(
    "body_too_large",
    `A file may have ${maxBytes} bytes (limits.max_file_bytes); this one has more.`,
  );
}
