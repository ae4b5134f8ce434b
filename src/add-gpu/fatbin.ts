/**
 * The machine code and the PTX in a library that nvcc has built. Its section .nv_fatbin is a row of fatbins, one for each module, and each
 * of them a row of entries: one kind of code for one architecture. NVIDIA's fatbinary_section.h names the section; the layout of the
 * entries is nowhere described, and was read from what nvcc 12.4 and 13.1 write. An unknown layout is refused.
 */
import type { FileHandle } from "node:fs/promises";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { packLz4, unpackLz4 } from "./lz4.ts";

export interface FatbinEntry {
  /** `ptx` is compiled by the driver, or by ptxas. */
  readonly kind: "ptx" | "machine code";
  /** Compute capability times ten, like 90. */
  readonly arch: number;
  /** As it stands in the fatbin, with its header. */
  readonly bytes: Buffer;
}

/** One module, with its place in the file. */
export interface Fatbin {
  readonly offset: number;
  /** All bytes that it may take. */
  readonly room: number;
  readonly entries: readonly FatbinEntry[];
}

const FATBIN = { magic: 0xba55ed50, bytes: 16 };
const KINDS = new Map([
  [1, "ptx"],
  [2, "machine code"],
] as const);
const FLAGS = { lz4: 0x2000n, zstd: 0x8000n };
/** Of an entry's header, which may be longer. */
const HEADER = { bytes: 64, size: 8, packed: 16, options: 20, arch: 28, flags: 40, unpacked: 56 };
const ALIGNMENT = 8;
const ZEROS_AT_ONCE = 4096;

/** Walks through the modules of a library. @throws {Error} one sentence: it is none that nvcc has built, or of a form not known here */
export async function* fatbinsIn(file: FileHandle): AsyncGenerator<Fatbin> {
  const { offset, bytes } = await fatbinSection(file);
  const end = offset + bytes;
  for (let at = await afterZeros(file, offset, end); at < end;) {
    const header = await read(file, at, FATBIN.bytes);
    if (header.readUInt32LE(0) !== FATBIN.magic) throw unknownForm(`at byte ${at}`);
    const room = header.readUInt16LE(6) + Number(header.readBigUInt64LE(8));
    if (at + room > end) throw unknownForm(`at byte ${at}`);
    const module = await read(file, at, room);
    yield { offset: at, room, entries: entriesOf(module.subarray(header.readUInt16LE(6))) };
    at = await afterZeros(file, at + room, end);
  }
}

/** Where a fatbin of ours is shorter than the one before it. */
async function afterZeros(file: FileHandle, from: number, end: number): Promise<number> {
  for (let at = from; at < end; at += ZEROS_AT_ONCE) {
    const piece = await read(file, at, Math.min(ZEROS_AT_ONCE, end - at));
    const first = piece.findIndex((byte) => byte !== 0);
    if (first !== -1) return at + first - (first % ALIGNMENT);
  }
  return end;
}

function entriesOf(row: Buffer): FatbinEntry[] {
  const entries: FatbinEntry[] = [];
  for (let at = 0; at < row.length;) {
    const kind = KINDS.get(row.readUInt16LE(at) as 1 | 2);
    const headerBytes = row.readUInt32LE(at + 4);
    const size = headerBytes + Number(row.readBigUInt64LE(at + HEADER.size));
    if (kind === undefined || headerBytes < HEADER.bytes || at + size > row.length) throw unknownForm("in an entry");
    entries.push({ kind, arch: row.readUInt32LE(at + HEADER.arch), bytes: row.subarray(at, at + size) });
    at += size;
  }
  return entries;
}

/** PTX as text, machine code as an ELF file of its own. */
export function contentOf({ kind, bytes }: FatbinEntry): Buffer {
  const headerBytes = bytes.readUInt32LE(4);
  const flags = bytes.readBigUInt64LE(HEADER.flags);
  const packed = bytes.subarray(headerBytes, headerBytes + (bytes.readUInt32LE(HEADER.packed) || undefined!));
  const unpackedBytes = Number(bytes.readBigUInt64LE(HEADER.unpacked));
  const content =
    (flags & FLAGS.zstd) !== 0n
      ? zstdDecompressSync(packed)
      : (flags & FLAGS.lz4) !== 0n
        ? unpackLz4(packed, unpackedBytes)
        : bytes.subarray(headerBytes);
  // ptxas takes the zero that ends the text for a part of it.
  const end = kind === "ptx" ? content.indexOf(0) : -1;
  return end === -1 ? content : content.subarray(0, end);
}

/** The form of machine code in a library: its own, or as small as its driver can unpack. */
export type Packing = "as usual" | "small";

/**
 * An entry of machine code that ptxas has made.
 * @param like machine code of the same library, for what all of its entries have in common
 */
export function machineCode(
  cubin: Buffer,
  arch: number,
  like: FatbinEntry,
  packing: Packing = "as usual",
): FatbinEntry {
  const usual = like.bytes.readBigUInt64LE(HEADER.flags);
  // Drivers that know no zstd run libraries that have none.
  const flags = packing === "small" && (usual & FLAGS.zstd) === 0n ? usual | FLAGS.lz4 : usual;
  const isPacked = (flags & (FLAGS.zstd | FLAGS.lz4)) !== 0n;
  const content = (flags & FLAGS.zstd) !== 0n ? zstdCompressSync(cubin) : isPacked ? packLz4(cubin) : cubin;
  const padded = Math.ceil(content.length / ALIGNMENT) * ALIGNMENT;
  const bytes = Buffer.alloc(HEADER.bytes + padded);
  like.bytes.copy(bytes, 0, 0, HEADER.bytes);
  bytes.writeUInt32LE(HEADER.bytes, 4);
  bytes.writeBigUInt64LE(BigInt(padded), HEADER.size);
  bytes.writeUInt32LE(isPacked ? content.length : 0, HEADER.packed);
  bytes.writeUInt32LE(0, HEADER.options);
  bytes.writeUInt32LE(arch, HEADER.arch);
  bytes.writeBigUInt64LE(flags, HEADER.flags);
  bytes.writeBigUInt64LE(BigInt(isPacked ? cubin.length : 0), HEADER.unpacked);
  content.copy(bytes, HEADER.bytes);
  return { kind: "machine code", arch, bytes };
}

/**
 * A fatbin of the same length with other entries: `needed`, and as many of `others` as there is room for, the first ones first.
 * null: there is no room for those that are needed.
 */
export function fatbinOf(room: number, needed: readonly FatbinEntry[], others: readonly FatbinEntry[]): Buffer | null {
  const fatbin = Buffer.alloc(room);
  let at = FATBIN.bytes;
  const add = ({ bytes }: FatbinEntry): boolean => {
    if (at + bytes.length > room) return false;
    at += bytes.copy(fatbin, at);
    return true;
  };
  if (!needed.every(add)) return null;
  others.forEach(add);
  fatbin.writeUInt32LE(FATBIN.magic, 0);
  fatbin.writeUInt16LE(1, 4);
  fatbin.writeUInt16LE(FATBIN.bytes, 6);
  // The rest behind the entries belongs to nobody; a reader that walks over the section skips zeros.
  fatbin.writeBigUInt64LE(BigInt(at - FATBIN.bytes), 8);
  return fatbin;
}

/** Of the ELF file, 64 bits and little-endian: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.intro.html */
async function fatbinSection(file: FileHandle): Promise<{ offset: number; bytes: number }> {
  const header = await read(file, 0, 64);
  if (header.readUInt32BE(0) !== 0x7f454c46 || header.readUInt16LE(4) !== 0x0102) throw unknownForm("as a library");
  const [entryBytes, count, names] = [58, 60, 62].map((at) => header.readUInt16LE(at)) as [number, number, number];
  const table = await read(file, Number(header.readBigUInt64LE(40)), entryBytes * count);
  const sections = Array.from({ length: count }, (_, index) => {
    const entry = table.subarray(index * entryBytes);
    return {
      name: entry.readUInt32LE(0),
      offset: Number(entry.readBigUInt64LE(24)),
      bytes: Number(entry.readBigUInt64LE(32)),
    };
  });
  const texts = await read(file, sections[names]!.offset, sections[names]!.bytes);
  const section = sections.find(({ name }) => texts.toString("latin1", name, texts.indexOf(0, name)) === ".nv_fatbin");
  if (section === undefined) throw new Error("It has no code for GPUs in it.");
  return section;
}

async function read(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  if (bytesRead < length) throw unknownForm("where it ends");
  return buffer;
}

function unknownForm(where: string): Error {
  return new Error(`The library's code for GPUs has a form that is not known here, ${where}.`);
}
