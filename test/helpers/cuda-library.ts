/** Libraries with code for GPUs, as nvcc builds them, small enough for a test; and a stand-in for ptxas. */
import { zstdCompressSync } from "node:zlib";

export interface CodeEntry {
  readonly kind: "ptx" | "machine code";
  /** Compute capability times ten. */
  readonly arch: number;
  readonly content: string;
  /** As nvcc 13 packs, or not at all; `lz4`: `content` is packed already, and `unpacked` its length. */
  readonly packing?: "zstd" | "lz4" | "none";
  readonly unpacked?: number;
}

/** An ELF file whose section .nv_fatbin has these modules. */
export function cudaLibrary(modules: readonly (readonly CodeEntry[])[]): Buffer {
  const fatbins = Buffer.concat(modules.map(fatbinOf));
  const names = Buffer.from("\0.nv_fatbin\0.shstrtab\0");
  const header = Buffer.alloc(64);
  header.write("\u007fELF\u0002\u0001\u0001", "latin1");
  const sections = 64 + fatbins.length + names.length;
  header.writeBigUInt64LE(BigInt(sections), 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(3, 60);
  header.writeUInt16LE(2, 62);
  return Buffer.concat([
    header,
    fatbins,
    names,
    Buffer.alloc(64),
    sectionOf(1, 64, fatbins.length),
    sectionOf(12, 64 + fatbins.length, names.length),
  ]);
}

function sectionOf(name: number, offset: number, bytes: number): Buffer {
  const section = Buffer.alloc(64);
  section.writeUInt32LE(name, 0);
  section.writeBigUInt64LE(BigInt(offset), 24);
  section.writeBigUInt64LE(BigInt(bytes), 32);
  return section;
}

function fatbinOf(entries: readonly CodeEntry[]): Buffer {
  const row = Buffer.concat(entries.map(entryOf));
  const header = Buffer.alloc(16);
  header.writeUInt32LE(0xba55ed50, 0);
  header.writeUInt16LE(1, 4);
  header.writeUInt16LE(16, 6);
  header.writeBigUInt64LE(BigInt(row.length), 8);
  return Buffer.concat([header, row]);
}

function entryOf({ kind, arch, content, packing = "zstd", unpacked }: CodeEntry): Buffer {
  // The text of PTX ends with a zero.
  const plain = Buffer.from(kind === "ptx" && packing !== "lz4" ? `${content}\0` : content, "latin1");
  const packed = packing === "zstd" ? zstdCompressSync(plain) : plain;
  const headerBytes = kind === "ptx" ? 80 : 64;
  const padded = Math.ceil(packed.length / 8) * 8;
  const entry = Buffer.alloc(headerBytes + padded);
  entry.writeUInt16LE(kind === "ptx" ? 1 : 2, 0);
  entry.writeUInt16LE(0x101, 2);
  entry.writeUInt32LE(headerBytes, 4);
  entry.writeBigUInt64LE(BigInt(padded), 8);
  entry.writeUInt32LE(packing === "none" ? 0 : packed.length, 16);
  entry.writeUInt32LE(arch, 28);
  entry.writeBigUInt64LE({ zstd: 0x8011n, lz4: 0x2011n, none: 0x11n }[packing], 40);
  entry.writeBigUInt64LE(BigInt(packing === "none" ? 0 : (unpacked ?? plain.length)), 56);
  packed.copy(entry, headerBytes);
  return entry;
}

/** What the package for CUDA 13.1 has in each module, in small. Texts that cannot be packed leave room for machine code. */
export function likeThePackage(texts: readonly string[]): Buffer {
  return cudaLibrary(
    texts.map((text) => [
      ...[75, 80, 90].map((arch): CodeEntry => ({ kind: "ptx", arch, content: `.target sm_${arch} ${text}` })),
      ...[86, 89, 120, 121].map((arch): CodeEntry => ({ kind: "machine code", arch, content: `code ${arch} ${text}` })),
    ]),
  );
}

/** Writes down for which architecture it was called in "runs" beside it, and fails while there is a file "broken". */
export const PTXAS = `#!/bin/sh
folder=$(dirname "$0")
echo "$1" >> "$folder/runs"
[ ! -e "$folder/broken" ] || ! grep -q "$(cat "$folder/broken")" "$4" || { echo "ptxas fatal   : it is broken" >&2; exit 255; }
{ printf 'made with %s of ' "$1"; cat "$4"; } > "$3"
`;
