/** The share of V8's heap for each use. */
import { getHeapStatistics } from "node:v8";

/** Bytes of the heap for what is new: three half-spaces of 64 MiB, which V8 counts into its limit. */
const NEW_HEAP = 192 * 2 ** 20;
/**
 * Of the heap for what lives long, for waiting tasks. The rest is for their texts, requests, results that are not on disk, and the server.
 */
const SHARE = 0.5;

/** Bytes of the heap that waiting tasks may take. */
export function heapForWaiting(): number {
  return Math.floor(lastingHeap() * SHARE);
}

/** Bytes of the heap for what lives long. V8 tells its limit together with that of what is new. */
export function lastingHeap(): number {
  const limit = getHeapStatistics().heap_size_limit;
  return Math.max(limit / 8, limit - NEW_HEAP);
}
