/** Parts of GGUF files, for models of random weights. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */

/** Of `enum gguf_metadata_value_type`. */
export const VALUE = { uint16: 2, uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 };
/** Bytes of the types of fixed size, by their number. */
const FIXED_SIZE = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
const ALIGNMENT = 32;
/** Of `enum llama_token_type`. */
const [CONTROL, USER_DEFINED] = [3, 4];

export function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

/** With what follows it beginning at an aligned place. */
export function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(aligned(bytes.length) - bytes.length)]);
}

/** The beginning of a file: key-values, and what it says of its tensors. */
export function headOf(metadata: readonly Buffer[], infos: readonly Buffer[]): Buffer {
  const version = 3;
  const start = [Buffer.from("GGUF"), uint32(version), uint64(infos.length), uint64(metadata.length)];
  return padded(Buffer.concat([...start, ...metadata, ...infos]));
}

/** The key-values of a file that describe its tokenizer, as they stand there, and how many tokens it has. */
export function tokenizerOf(file: Buffer): { metadata: Buffer[]; vocabulary: number } {
  const count = Number(file.readBigUInt64LE(16));
  const metadata: Buffer[] = [];
  let vocabulary = 0;
  let at = 24;
  for (let i = 0; i < count; i++) {
    const keyEnd = at + 8 + Number(file.readBigUInt64LE(at));
    const key = file.toString("utf8", at + 8, keyEnd);
    const type = file.readUInt32LE(keyEnd);
    const end = valueEnd(file, type, keyEnd + 4);
    if (key.startsWith("tokenizer.")) metadata.push(file.subarray(at, end));
    // An array begins with its items' type and their number.
    if (key === "tokenizer.ggml.tokens") vocabulary = Number(file.readBigUInt64LE(keyEnd + 8));
    at = end;
  }
  return { metadata, vocabulary };
}

function valueEnd(file: Buffer, type: number, at: number): number {
  if (type === VALUE.string) return at + 8 + Number(file.readBigUInt64LE(at));
  if (type !== VALUE.array) return at + FIXED_SIZE[type]!;
  const itemType = file.readUInt32LE(at);
  let end = at + 12;
  for (let left = Number(file.readBigUInt64LE(at + 4)); left > 0; left--) end = valueEnd(file, itemType, end);
  return end;
}

/** Of one key-value. */
export function keyOf(entry: Buffer): string {
  return entry.toString("utf8", 8, 8 + Number(entry.readBigUInt64LE(0)));
}

/** The items of a key-value whose value is an array of strings. */
export function stringsIn(entry: Buffer): string[] {
  const start = 8 + Number(entry.readBigUInt64LE(0)) + 8;
  let at = start + 8;
  return Array.from({ length: Number(entry.readBigUInt64LE(start)) }, () => {
    const from = at + 8;
    at = from + Number(entry.readBigUInt64LE(at));
    return entry.toString("utf8", from, at);
  });
}

/** A key-value whose value is an array, with these items behind its own. */
export function withMore(entry: Buffer, items: readonly Buffer[]): Buffer {
  // The array's length stands behind its own type and its items'.
  const at = 8 + Number(entry.readBigUInt64LE(0)) + 8;
  const length = uint64(Number(entry.readBigUInt64LE(at)) + items.length);
  return Buffer.concat([entry.subarray(0, at), length, entry.subarray(at + 8), ...items]);
}

export function text(value: string): Buffer {
  return Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

export function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

/** A file in which the last normal tokens that are as long as these have become these, user-defined. */
export function withUserTokens(file: Buffer, names: readonly string[]): Buffer {
  return withTokens(file, names, USER_DEFINED).file;
}

/** As that, but they are special tokens. @returns their numbers, too */
export function withSpecialTokens(file: Buffer, names: readonly string[]): { file: Buffer; ids: readonly number[] } {
  return withTokens(file, names, CONTROL);
}

function withTokens(file: Buffer, names: readonly string[], type: number): { file: Buffer; ids: readonly number[] } {
  const changed = Buffer.from(file);
  const { metadata } = tokenizerOf(file);
  const entryOf = (key: string): Buffer => metadata.find((entry) => keyOf(entry) === `tokenizer.ggml.${key}`)!;
  const texts = stringsIn(entryOf("tokens"));
  const types = file.indexOf(entryOf("token_type")) + entryOf("token_type").length - 4 * texts.length;
  const ids = names.map((name) => {
    const id = texts.findLastIndex((one) => Buffer.byteLength(one) === Buffer.byteLength(name));
    changed.write(name, file.indexOf(text(texts[id]!)) + 8);
    changed.writeInt32LE(type, types + 4 * id);
    return id;
  });
  return { file: changed, ids };
}

/** The same file with another chat template. */
export function withChatTemplate(file: Buffer, template: string): Buffer {
  const count = Number(file.readBigUInt64LE(16));
  const entries: Buffer[] = [];
  let at = 24;
  for (let i = 0; i < count; i++) {
    const keyEnd = at + 8 + Number(file.readBigUInt64LE(at));
    const end = valueEnd(file, file.readUInt32LE(keyEnd), keyEnd + 4);
    entries.push(file.subarray(at, end));
    at = end;
  }
  const key = "tokenizer.chat_template";
  const others = entries.filter((entry) => keyOf(entry) !== key);
  const infos = infosOf(file, at);
  const own = Buffer.concat([text(key), uint32(VALUE.string), text(template)]);
  // Where weights lie is told from the end of the head on.
  const weights = file.subarray(aligned(at + infos.reduce((sum, { length }) => sum + length, 0)));
  return Buffer.concat([headOf([...others, own], infos), weights]);
}

/** What a file says of its tensors. */
function infosOf(file: Buffer, start: number): Buffer[] {
  let at = start;
  return Array.from({ length: Number(file.readBigUInt64LE(8)) }, () => {
    const from = at;
    const nameEnd = at + 8 + Number(file.readBigUInt64LE(at));
    const dimensions = file.readUInt32LE(nameEnd);
    // Its dimensions, its type, and where its weights lie.
    at = nameEnd + 4 + 8 * dimensions + 4 + 8;
    return file.subarray(from, at);
  });
}
