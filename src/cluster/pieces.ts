/** Messages above a size travel in numbered pieces: brokers limit what a message may be. */
import { randomBytes } from "node:crypto";

/** Bytes of a message, or of one of its pieces. */
export const PIECE_BYTES = 512 * 1024;

const WHOLE = 0;
const PIECE = 1;
const ID_BYTES = 16;
/** Kind, id, index and count. */
const HEAD_BYTES = 1 + ID_BYTES + 4 + 4;
/** Bytes of a message: more than the largest body that the API takes, with the text of a whole state. */
const MOST_BYTES = 512 * 1024 * 1024;
/** Bytes of the messages of all senders that are not complete. */
const MOST_BYTES_TOGETHER = 1024 * 1024 * 1024;
/** Bytes that a piece takes beside its own. */
const PIECE_OVERHEAD = 128;

/** @param most bytes of a piece with its head */
export function* piecesOf(message: object, most: number): Generator<Uint8Array> {
  const bytes = Buffer.from(JSON.stringify(message));
  if (bytes.length < most) return yield Buffer.concat([Buffer.of(WHOLE), bytes]);
  const size = most - HEAD_BYTES;
  const count = Math.ceil(bytes.length / size);
  const id = randomBytes(ID_BYTES);
  for (let index = 0; index < count; index++) {
    const place = Buffer.alloc(8);
    place.writeUInt32BE(index, 0);
    place.writeUInt32BE(count, 4);
    yield Buffer.concat([Buffer.of(PIECE), id, place, bytes.subarray(index * size, (index + 1) * size)]);
  }
}

/** The message of a sender whose pieces have not all come. */
interface Open {
  readonly id: string;
  readonly count: number;
  readonly pieces: Buffer[];
  bytes: number;
}

/** Puts pieces together. A message of which one is missing is dropped. */
export class Pieces {
  /** By sender. Each sends the pieces of a message without a break, so it has one. */
  readonly #open = new Map<string, Open>();
  readonly #most: number;
  /** Of all messages that are not complete. */
  #bytes = 0;

  /** @param most bytes of a message, or of all of them together that are not complete */
  constructor(most = MOST_BYTES_TOGETHER) {
    this.#most = most;
  }

  /** @returns the message that is complete with it; undefined: none is, or it is damaged, or no object */
  take(sender: string, data: Uint8Array): object | undefined {
    if (data.byteLength > this.#most) return undefined;
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    if (bytes[0] === WHOLE) return parsed(bytes.subarray(1));
    if (bytes[0] !== PIECE || bytes.length <= HEAD_BYTES) return undefined;
    const message = this.#message(sender, bytes);
    const index = bytes.readUInt32BE(1 + ID_BYTES);
    // Pieces come in order. One that comes twice is the copy of a whole message; one that is missing ends it.
    if (index < message.pieces.length) return undefined;
    if (index > message.pieces.length) return void this.#drop(sender);
    message.pieces.push(Buffer.from(bytes.subarray(HEAD_BYTES)));
    message.bytes += bytes.length + PIECE_OVERHEAD;
    this.#bytes += bytes.length + PIECE_OVERHEAD;
    if (message.bytes > MOST_BYTES || this.#bytes > this.#most) return void this.#drop(sender);
    if (message.pieces.length < message.count) return undefined;
    this.#drop(sender);
    return parsed(Buffer.concat(message.pieces));
  }

  /** The connection is cut: what has begun never comes to its end. */
  clear(): void {
    this.#open.clear();
    this.#bytes = 0;
  }

  #message(sender: string, piece: Buffer): Open {
    const id = piece.toString("hex", 1, 1 + ID_BYTES);
    const count = piece.readUInt32BE(1 + ID_BYTES + 4);
    const known = this.#open.get(sender);
    if (known?.id === id && known.count === count) return known;
    this.#drop(sender);
    const message: Open = { id, count, pieces: [], bytes: 0 };
    this.#open.set(sender, message);
    return message;
  }

  #drop(sender: string): void {
    this.#bytes -= this.#open.get(sender)?.bytes ?? 0;
    this.#open.delete(sender);
  }
}

function parsed(bytes: Buffer): object | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
