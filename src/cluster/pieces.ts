/** Messages above a size travel in numbered pieces: brokers limit what a message may be. */
import { randomBytes } from "node:crypto";

/** Bytes of a message, or of one of its pieces. */
export const PIECE_BYTES = 512 * 1024;

const WHOLE = 0;
const PIECE = 1;
const ID_BYTES = 16;
/** Kind, id, index and count. */
const HEAD_BYTES = 1 + ID_BYTES + 4 + 4;
/** Messages whose pieces have not all come. A sender sends the pieces of a message without a break, so there are few. */
const MOST_OPEN = 64;
/** Bytes of a message: more than the largest body that the API takes, with the text of a whole state. */
const MOST_BYTES = 512 * 1024 * 1024;

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

interface Open {
  readonly count: number;
  readonly pieces: Buffer[];
  bytes: number;
}

/** Puts pieces together. A message of which one is missing is dropped. */
export class Pieces {
  readonly #open = new Map<string, Open>();

  /** @returns the message that is complete with it; undefined: none is, or it is damaged */
  take(data: Uint8Array): unknown {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    if (bytes[0] === WHOLE) return parsed(bytes.subarray(1));
    if (bytes[0] !== PIECE || bytes.length <= HEAD_BYTES) return undefined;
    const id = bytes.toString("hex", 1, 1 + ID_BYTES);
    const index = bytes.readUInt32BE(1 + ID_BYTES);
    const count = bytes.readUInt32BE(1 + ID_BYTES + 4);
    const message = this.#message(id, count);
    // Pieces come in order. One that comes twice is the copy of a whole message; one that is missing ends it.
    if (message.count !== count || index > message.pieces.length) return void this.#open.delete(id);
    if (index < message.pieces.length) return undefined;
    message.pieces.push(Buffer.from(bytes.subarray(HEAD_BYTES)));
    message.bytes += bytes.length;
    if (message.bytes > MOST_BYTES) return void this.#open.delete(id);
    if (message.pieces.length < count) return undefined;
    this.#open.delete(id);
    return parsed(Buffer.concat(message.pieces));
  }

  #message(id: string, count: number): Open {
    let message = this.#open.get(id);
    if (message !== undefined) return message;
    message = { count, pieces: [], bytes: 0 };
    this.#open.set(id, message);
    if (this.#open.size > MOST_OPEN) this.#open.delete(this.#open.keys().next().value!);
    return message;
  }
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}
