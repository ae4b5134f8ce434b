/**
 * Spans as OTLP's protocol buffers have them, one after the other in one piece of memory that is sent as it is. A span is written there when
 * it ends: objects for spans and attributes, to be encoded later, cost more than a whole submission.
 * @see https://github.com/open-telemetry/opentelemetry-proto
 */
import type { SpanId } from "./ids.ts";
import type { TraceContext } from "./trace-context.ts";

export const INTERNAL = 1;
export const SERVER = 2;
export const CLIENT = 3;

/** The fields at the begin of a span. */
export interface SpanHead {
  /** Of the trace. */
  readonly context: TraceContext;
  readonly spanId: SpanId;
  /** null: it is the first one of its trace. */
  readonly parentId: SpanId | null;
  /** The parent is a span of another program. */
  readonly isRemote?: boolean;
  readonly name: string;
  readonly kind: number;
  /** Unix milliseconds with their fractions. */
  readonly from: number;
  readonly to: number;
}

/** The name of an attribute, encoded. */
export type Key = Uint8Array;

export function keyOf(name: string): Key {
  const bytes = Buffer.from(name);
  return Uint8Array.of(FIRST, bytes.length, ...bytes, SECOND);
}

/** Unix milliseconds with their fractions, as the wall clock showed them when the process began to count. */
export function moment(): number {
  return ORIGIN + performance.now();
}

const ORIGIN = performance.timeOrigin;

/** Attributes that were written before, to be written again. It holds until its batch is emptied. */
export interface Written {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** Field 2 of ScopeSpans, and the bytes that it takes with the length of nearly every span. */
const SPAN = 0x12;
const GUESS = 3;
/** Fields of a Span: their numbers and kinds, in one byte. */
const TRACE_ID = 0x0a;
const SPAN_ID = 0x12;
const TRACE_STATE = 0x1a;
const PARENT_ID = 0x22;
const NAME = 0x2a;
const KIND = 0x30;
const START = 0x39;
const END = 0x41;
const ATTRIBUTE = 0x4a;
const EVENT = 0x5a;
const STATUS = 0x7a;
/** The first two fields of any message, where they are texts, bytes or messages. */
const FIRST = 0x0a;
const SECOND = 0x12;
/** The kinds of an attribute's value. */
const TEXT_VALUE = 0x0a;
const WHOLE_VALUE = 0x18;
const NUMBER_VALUE = 0x21;
const LIST_VALUE = 0x2a;
/** In a status: its code, and the one of errors. */
const CODE = 0x18;
const ERROR = 2;
/** Field 16, whose number takes two bytes: that the trace is sampled, and of which kind the parent is. */
const FLAGS = 0x85;
const FLAGS_MORE = 0x01;
const OWN_PARENT = 0x101;
const REMOTE_PARENT = 0x301;

/** Bytes of all of a span but its texts. */
const FIXED = 160;
/** UTF-16 units of a text that are sent. */
const LONGEST_TEXT = 4096;
const FIRST_SIZE = 64 * 1024;

export class SpanBatch {
  /** Spans in it. */
  count = 0;
  #bytes = new Uint8Array(FIRST_SIZE);
  readonly #room: number;
  #at: number;
  /** Where the present span begins. */
  #start = 0;

  /** @param room bytes that stay free before the first span */
  constructor(room: number) {
    this.#room = this.#at = room;
  }

  /** Bytes of all spans. */
  get size(): number {
    return this.#at - this.#room;
  }

  /** All spans, with the free bytes before them, until it is emptied. */
  get all(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  empty(): void {
    this.count = 0;
    this.#at = this.#room;
  }

  begin({ context, spanId, parentId, isRemote = false, name, kind, from, to }: SpanHead): void {
    this.#reserve(FIXED);
    this.#start = this.#at;
    this.#at += GUESS;
    const { a, b, c, d } = context.traceId;
    this.#two(TRACE_ID, 16);
    this.#word(a);
    this.#word(b);
    this.#word(c);
    this.#word(d);
    this.#spanId(SPAN_ID, spanId);
    if (parentId !== null) this.#spanId(PARENT_ID, parentId);
    this.#two(KIND, kind);
    this.#byte(START);
    this.#time(from);
    this.#byte(END);
    this.#time(to);
    this.#two(FLAGS, FLAGS_MORE);
    this.#fixed(isRemote ? REMOTE_PARENT : OWN_PARENT);
    this.#field(NAME, name);
    if (context.state !== "") this.#field(TRACE_STATE, context.state);
  }

  /** A value that is null or undefined is none, here and below. */
  text(key: Key, value: string | null | undefined): void {
    if (value === null || value === undefined) return;
    const start = this.#at;
    const { length } = value;
    // Nearly all are ASCII: what they are shows while they are written.
    if (length <= LONGEST_TEXT) {
      this.#keyed(key, 1 + sizeOf(length) + length);
      this.#byte(TEXT_VALUE);
      this.#length(length);
      if (this.#ascii(value)) return;
    }
    this.#at = start;
    const bytes = byteLength(value);
    this.#keyed(key, 1 + sizeOf(bytes) + bytes);
    this.#sized(TEXT_VALUE, value, bytes);
  }

  /** A list of one text. */
  listed(key: Key, value: string | null | undefined): void {
    if (value === null || value === undefined) return;
    const length = byteLength(value);
    const element = 1 + sizeOf(length) + length;
    const list = 1 + sizeOf(element) + element;
    this.#keyed(key, 1 + sizeOf(list) + list);
    this.#byte(LIST_VALUE);
    this.#length(list);
    this.#byte(FIRST);
    this.#length(element);
    this.#sized(TEXT_VALUE, value, length);
  }

  /** @param value of 32 bits at most, not negative */
  whole(key: Key, value: number | null | undefined): void {
    if (value === null || value === undefined) return;
    this.#keyed(key, 1 + sizeOf(value));
    this.#byte(WHOLE_VALUE);
    this.#length(value);
  }

  number(key: Key, value: number | null | undefined): void {
    if (value === null || value === undefined) return;
    this.#keyed(key, 9);
    this.#byte(NUMBER_VALUE);
    DOUBLE[0] = value;
    for (let index = 0; index < 8; index++) this.#byte(DOUBLE_BYTES[index]!);
  }

  /** @param name in ASCII @param at Unix milliseconds with their fractions */
  event(name: string, at: number): void {
    this.#reserve(name.length + 20);
    this.#two(EVENT, 9 + 2 + name.length);
    this.#byte(0x09);
    this.#time(at);
    this.#sized(SECOND, name, name.length);
  }

  /** Where the next attribute will be. */
  get mark(): number {
    return this.#at;
  }

  /** The attributes since a mark, in the same span. */
  since(mark: number): Written {
    return { bytes: this.#bytes, from: mark, to: this.#at };
  }

  /** Attributes of an earlier span, as `copy` gave them. */
  add(attributes: Uint8Array): void {
    this.#reserve(attributes.length);
    this.#bytes.set(attributes, this.#at);
    this.#at += attributes.length;
  }

  copy(mark: number): Uint8Array {
    return this.#bytes.slice(mark, this.#at);
  }

  again({ bytes, from, to }: Written): void {
    this.#reserve(to - from);
    if (bytes === this.#bytes) bytes.copyWithin(this.#at, from, to);
    else this.#bytes.set(bytes.subarray(from, to), this.#at);
    this.#at += to - from;
  }

  end(hasFailed: boolean): void {
    this.#reserve(5);
    if (hasFailed) {
      this.#two(STATUS, 2);
      this.#two(CODE, ERROR);
    }
    const content = this.#start + GUESS;
    const length = this.#at - content;
    const shift = 1 + sizeOf(length) - GUESS;
    if (shift !== 0) this.#bytes.copyWithin(content + shift, content, this.#at);
    const end = this.#at + shift;
    this.#at = this.#start;
    this.#byte(SPAN);
    this.#length(length);
    this.#at = end;
    this.count++;
  }

  /** The begin of an attribute. @param size bytes of its value's content */
  #keyed(key: Key, size: number): void {
    const length = key.length + sizeOf(size) + size;
    this.#reserve(length + 5);
    this.#byte(ATTRIBUTE);
    this.#length(length);
    const bytes = this.#bytes;
    let at = this.#at;
    for (let index = 0; index < key.length; index++) bytes[at++] = key[index]!;
    this.#at = at;
    this.#length(size);
  }

  #field(tag: number, value: string): void {
    this.#reserve(value.length + 5);
    const start = this.#at;
    if (value.length <= LONGEST_TEXT) {
      this.#byte(tag);
      this.#length(value.length);
      if (this.#ascii(value)) return;
    }
    this.#at = start;
    const length = byteLength(value);
    this.#reserve(length + 5);
    this.#sized(tag, value, length);
  }

  #sized(tag: number, value: string, length: number): void {
    this.#byte(tag);
    this.#length(length);
    if (length === value.length) this.#ascii(value);
    else this.#at += UTF8.encodeInto(value.slice(0, LONGEST_TEXT), this.#bytes.subarray(this.#at)).written;
  }

  /** @returns false: it is none, and what was written is worth nothing */
  #ascii(value: string): boolean {
    const bytes = this.#bytes;
    const { length } = value;
    let at = this.#at;
    let all = 0;
    for (let index = 0; index < length; index++) {
      const unit = value.charCodeAt(index);
      all |= unit;
      bytes[at++] = unit;
    }
    this.#at = at;
    return all <= 0x7f;
  }

  #spanId(tag: number, { high, low }: SpanId): void {
    this.#two(tag, 8);
    this.#word(high);
    this.#word(low);
  }

  #two(first: number, second: number): void {
    this.#bytes[this.#at++] = first;
    this.#bytes[this.#at++] = second;
  }

  #byte(byte: number): void {
    this.#bytes[this.#at++] = byte;
  }

  /** Its first byte first. */
  #word(word: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    bytes[at] = word >>> 24;
    bytes[at + 1] = word >>> 16;
    bytes[at + 2] = word >>> 8;
    bytes[at + 3] = word;
    this.#at = at + 4;
  }

  /** Its last byte first. */
  #fixed(word: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    bytes[at] = word;
    bytes[at + 1] = word >>> 8;
    bytes[at + 2] = word >>> 16;
    bytes[at + 3] = word >>> 24;
    this.#at = at + 4;
  }

  /** Unix nanoseconds in 64 bits, from the whole microseconds: a number holds those exactly. */
  #time(milliseconds: number): void {
    const micros = Math.floor(milliseconds * 1000);
    const quotient = Math.floor(micros / 2 ** 22);
    const upper = quotient * 1000;
    const high = Math.floor(upper / 2 ** 10);
    const lower = (micros - quotient * 2 ** 22) * 1000 + (upper - high * 2 ** 10) * 2 ** 22;
    this.#fixed(lower | 0);
    this.#fixed((high + Math.floor(lower / 2 ** 32)) | 0);
  }

  #length(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80);
    this.#byte(rest);
  }

  #reserve(size: number): void {
    if (this.#at + size <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + size));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

const UTF8 = new TextEncoder();
const DOUBLE = new Float64Array(1);
const DOUBLE_BYTES = new Uint8Array(DOUBLE.buffer);

/** Bytes of a text as it is sent. */
function byteLength(text: string): number {
  if (text.length > LONGEST_TEXT) return byteLength(text.slice(0, LONGEST_TEXT));
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return Buffer.byteLength(text);
  return text.length;
}

/** Bytes that a number takes. */
function sizeOf(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest >>>= 7) size++;
  return size;
}
