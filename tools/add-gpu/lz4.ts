/** Unpacks a block of LZ4, as nvcc 12 packs code. https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md */

/** @param bytes its length unpacked. @throws {RangeError} when it is no such block */
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
