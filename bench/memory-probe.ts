/* Loaded into a server before its own code: says how much memory its process has, whenever it is asked. */
import { isMainThread } from "node:worker_threads";

/** Bytes. */
export interface Memory {
  /** Live JavaScript objects of the main thread, and what they hold outside of the heap. */
  readonly heap: number;
  /** Of the whole process, as the system sees it: with SQLite's cache, the code, and what the heap keeps for later. */
  readonly resident: number;
}

if (isMainThread && process.send !== undefined) {
  process.on("message", () => {
    // Twice, because what the first one finalizes is only free after the second.
    globalThis.gc?.();
    globalThis.gc?.();
    const { heapUsed, external, rss } = process.memoryUsage();
    process.send?.({ heap: heapUsed + external, resident: rss } satisfies Memory);
  });
}
