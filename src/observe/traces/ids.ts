/**
 * Ids of traces and spans, as numbers: they are sent as bytes, and as text only in headers. New ones come from one pool of the system's
 * randomness; asked for each of them, that would cost more than all else of a span.
 */
import { randomFillSync } from "node:crypto";

/** 16 bytes in four integers with signs, which the engine keeps without an object for each. Not all are 0. */
export interface TraceId {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

/** 8 bytes in two. Not both are 0. */
export interface SpanId {
  readonly high: number;
  readonly low: number;
}

const pool = new Int32Array(4096);
let used = pool.length;

function random(): number {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool[used++]!;
}

export function newTraceId(): TraceId {
  // Not 0: an id of zeros alone is none.
  return { a: random(), b: random(), c: random(), d: random() | 1 };
}

export function newSpanId(): SpanId {
  return { high: random() | 1, low: random() };
}

/** @param hex 32 hexadecimal digits */
export function traceIdOf(hex: string): TraceId {
  return { a: wordAt(hex, 0), b: wordAt(hex, 8), c: wordAt(hex, 16), d: wordAt(hex, 24) };
}

/** @param hex 16 hexadecimal digits */
export function spanIdOf(hex: string): SpanId {
  return { high: wordAt(hex, 0), low: wordAt(hex, 8) };
}

function wordAt(hex: string, at: number): number {
  return Number.parseInt(hex.slice(at, at + 8), 16) | 0;
}

/** The words of an id one after the other, as hexadecimal digits. */
export function hexOf(...words: readonly number[]): string {
  return words.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}
