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
  /** Bytes that are in no JavaScript heap: SQLite's cache, the code, buffers. */
  readonly native: number;
  /** Bytes of the whole process, as the system sees it: with what the heaps keep for later. */
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

/** A thread's heap: what lives in it, and what it takes from the system. Bytes. */
interface Heap {
  readonly live: number;
  readonly taken: number;
}

const channel = new BroadcastChannel("memory probe");
channel.unref();

if (isMainThread && process.send !== undefined) {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION });
  delays.enable();
  process.on("message", () => {
    const late = [delays.percentile(99), delays.max].map((ns) => Math.max(0, ns / 1e6 - RESOLUTION));
    void look().then((held) => {
      process.send?.({ ...held, delayP99: late[0]!, delayMax: late[1]! } satisfies Memory);
      // The collections were none of the server's own doing.
      setTimeout(() => delays.reset(), RESOLUTION);
    });
  });
}
if (!isMainThread) {
  channel.onmessage = ({ data }: { data: unknown }) => {
    if (data === null) channel.postMessage(heapOf());
  };
}

async function look(): Promise<Omit<Memory, "delayP99" | "delayMax">> {
  const others: Heap[] = [];
  channel.onmessage = ({ data }: { data: unknown }) => void (data !== null && others.push(data as Heap));
  channel.postMessage(null);
  await sleep(PATIENCE);
  const own = heapOf();
  const { rss } = process.memoryUsage();
  const sum = (key: keyof Heap) => others.reduce((total, heap) => total + heap[key], 0);
  return {
    heap: own.live,
    threads: sum("live"),
    native: rss - own.taken - sum("taken"),
    resident: rss,
    handles: process.getActiveResourcesInfo().length,
    files: openFiles(),
  };
}

/** After a collection; two, because what the first one finalizes is only free after the second. */
function heapOf(): Heap {
  globalThis.gc?.();
  globalThis.gc?.();
  const { used_heap_size, external_memory, total_physical_size } = getHeapStatistics();
  return { live: used_heap_size + external_memory, taken: total_physical_size };
}

function openFiles(): number | null {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return null;
  }
}
