/**
 * Reads ZIP archives, such as Python's wheels, out of a file: its list, and one entry at a time, never the whole of either in memory.
 * Format: PKWARE's APPNOTE 6.3. ZIP64 and encryption are refused; wheels below 4 GiB have neither.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { PassThrough, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32, createInflateRaw } from "node:zlib";
import { rename } from "./rename.ts";

/** One file of an archive. */
export interface ZipEntry {
  /** With slashes, as it stands in the archive: nothing to make a path of unseen. */
  readonly name: string;
  /** Unpacked. */
  readonly bytes: number;
  readonly packedBytes: number;
  readonly method: number;
  readonly crc32: number;
  /** Where its own header begins. */
  readonly offset: number;
}

const END = { signature: 0x06054b50, bytes: 22, longestComment: 0xffff };
const LISTED = { signature: 0x02014b50, bytes: 46 };
const LOCAL = { signature: 0x04034b50, bytes: 30 };
const STORED = 0;
const DEFLATED = 8;
/** A longer list is no wheel's; it would only fill the memory. */
const LONGEST_LIST = 64 * 2 ** 20;

/** @throws {Error} one sentence: it is no such archive, or cannot be read */
export async function zipEntries(path: string): Promise<ZipEntry[]> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const tail = await read(file, Math.max(0, size - END.bytes - END.longestComment), size);
    const end = endOf(tail);
    if (end === null) throw new Error(`${path} is no ZIP archive, or is cut off.`);
    const count = end.readUInt16LE(10);
    const [bytes, offset] = [end.readUInt32LE(12), end.readUInt32LE(16)];
    if (count === 0xffff || offset === 0xffffffff || bytes > LONGEST_LIST)
      throw new Error(`${path} is a ZIP64 archive, which is not read here.`);
    return listed(await read(file, offset, offset + bytes), count, path);
  } finally {
    await file.close();
  }
}

/**
 * Unpacks one entry to `target`, which has the name only when it is whole, checked and on disk.
 * @throws {Error} one sentence: the entry is damaged, or of a kind that is not read here
 */
export async function unpack(path: string, entry: ZipEntry, target: string): Promise<void> {
  const half = `${target}.part`;
  try {
    const begin = await dataOffset(path, entry);
    // An end before the start would be refused.
    const packed =
      entry.packedBytes === 0
        ? new PassThrough().end()
        : createReadStream(path, { start: begin, end: begin + entry.packedBytes - 1 });
    await pipeline(packed, unpacker(path, entry), checker(path, entry), createWriteStream(half, { flush: true }));
    await rename(half, target);
  } catch (error) {
    await rm(half, { force: true });
    throw error;
  }
}

function unpacker(path: string, { method, name }: ZipEntry): Transform {
  if (method === STORED) return new PassThrough();
  if (method === DEFLATED) return createInflateRaw();
  throw new Error(`${name} in ${path} is packed by method ${method}, which is not read here.`);
}

/** Lets bytes through, and fails at those that are not the entry's. */
function checker(path: string, { name, bytes, crc32: expected }: ZipEntry): Transform {
  let count = 0;
  let sum = 0;
  const damaged = (): Error => new Error(`${name} in ${path} is damaged.`);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      count += chunk.length;
      sum = crc32(chunk, sum);
      // An entry that unpacks to more than the list says may fill the disk.
      done(count > bytes ? damaged() : null, chunk);
    },
    flush: (done) => done(count === bytes && sum === expected ? null : damaged()),
  });
}

/** An entry's own header has a length of its own. */
async function dataOffset(path: string, { name, offset }: ZipEntry): Promise<number> {
  const file = await open(path);
  try {
    const header = await read(file, offset, offset + LOCAL.bytes);
    if (header.length < LOCAL.bytes || header.readUInt32LE(0) !== LOCAL.signature)
      throw new Error(`${path} is damaged where ${name} begins.`);
    return offset + LOCAL.bytes + header.readUInt16LE(26) + header.readUInt16LE(28);
  } finally {
    await file.close();
  }
}

/** Bytes from `start` to before `end`; fewer where the file ends earlier. */
async function read(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.alloc(end - start);
  let got = 0;
  while (got < buffer.length) {
    const { bytesRead } = await file.read(buffer, got, buffer.length - got, start + got);
    if (bytesRead === 0) break;
    got += bytesRead;
  }
  return buffer.subarray(0, got);
}

/** The last record of the archive, behind which stands a comment at most. */
function endOf(tail: Buffer): Buffer | null {
  for (let at = tail.length - END.bytes; at >= 0; at--) {
    if (tail.readUInt32LE(at) === END.signature && tail.readUInt16LE(at + 20) === tail.length - at - END.bytes)
      return tail.subarray(at);
  }
  return null;
}

function listed(list: Buffer, count: number, path: string): ZipEntry[] {
  const entries: ZipEntry[] = [];
  let at = 0;
  for (let index = 0; index < count; index++) {
    if (at + LISTED.bytes > list.length || list.readUInt32LE(at) !== LISTED.signature)
      throw new Error(`${path} is damaged: its list breaks off after ${index} of ${count} entries.`);
    const nameEnd = at + LISTED.bytes + list.readUInt16LE(at + 28);
    const name = list.toString("utf8", at + LISTED.bytes, nameEnd);
    if ((list.readUInt16LE(at + 8) & 1) !== 0) throw new Error(`${name} in ${path} is encrypted.`);
    entries.push({
      name,
      method: list.readUInt16LE(at + 10),
      crc32: list.readUInt32LE(at + 16),
      packedBytes: list.readUInt32LE(at + 20),
      bytes: list.readUInt32LE(at + 24),
      offset: list.readUInt32LE(at + 42),
    });
    at = nameEnd + list.readUInt16LE(at + 30) + list.readUInt16LE(at + 32);
  }
  return entries;
}
