/** The bytes between NATS and its clients, cut into their parts: https://docs.nats.io/reference/reference-protocols/nats-protocol */

const END = "\r\n";
/** The head of a message, with the bytes that follow it. */
const MESSAGE = /^(?:H?PUB|H?MSG) .*?(\d+)$/i;

export interface Part {
  readonly bytes: Buffer;
  /** Or else it is about the connection. */
  readonly isMessage: boolean;
}

/** One direction of a connection. */
export class NatsParts {
  #rest: Buffer = Buffer.alloc(0);

  /** @returns the parts that are complete with it */
  take(bytes: Buffer): readonly Part[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const parts: Part[] = [];
    for (let part = this.#next(); part !== null; part = this.#next()) parts.push(part);
    return parts;
  }

  #next(): Part | null {
    const head = this.#rest.indexOf(END);
    if (head < 0) return null;
    const [, payload] = MESSAGE.exec(this.#rest.toString("latin1", 0, head)) ?? [];
    const length = head + END.length + (payload === undefined ? 0 : Number(payload) + END.length);
    if (this.#rest.length < length) return null;
    const bytes = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return { bytes, isMessage: payload !== undefined };
  }
}
