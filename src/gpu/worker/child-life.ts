/**
 * The life of a process that works for the server. It belongs to its parent. Signals are the parent's business, so those that a terminal or
 * a service manager sends to the whole group are ignored here; and when the channel closes, for whatever reason, the process ends at once.
 */
import { ignoreSignals } from "./child-environment.ts";
import type { ProcessUse } from "./process-use.ts";

let leaving = false;

/** To be called once. */
export function belongToParent(): void {
  ignoreSignals();
  process.on("disconnect", () => {
    // Without a parent there is nobody to work for. Only SIGKILL doesn't wait for what native code is doing on its threads.
    if (leaving) process.exit(0);
    process.kill(process.pid, "SIGKILL");
  });
  process.on("uncaughtException", (error) => {
    console.error(error);
    process.exit(1);
  });
}

/** Closes the channel, when all that was sent has arrived, and ends the process without a failure. */
export function leaveParent(): void {
  leaving = true;
  if (process.connected) process.disconnect();
}

export function usedHere(): ProcessUse {
  const { user, system } = process.cpuUsage();
  return { cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() };
}
