/* The port of the bytes of files: what clients have uploaded, under the ids of its rows (files.ts). */
import type { Readable } from "node:stream";

/** Bytes on their way. */
export interface IncomingBytes {
  /** @throws {AltLasError} `store_unavailable`: they cannot be kept */
  write(chunk: Buffer): Promise<void>;
  /** All of them have come; they survive a power cut when this resolves. @throws {AltLasError} `store_unavailable` */
  whole(): Promise<void>;
  /** Gives them their id, in the place of what has it; that survives a power cut when this resolves. @throws {AltLasError} `store_unavailable` */
  moveTo(id: string): Promise<void>;
  /** Ends it: bytes that have no id yet are gone. Calling it again is harmless. */
  end(): Promise<void>;
}

/** Bytes that are there. */
export interface KeptBytes {
  /** How many. */
  readonly size: number;
  /** Those from one on. To be called once, or `close` in its place. */
  stream(from: number): Readable;
  close(): Promise<void>;
}

/**
 * Promises of every implementation (test/kits/file-bytes.ts):
 *  1. Bytes come back as they were, from any of them on, however many there are; no part of the server has all of them in memory.
 *  2. Bytes that do not arrive whole leave nothing, and take no id. A crash may leave what `names` lists and no id has.
 *  3. Removed bytes are found no more.
 */
export interface FileBytes {
  /** For the log. */
  readonly where: string;
  receive(): Promise<IncomingBytes>;
  /** null: there are none. */
  open(id: string): Promise<KeptBytes | null>;
  /** null: there are none. */
  size(id: string): Promise<number | null>;
  /** An id, or a name of `names`. Nothing happens when there is nothing of that name. */
  remove(name: string): Promise<void>;
  /** The ids of all that is there, and the names of what was on its way when an earlier run ended. */
  names(): Promise<Set<string>>;
  /** Puts all that is there aside: it is another database's. @returns where it is now */
  putAside(): Promise<string>;
}
