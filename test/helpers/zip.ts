/** Writes ZIP archives, as wheels are ones. */
import { crc32, deflateRawSync } from "node:zlib";

export interface ZippedFile {
  readonly name: string;
  readonly content: Buffer | string;
  /** Left as it is, not packed. */
  readonly stored?: boolean;
}

export function zip(files: readonly ZippedFile[], comment = ""): Buffer {
  const locals: Buffer[] = [];
  const list: Buffer[] = [];
  let offset = 0;
  for (const { name, content, stored = false } of files) {
    const bytes = Buffer.from(content);
    const packed = stored ? bytes : deflateRawSync(bytes);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(stored ? 0 : 8, 4);
    common.writeUInt32LE(crc32(bytes), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(bytes.length, 18);
    common.writeUInt16LE(Buffer.byteLength(name), 22);
    // An own header with an extra field, and a listed one without: they may differ.
    const extra = Buffer.from("UT\u0001\u0000x", "latin1");
    const own = Buffer.from(common);
    own.writeUInt16LE(extra.length, 24);
    const local = Buffer.concat([Buffer.from("PK\u0003\u0004", "latin1"), own, Buffer.from(name), extra, packed]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    list.push(Buffer.from("PK\u0001\u0002\u0014\u0000", "latin1"), common, tail, Buffer.from(name));
    locals.push(local);
    offset += local.length;
  }
  const end = Buffer.alloc(22);
  end.write("PK\u0005\u0006", "latin1");
  end.writeUInt16LE(files.length, 8);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(Buffer.concat(list).length, 12);
  end.writeUInt32LE(offset, 16);
  end.writeUInt16LE(Buffer.byteLength(comment), 20);
  return Buffer.concat([...locals, ...list, end, Buffer.from(comment)]);
}
