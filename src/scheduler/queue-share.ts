/**
 * How much of the queue one caller may fill. A single user may fill all of it. With several users each has half by default, so that a full
 * share leaves some of the queue to the others.
 */
import type { CallerLimits } from "./callers.ts";

/** A default share is never fewer tasks, however small the queue. */
const LEAST_TASKS = 16;

/** How much may wait in all. */
export interface QueueSize {
  /** Tasks (`gpu.multi_gpu.max_queue_size`). */
  readonly maxQueueSize: number;
  /** Bytes of text in UTF-8 (`gpu.multi_gpu.max_queue_bytes`). */
  readonly maxQueueBytes: number;
  /** Bytes of the heap that waiting tasks take without their texts (`heapForWaiting`). */
  readonly maxQueueHeap: number;
}

/** How much of one caller may wait. */
export interface QueueShare {
  /** Infinity: only the whole queue is a limit. */
  readonly tasks: number;
  /** Bytes of text in UTF-8; Infinity: only the whole queue is a limit. */
  readonly bytes: number;
  /** Bytes of the heap; Infinity: only the whole queue is a limit. */
  readonly heap: number;
  /** Why it may have so many tasks, and where that is set. */
  readonly tasksBy: string;
  /** The same of the bytes. */
  readonly bytesBy: string;
}

/**
 * A caller's share. `max_queued` does not lift the limit of bytes: a few long texts would fill the queue all the same.
 * @param isShared whether more than one user is known
 */
export function queueShare(
  { maxQueued, maxQueuedKey }: CallerLimits,
  { maxQueueSize, maxQueueBytes, maxQueueHeap }: QueueSize,
  isShared: boolean,
): QueueShare {
  const isLimited = isShared && maxQueued !== "unlimited";
  const half = (key: string): string =>
    `half of gpu.multi_gpu.${key}, because there are several users; ${maxQueuedKey}`;
  const byDefault = isLimited ? Math.max(LEAST_TASKS, Math.floor(maxQueueSize / 2)) : Infinity;
  return {
    tasks: typeof maxQueued === "number" ? maxQueued : byDefault,
    bytes: isLimited ? Math.floor(maxQueueBytes / 2) : Infinity,
    heap: isLimited ? Math.floor(maxQueueHeap / 2) : Infinity,
    tasksBy: typeof maxQueued === "number" ? maxQueuedKey : half("max_queue_size"),
    bytesBy: half("max_queue_bytes"),
  };
}
