/* The bytes of files as rows of pieces, seen from outside of the thread. */
import { randomUUIDv7 } from "node:crypto";
import { Readable } from "node:stream";
import { AltLasError } from "../../errors.ts";
import type { FileBytes, IncomingBytes, KeptBytes } from "../file-bytes.ts";
import type { BytesKind, Exchange } from "../thread/messages.ts";
import type { Answer } from "../thread/storage-thread.ts";

export type Ask = <K extends BytesKind>(kind: K, request: Exchange[K]["request"]) => Promise<Answer<K>>;

/** Bytes of a piece; the last one of a file may be shorter. */
export const PIECE = 2 ** 20;
/** Names that are read at once. */
const PAGE = 1000;

export class PostgresBytes implements FileBytes {
  readonly where = "the table file_pieces";
  readonly #ask: Ask;
  /** Names of what was given up while the database was away. */
  readonly #left = new Set<string>();

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async receive(): Promise<IncomingBytes> {
    for (const name of this.#left) await this.#drop(name);
    return new IncomingPieces(this.#ask, (name) => this.#drop(name));
  }

  async open(id: string): Promise<KeptBytes | null> {
    const size = await this.size(id);
    if (size === null) return null;
    return { size, stream: (from) => this.#stream(id, from, size), close: () => Promise.resolve() };
  }

  async size(id: string): Promise<number | null> {
    return (await this.#ask("bytesSize", { name: id })).value;
  }

  async remove(name: string): Promise<void> {
    await this.#ask("dropBytes", { name });
  }

  async names(): Promise<Set<string>> {
    const names = new Set<string>();
    for (let after = ""; ;) {
      const { rows } = await this.#ask("bytesNames", { after, limit: PAGE });
      for (const [name] of rows) names.add(name as string);
      if (rows.length < PAGE) return names;
      after = rows.at(-1)![0] as string;
    }
  }

  /** A database that is new has none. */
  putAside(): Promise<string> {
    return Promise.reject(new Error("there are bytes of files in a database that is new"));
  }

  #stream(id: string, from: number, size: number): Readable {
    const ask = this.#ask;
    async function* pieces(): AsyncGenerator<Uint8Array> {
      for (let next = from; next < size; next = PIECE * (Math.floor(next / PIECE) + 1)) {
        const { value } = await ask("piece", { name: id, place: Math.floor(next / PIECE) });
        if (value === null) throw new AltLasError("not_found", "The file was removed while it was read.");
        yield value.subarray(next % PIECE);
      }
    }
    return Readable.from(pieces(), { objectMode: false, highWaterMark: PIECE });
  }

  /** Bytes that cannot be removed now go with the next upload, or the next start. */
  async #drop(name: string): Promise<void> {
    try {
      await this.remove(name);
      this.#left.delete(name);
    } catch {
      this.#left.add(name);
    }
  }
}

class IncomingPieces implements IncomingBytes {
  readonly #ask: Ask;
  readonly #drop: (name: string) => Promise<void>;
  readonly #name = randomUUIDv7();
  /** Chunks that have come of the next piece, whose number is `#number`. */
  readonly #next: Buffer[] = [];
  #bytes = 0;
  #number = 0;
  #isMoved = false;

  constructor(ask: Ask, drop: (name: string) => Promise<void>) {
    this.#ask = ask;
    this.#drop = drop;
  }

  async write(chunk: Buffer): Promise<void> {
    let rest = chunk;
    while (this.#bytes + rest.length >= PIECE) {
      const part = rest.subarray(0, PIECE - this.#bytes);
      rest = rest.subarray(part.length);
      this.#take(part);
      await this.#put();
    }
    if (rest.length > 0) this.#take(rest);
  }

  async whole(): Promise<void> {
    if (this.#bytes > 0 || this.#number === 0) await this.#put();
  }

  async moveTo(id: string): Promise<void> {
    await this.#ask("nameBytes", { from: this.#name, to: id });
    this.#isMoved = true;
  }

  async end(): Promise<void> {
    if (!this.#isMoved && this.#number > 0) await this.#drop(this.#name);
  }

  #take(part: Buffer): void {
    this.#next.push(part);
    this.#bytes += part.length;
  }

  async #put(): Promise<void> {
    const piece = Buffer.concat(this.#next.splice(0));
    this.#bytes = 0;
    // Counted first: nobody knows what is stored of one that fails.
    const place = this.#number++;
    await this.#ask("putPiece", { name: this.#name, place, piece });
  }
}
