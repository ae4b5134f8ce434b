/**
 * The facts of a model in the beginning of its GGUF file, before the vocabulary:
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Only to be shown; a worker reads the header in earnest.
 */
import { open } from "node:fs/promises";
import { MAGIC } from "../common/gguf.ts";

/** Bytes; the keys of the vocabulary, which come last, have megabytes. */
const HEAD = 65_536;
/** Behind the magic, the version and the number of tensors. */
const KEYS_AT = 16;

const STRING = 8;
const ARRAY = 9;
/** Bytes of values by their types; those of strings and lists say it themselves. */
const SIZES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};

/** null: the file does not say. */
export interface GgufFacts {
  readonly architecture: string | null;
  /** As its makers write it, like "135M". */
  readonly sizeLabel: string | null;
  /** Tokens of context that it was trained for. */
  readonly trainContext: number | null;
}

/** null: it cannot be read, or is no GGUF file. */
export async function ggufFacts(path: string): Promise<GgufFacts | null> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0);
    return factsIn(buffer.subarray(0, bytesRead));
  } catch {
    return null;
  }
}

function factsIn(head: Buffer): GgufFacts | null {
  if (head.toString("latin1", 0, MAGIC.length) !== MAGIC) return null;
  const values = valuesIn(head);
  const architecture = textIn(values, "general.architecture");
  const trained = values.get(`${architecture ?? ""}.context_length`);
  return {
    architecture,
    sizeLabel: textIn(values, "general.size_label"),
    trainContext: typeof trained === "number" && trained > 0 ? trained : null,
  };
}

function textIn(values: ReadonlyMap<string, string | number>, key: string): string | null {
  const value = values.get(key);
  return typeof value === "string" && value !== "" ? value : null;
}

/** The texts and the counts by their keys, up to the first that does not end in these bytes. */
function valuesIn(head: Buffer): ReadonlyMap<string, string | number> {
  const values = new Map<string, string | number>();
  const reader = new Reader(head, KEYS_AT);
  try {
    for (let left = reader.count(); left > 0; left--) {
      const key = reader.text();
      const type = reader.uint32();
      const value = reader.value(type);
      if (value !== null) values.set(key, value);
    }
  } catch (error) {
    // The bytes are at their end.
    if (!(error instanceof RangeError)) throw error;
  }
  return values;
}

/** Reads one value behind the other. @throws {RangeError} there are no more bytes, or a type that is not known */
class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#skip(4));
  }

  count(): number {
    return Number(this.#bytes.readBigUInt64LE(this.#skip(8)));
  }

  text(): string {
    const length = this.count();
    const at = this.#skip(length);
    return this.#bytes.toString("utf8", at, at + length);
  }

  /** @returns null: neither a text nor a count */
  value(type: number): string | number | null {
    if (type === STRING) return this.text();
    if (type === 4) return this.uint32();
    if (type === 10) return this.count();
    if (type !== ARRAY) {
      this.#skip(SIZES[type] ?? Number.NaN);
      return null;
    }
    const of = this.uint32();
    const length = this.count();
    const size = SIZES[of];
    if (size !== undefined) this.#skip(size * length);
    else for (let index = 0; index < length; index++) this.value(of);
    return null;
  }

  #skip(bytes: number): number {
    const at = this.#at;
    if (!(at + bytes <= this.#bytes.length)) throw new RangeError("the bytes are at their end");
    this.#at = at + bytes;
    return at;
  }
}
