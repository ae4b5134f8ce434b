/**
 * Memory that a start has left behind. V8 keeps the room that loading hundreds of modules took, and gives nothing back while nothing happens:
 * a third of what an idle process holds.
 */
import { flushCompileCache } from "node:module";
import { performance } from "node:perf_hooks";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Milliseconds between two looks. */
const LOOK = 1000;

/** Share of its time at most that an event loop works which has nothing to do. */
const IDLE = 0.05;

let looking: NodeJS.Timeout | undefined;

/**
 * Gives it back at the first quiet second from now on: that takes tens of milliseconds, for which nobody is to wait. It keeps no process alive.
 */
export function releaseStartMemory(): void {
  clearInterval(looking);
  let before = performance.eventLoopUtilization();
  looking = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    if (utilization <= IDLE && collect()) clearInterval(looking);
  }, LOOK);
  looking.unref();
}

interface Collector {
  (options: { readonly type: "major"; readonly flavor: "last-resort" }): void;
}

/** @returns false: another thread has taken the flag back meanwhile, which is the process's */
function collect(): boolean {
  // Else what was compiled would be lost with a process that is killed, and compiled again at its every start.
  flushCompileCache();
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("globalThis.gc") as Collector | undefined;
  setFlagsFromString("--no-expose-gc");
  gc?.({ type: "major", flavor: "last-resort" });
  return gc !== undefined;
}
