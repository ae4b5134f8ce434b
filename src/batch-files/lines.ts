/** The lines of a file, as it is read: no more of it is in memory than its longest line, and what one read gives. */
import type { Readable } from "node:stream";

/** One line that is not empty. */
export interface Line {
  /** Its number in the file, from 1; empty lines count. */
  readonly number: number;
  /** Without its end; null: it is too long. That of a long line (`linesOf`) is there until the next part is asked for. */
  readonly bytes: Buffer | null;
  /** Where the next line begins. */
  readonly end: number;
}

/** As its reader has it. */
interface OwnLine extends Line {
  bytes: Buffer | null;
}

const LINE_FEED = 0x0a;
const BLANK: ReadonlySet<number> = new Set([0x20, 0x09, 0x0d]);
/** Bytes of a line up to which it is nothing special to have one in memory. */
const USUAL = 1024 * 1024;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * The lines of each part of a file that was read at once.
 * @param from where the stream begins in the file
 * @param maxBytes of a line; of a longer one only its end is looked for
 * @param turnOfLong resolves when there may be one long line more in memory, with what tells that it is gone: when the next part is asked for.
 *   Many files are read at once, and a line may be as long as a body
 */
export async function* linesOf(
  stream: Readable,
  from: number,
  maxBytes: number,
  turnOfLong: () => Promise<() => void>,
): AsyncGenerator<readonly Line[]> {
  const reader = new LineReader(from, maxBytes);
  let giveBack: (() => void) | null = null;
  try {
    for await (const part of stream as AsyncIterable<Buffer>) {
      if (giveBack === null && reader.held + part.length > USUAL) giveBack = await turnOfLong();
      const lines = reader.read(part);
      if (lines.length > 0) yield lines;
      if (reader.held > USUAL) continue;
      // A reader that has used one and waits for the next still holds it.
      for (const line of lines) if (line.bytes !== null && line.bytes.length > USUAL) line.bytes = null;
      giveBack?.();
      giveBack = null;
    }
    const last = reader.rest();
    if (last.length > 0) yield last;
  } finally {
    giveBack?.();
  }
}

class LineReader {
  readonly #maxBytes: number;
  /** The line that has begun, in pieces. */
  #pieces: Buffer[] = [];
  #length = 0;
  #number = 1;
  /** The next line is the first one of the file. */
  #isFirst: boolean;
  /** Where the next part begins. */
  #place: number;

  constructor(from: number, maxBytes: number) {
    this.#place = from;
    this.#isFirst = from === 0;
    this.#maxBytes = maxBytes;
  }

  /** Bytes in memory of the line that has begun. */
  get held(): number {
    return this.#length > this.#maxBytes ? 0 : this.#length;
  }

  read(part: Buffer): readonly OwnLine[] {
    const lines: OwnLine[] = [];
    let begin = this.#length === 0 ? this.#skipBlank(part, 0) : 0;
    for (let at = part.indexOf(LINE_FEED, begin); at !== -1; at = part.indexOf(LINE_FEED, begin)) {
      this.#add(part.subarray(begin, at));
      this.#take(this.#place + at + 1, lines);
      begin = this.#skipBlank(part, at + 1);
    }
    this.#add(part.subarray(begin));
    this.#place += part.length;
    return lines;
  }

  /** The last line, which has no end of its own. */
  rest(): readonly Line[] {
    const lines: OwnLine[] = [];
    if (this.#length > 0) this.#take(this.#place, lines);
    return lines;
  }

  /** Passes over empty lines, and over the blanks that a line begins with: a file may be full of them, and they come to nothing. */
  #skipBlank(part: Buffer, begin: number): number {
    let at = begin;
    for (; at < part.length; at++) {
      const byte = part[at]!;
      if (byte === LINE_FEED) this.#number++;
      else if (!BLANK.has(byte)) break;
    }
    if (at > begin) this.#isFirst = false;
    return at;
  }

  #add(piece: Buffer): void {
    this.#length += piece.length;
    if (this.#length > this.#maxBytes) this.#pieces = [];
    else if (piece.length > 0) this.#pieces.push(piece);
  }

  #take(end: number, lines: OwnLine[]): void {
    const isLong = this.#length > this.#maxBytes;
    const [only] = this.#pieces;
    const whole = isLong ? null : this.#pieces.length === 1 ? only! : Buffer.concat(this.#pieces);
    const bytes = whole !== null && this.#isFirst && isMarked(whole) ? whole.subarray(3) : whole;
    if (bytes === null || !isBlank(bytes)) lines.push({ number: this.#number, bytes, end });
    this.#pieces = [];
    this.#length = 0;
    this.#number++;
    this.#isFirst = false;
  }
}

function isMarked(bytes: Buffer): boolean {
  return bytes.subarray(0, 3).equals(BYTE_ORDER_MARK);
}

function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => BLANK.has(byte));
}
