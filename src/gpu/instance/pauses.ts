/** How long to wait before a worker is started again. */
import { MAX_CRASHES } from "./health.ts";

/** Milliseconds. */
export interface LifecycleTiming {
  /** Before a worker that died is started again. */
  readonly restartPause: number;
  /** Pauses before each further try with a GPU that failed or has too little memory; the last one repeats. */
  readonly retryPauses: readonly number[];
  /** Time of service after which the pauses begin anew. */
  readonly healthyAfter: number;
}

export const DEFAULT_TIMING: LifecycleTiming = {
  restartPause: 500,
  retryPauses: [5000, 15_000, 30_000, 60_000, 120_000, 300_000],
  healthyAfter: 300_000,
};

/** @param tries since it served for long */
export function retryPause({ retryPauses }: LifecycleTiming, tries: number): number {
  return retryPauses[Math.min(tries, retryPauses.length - 1)] ?? 0;
}

/** For the workers of a process that dies again and again. @param deaths lately */
export function sharedPause(timing: LifecycleTiming, deaths: number): number {
  return deaths < MAX_CRASHES ? timing.restartPause : retryPause(timing, deaths - MAX_CRASHES);
}
