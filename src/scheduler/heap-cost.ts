/**
 * The heap that a waiting task takes while its text is in the store. The heap bounds how many may wait, whatever the configuration
 * allows: a server that accepted more than it can hold would die, and so would each of its starts.
 */
import { PLAIN_NEEDS, type Sampling } from "../request.ts";
import type { Task } from "../task.ts";

/** Bytes of a task's object and of its places in the queue, the alarms and the maps; measured 750 (bench/queue-memory.ts). */
const TASK = 1000;
/** Bytes of a batch that is kept for one task at worst. */
const OF_BATCH = 600;
/** Bytes of a webhook beside its URL. */
const OF_WEBHOOK = 200;
/** Bytes of a list of needs. */
const OF_NEEDS = 200;
/** Bytes of a token's bias; measured 64. */
const OF_BIAS = 80;
/** Bytes of a string beside its characters. */
const OF_STRING = 40;

/** The most bytes that a task may take, without its text; the same through all of its life. */
export function heapCostOf({ prefix, taskType, webhook, batchId, model, needs, sampling }: Task): number {
  const ofWebhook = webhook === null ? 0 : OF_WEBHOOK + heapBytesOfString(webhook.url);
  return (
    TASK +
    8 * prefix.length +
    heapBytesOfString(taskType) +
    (model === null ? 0 : OF_STRING + heapBytesOfString(model)) +
    // Whatever is long about sampling is a need.
    (needs === PLAIN_NEEDS ? 0 : OF_NEEDS + heapBytesOfSampling(sampling)) +
    // A start gives the batch a webhook of its own.
    (batchId === null ? ofWebhook : OF_BATCH + 2 * ofWebhook)
  );
}

function heapBytesOfSampling({ stop = [], logitBias }: Sampling): number {
  let bytes = logitBias === undefined ? 0 : OF_BIAS * Object.keys(logitBias).length;
  for (const text of stop) bytes += OF_STRING + heapBytesOfString(text);
  return bytes;
}

/** The last string that was measured: most tasks have the same type. */
let last = { text: "", bytes: 0 };

function heapBytesOfString(text: string): number {
  if (text === last.text) return last.bytes;
  const bytes = Buffer.byteLength(text) === text.length ? text.length : 2 * text.length;
  last = { text, bytes };
  return bytes;
}
