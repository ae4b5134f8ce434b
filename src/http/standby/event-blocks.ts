/** Cuts a stream of events into whole ones, which a blank line ends. */
const END = Buffer.from("\n\n");
const NONE = Buffer.alloc(0);
/** Bytes of an event that is kept until it is whole; a longer one goes on in pieces. */
const MOST = 64 * 1024;

/** They may go on. */
export interface Blocks {
  readonly data: Buffer;
  /** Where the first event in it begins: what is before belongs to one that has gone on in part. */
  readonly begins: number;
}

export class EventBlocks {
  #rest: Buffer = NONE;
  #isWithin = false;

  /** Whether what was taken last ends within an event. */
  get isWithin(): boolean {
    return this.#isWithin;
  }

  take(chunk: Buffer): Blocks {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const end = data.lastIndexOf(END);
    const isLong = end === -1 && data.length >= MOST;
    // The last byte may begin its end.
    const cut = end !== -1 ? end + END.length : isLong ? data.length - 1 : 0;
    const begins = !this.#isWithin ? 0 : end === -1 ? cut : data.indexOf(END) + END.length;
    this.#rest = data.subarray(cut);
    if (cut > 0) this.#isWithin = isLong;
    return { data: data.subarray(0, cut), begins };
  }
}
