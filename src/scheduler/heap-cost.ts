/**
 * What a waiting task takes of the heap while its text is in the store. The heap bounds how many may wait, whatever the configuration
 * allows: a server that accepted more than it can hold would die, and so would each of its starts.
 */
import { getHeapStatistics } from "node:v8";
import { type Task } from "../task.ts";

/** Bytes of a task's object and of its places in the queue, the alarms and the maps; measured 750 (bench/queue-memory.ts). */
const TASK = 1000;
/** Bytes of a batch that is kept for one task at worst. */
const OF_BATCH = 600;
/** Bytes of a webhook beside its URL. */
const OF_WEBHOOK = 200;
/** Bytes of the heap for what is new: three half-spaces of 64 MiB, which V8 counts into its limit. */
const NEW_HEAP = 192 * 2 ** 20;
/** Of the heap for what lives long, for waiting tasks. The rest is for their texts, requests, results that are not on disk, and the server. */
const SHARE = 0.5;

/** At most so many bytes, without the text. The same through all of the task's life. */
export function heapCostOf({ prefix, taskType, webhook, batchId }: Task): number {
  const ofWebhook = webhook === null ? 0 : OF_WEBHOOK + heapBytesOfString(webhook.url);
  return (
    TASK +
    8 * prefix.length +
    heapBytesOfString(taskType) +
    // A start gives the batch a webhook of its own.
    (batchId === null ? ofWebhook : OF_BATCH + 2 * ofWebhook)
  );
}

/** Bytes of the heap that waiting tasks may take. */
export function heapForWaiting(): number {
  return Math.floor(lastingHeap() * SHARE);
}

/** Bytes of the heap for what lives long. V8 tells its limit together with that of what is new. */
export function lastingHeap(): number {
  const limit = getHeapStatistics().heap_size_limit;
  return Math.max(limit / 8, limit - NEW_HEAP);
}

function heapBytesOfString(text: string): number {
  return Buffer.byteLength(text) === text.length ? text.length : 2 * text.length;
}
