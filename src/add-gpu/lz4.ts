/** Blocks of LZ4, as nvcc 12 packs code. https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */

/** Bytes: the shortest match, how far back one may be, and what has to be left of a block behind the last match and its start. */
const SHORTEST = 4;
const FARTHEST = 65_535;
const LAST = { literals: 5, start: 12 };

/** Unpacks a block. @param bytes its length unpacked. @throws {RangeError} when it is no such block */
export function unpackLz4(block: Buffer, bytes: number): Buffer {
  const out = Buffer.alloc(bytes);
  let [from, to] = [0, 0];
  /** Lengths of 15 go on in further bytes, up to one that is not 255. */
  const lengthOf = (nibble: number): number => {
    let length = nibble;
    for (let more = nibble === 15 ? 255 : 0; more === 255; length += more) more = block.readUInt8(from++);
    return length;
  };
  while (from < block.length) {
    const token = block.readUInt8(from++);
    const literals = lengthOf(token >> 4);
    if (from + literals > block.length || to + literals > bytes) throw new RangeError("The block is damaged.");
    block.copy(out, to, from, from + literals);
    [from, to] = [from + literals, to + literals];
    if (from >= block.length) break;
    const back = block.readUInt16LE(from);
    from += 2;
    const length = lengthOf(token & 15) + 4;
    if (back === 0 || back > to || to + length > bytes) throw new RangeError("The block is damaged.");
    // It may overlap what it writes, and repeats that then.
    for (const end = to + length; to < end; to++) out[to] = out[to - back]!;
  }
  if (to !== bytes) throw new RangeError("The block is damaged.");
  return out;
}

/** Packs a block, taking the last place where the next four bytes stood before. */
export function packLz4(bytes: Buffer): Buffer {
  const out = Buffer.alloc(bytes.length + Math.ceil(bytes.length / 255) + 16);
  const seen = new Int32Array(1 << 16).fill(-1);
  let to = 0;
  const writeLength = (rest: number): void => {
    for (let left = rest; left >= 0; left -= 255) out[to++] = Math.min(left, 255);
  };
  /** @param match its length; 0: the block ends */
  const write = (literals: Buffer, match: number, back: number): void => {
    const more = Math.max(0, match - SHORTEST);
    out[to++] = (Math.min(literals.length, 15) << 4) | Math.min(more, 15);
    writeLength(literals.length - 15);
    to += literals.copy(out, to);
    if (match === 0) return;
    to = out.writeUInt16LE(back, to);
    writeLength(more - 15);
  };
  let done = 0;
  for (let at = 0; at < bytes.length - LAST.start;) {
    const word = bytes.readUInt32LE(at);
    const place = Math.imul(word, 0x9e3779b1) >>> 16;
    const before = seen[place]!;
    seen[place] = at;
    if (before < 0 || at - before > FARTHEST || bytes.readUInt32LE(before) !== word) {
      at++;
      continue;
    }
    let match = SHORTEST;
    while (at + match < bytes.length - LAST.literals && bytes[at + match] === bytes[before + match]) match++;
    write(bytes.subarray(done, at), match, at - before);
    at += match;
    done = at;
  }
  write(bytes.subarray(done), 0, 0);
  return out.subarray(0, to);
}
