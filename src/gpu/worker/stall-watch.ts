/**
 * Notices a worker that lives and makes no progress. It counts ticks, not time: after this server itself was suspended, one late tick must
 * not cost a worker its life.
 */
import { HEARTBEAT_MS } from "./messages.ts";

export interface StallLimits {
  /** Seconds without a sign of life, or without progress while it has work, after which it counts as stalled. */
  readonly stallTimeout: number;
  /** Seconds that loading the model may take. */
  readonly loadTimeout: number;
}

/** Milliseconds from one tick to the next. */
export const TICK_MS = HEARTBEAT_MS;

export function ticksIn(seconds: number): number {
  return (seconds * 1000) / TICK_MS;
}

export class StallWatch {
  readonly #limits: StallLimits;
  /** Ticks since the last sign of life, and since the last progress. */
  #silent = 0;
  #still = 0;
  /** Ticks of loading; null: it has loaded. */
  #loading: number | null = 0;
  #progress = 0;

  constructor(limits: StallLimits) {
    this.#limits = limits;
  }

  /** It has said something. */
  heard(): void {
    this.#silent = 0;
  }

  loaded(): void {
    this.#loading = null;
  }

  /** It has made progress, or had no work until now. */
  gotOn(): void {
    this.#still = 0;
  }

  /** @param progress its engine's count of steps */
  counted(progress: number): void {
    if (progress !== this.#progress) this.#still = 0;
    this.#progress = progress;
  }

  tick(hasWork: boolean): void {
    this.#silent++;
    this.#still = hasWork ? this.#still + 1 : 0;
    if (this.#loading !== null) this.#loading++;
  }

  /** The fault, as one sentence; null: none. */
  get stall(): string | null {
    const { stallTimeout, loadTimeout } = this.#limits;
    const key = `${stallTimeout} s (gpu.stall_timeout)`;
    if (this.#silent > ticksIn(stallTimeout)) return `The worker gave no sign of life for ${key}.`;
    if (this.#still > ticksIn(stallTimeout)) return `The worker made no progress on its tasks for ${key}.`;
    const loads = this.#loading !== null && this.#loading > ticksIn(loadTimeout);
    return loads ? `The worker did not get the model loaded within ${loadTimeout} s.` : null;
  }
}
