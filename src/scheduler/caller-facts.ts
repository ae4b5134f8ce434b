/** The callers as they stand, for whoever asks. */
import type { Admission } from "./admission.ts";
import type { Caller, Callers } from "./callers.ts";

export interface CallerFacts {
  readonly user: string;
  /** Tasks that run, and tasks that wait. */
  readonly running: number;
  readonly queued: number;
  /**
   * 0 to 1: the part of all work that it is given while it and the others that have tasks now want more than there is: its weight, divided by
   * the weights of them all. 0: it has none.
   */
  readonly share: number;
  /** null: no limit. */
  readonly limits: {
    readonly weight: number;
    readonly maxRunning: number | null;
    /** Tasks that may wait: its own limit, its default share of the queue, or the whole queue. */
    readonly maxQueued: number;
    readonly requestsPerMinute: number | null;
    readonly tokensPerMinute: number | null;
  };
}

/** @param user the only one that is wanted; null: all that are known, by their names */
export function callerFacts(
  callers: Callers,
  admission: Pick<Admission, "mostQueuedOf">,
  user: string | null,
): readonly CallerFacts[] {
  const wanted = user === null ? [...callers.all] : [callers.of({ user })];
  let weights = 0;
  for (const { limits, isActive } of callers.all) if (isActive) weights += limits.weight;
  return wanted
    .map((caller) => factsOf(caller, weights, admission.mostQueuedOf(caller)))
    .toSorted((one, other) => (one.user < other.user ? -1 : 1));
}

function factsOf({ name, running, queued, isActive, limits }: Caller, weights: number, maxQueued: number): CallerFacts {
  const { weight, maxRunning, requestsPerMinute, tokensPerMinute } = limits;
  return {
    user: name,
    running: running.size,
    queued,
    share: isActive ? weight / weights : 0,
    limits: { weight, maxRunning, maxQueued, requestsPerMinute, tokensPerMinute },
  };
}
