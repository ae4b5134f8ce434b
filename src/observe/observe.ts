/** Observers that run from the start of the server to its end. */
import type { Logger } from "../log/log.ts";
import { EventRing } from "./event-ring.ts";
import { startTraces } from "./traces-wanted.ts";

/** Call it first of all, so that nothing happens unseen: what is started first ends last. @returns what operators are told */
export async function observe(log: Logger, started: AsyncDisposableStack): Promise<EventRing> {
  started.adopt(await startTraces(process.env, log), (traces) => traces?.stop());
  return started.adopt(new EventRing(), (ring) => ring.stop());
}
