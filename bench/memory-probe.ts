/* Loaded into a server before its own code: says what its process holds and how late its event loop was, whenever it is asked. */
import { readdirSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { getHeapStatistics } from "node:v8";
import { BroadcastChannel, isMainThread } from "node:worker_threads";

export interface Memory {
  /** Bytes: live JavaScript objects of the main thread, and what they hold outside of the heap. */
  readonly heap: number;
  /** Bytes: the same of its other threads. */
  readonly threads: number;
  /** Bytes of the whole process, as the system sees it: with SQLite's cache, the code, and what the heaps keep for later. */
  readonly resident: number;
  /** What keeps the event loop alive: sockets, timers, files. */
  readonly handles: number;
  /** Open file descriptors; null: this system does not tell. */
  readonly files: number | null;
  /** Milliseconds that the event loop came late, since it was asked the last time: the 99th percentile, and the longest. */
  readonly delayP99: number;
  readonly delayMax: number;
}

/** Milliseconds between two looks at the event loop, which themselves are no delay. */
const RESOLUTION = 10;
/** Milliseconds in which the other threads have answered. */
const PATIENCE = 200;

const channel = new BroadcastChannel("memory probe");
channel.unref();

if (isMainThread && process.send !== undefined) {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION });
  delays.enable();
  const answer = async (): Promise<void> => {
    const late = [delays.percentile(99), delays.max].map((ns) => Math.max(0, ns / 1e6 - RESOLUTION));
    const held = await look();
    process.send?.({ ...held, delayP99: late[0]!, delayMax: late[1]! } satisfies Memory);
    // The collections were none of the server's own doing.
    setTimeout(() => delays.reset(), RESOLUTION);
  };
  process.on("message", () => void answer());
}
if (!isMainThread) {
  channel.addEventListener("message", (event) => {
    if (saidIn(event) === null) tell(liveHeap());
  });
}

async function look(): Promise<Omit<Memory, "delayP99" | "delayMax">> {
  let threads = 0;
  const add = (event: Event): void => void (threads += Number(saidIn(event)));
  channel.addEventListener("message", add);
  tell(null);
  await sleep(PATIENCE);
  channel.removeEventListener("message", add);
  return {
    heap: liveHeap(),
    threads,
    resident: process.memoryUsage.rss(),
    handles: process.getActiveResourcesInfo().length,
    files: openFiles(),
  };
}

/** What another thread has told. */
function saidIn(event: Event): unknown {
  return (event as Event & { readonly data: unknown }).data;
}

/** @param bytes null: asks the other threads for theirs */
function tell(bytes: number | null): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  channel.postMessage(bytes);
}

/** Bytes of this thread, after a collection; two, because what the first one finalizes is only free after the second. */
function liveHeap(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

function openFiles(): number | null {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return null;
  }
}
