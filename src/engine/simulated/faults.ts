/** The effects of a simulated engine's failure script on a task, and on the worker. */
import type { SimulatedFailure, SimulatedFaults } from "../engine.ts";
import { EngineFailure } from "../failures.ts";

/** Seconds after which a simulated GPU that was full may have room. */
const FULL_SECONDS = 1;

/** Milliseconds between two looks of a hanging process at whether its parent still lives. */
const HANG_CHECK_MS = 1000;

/** Read before any task hangs: when one does, the parent may have died a moment before, and the process have another one. */
const PARENT = process.ppid;

/** Tokens after which it happens; `never` if it does not. */
export function afterOf(failure: SimulatedFailure | undefined, never: number): number {
  return failure === undefined ? never : (failure.after_tokens ?? 0);
}

/** The sentence for a task about a failure that its worker survives. */
export function errorOf({ kind }: SimulatedFailure, generated: number): EngineFailure {
  const after = `after ${generated} tokens`;
  if (kind === "full")
    return new EngineFailure("gpu_full", `The simulated GPU has no room ${after}.`, { retryAfter: FULL_SECONDS });
  if (kind === "cut_off") return new EngineFailure("gpu_lost", `The simulated GPU was cut off ${after}.`);
  if (kind === "out_of_memory") return new EngineFailure(kind, `The simulated GPU has no memory left ${after}.`);
  return new EngineFailure("model_error", `The simulated model is set to fail ${after}.`);
}

export const OF_THIS_PROCESS: SimulatedFaults = {
  crash: () => process.kill(process.pid, "SIGKILL"),
  hang,
};

/** Blocks the event loop for good, but not beyond the life of the parent: nobody else would ever end this process. */
function hang(): never {
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    Atomics.wait(never, 0, 0, HANG_CHECK_MS);
    if (process.ppid !== PARENT) process.kill(process.pid, "SIGKILL");
  }
}
