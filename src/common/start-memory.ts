/** How V8 treats the memory of a process that has started. Node's modules are loaded where they are used: imports would make a start longer. */

/** Milliseconds between two looks. */
const LOOK = 1000;

/** Share of its time at most that an event loop works which has nothing to do. */
const IDLE = 0.05;

/** Share of its time from which on an event loop is busy. */
const BUSY = 0.25;

/** Looks that found it busy: so many are more than a start has to do. */
const BUSY_LOOKS = 5;

let looking: NodeJS.Timeout | undefined;

/**
 * V8 keeps the room that loading hundreds of modules took, and gives nothing back while nothing happens: a third of what an idle process holds.
 * This gives it back at the first quiet second from now on: that takes tens of milliseconds, for which nobody is to wait. It keeps no process alive.
 * A server that was busy first keeps it: V8 would forget the shapes of all objects that are gone, and compile again what was fast. That costs a
 * fifth of the speed for the next 20 seconds.
 */
export function releaseStartMemory(): void {
  clearInterval(looking);
  let before = performance.eventLoopUtilization();
  let busy = 0;
  looking = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    if (utilization >= BUSY) busy++;
    if (busy === BUSY_LOOKS || (utilization <= IDLE && collect())) clearInterval(looking);
  }, LOOK);
  looking.unref();
}

interface Collector {
  (options: { readonly type: "major"; readonly flavor: "last-resort" }): void;
}

/** @returns false: another thread has taken the flag back meanwhile, which is the process's */
function collect(): boolean {
  // Else what was compiled would be lost with a process that is killed, and compiled again at its every start.
  process.getBuiltinModule("node:module").flushCompileCache();
  const { setFlagsFromString } = process.getBuiltinModule("node:v8");
  const { runInNewContext } = process.getBuiltinModule("node:vm");
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("globalThis.gc") as Collector | undefined;
  setFlagsFromString("--no-expose-gc");
  gc?.({ type: "major", flavor: "last-resort" });
  return gc !== undefined;
}

/**
 * Where V8 sees that what one line makes mostly outlives a collection, as after a pause, it would make all of that line's objects old from then
 * on: such a one keeps the whole request that it belongs to. This holds for the whole process. Only after the start: V8 takes no code that
 * was compiled under other flags, and would compile all modules of Node anew.
 */
export function keepNewObjectsYoung(): void {
  process.getBuiltinModule("node:v8").setFlagsFromString("--no-allocation-site-pretenuring");
}
