/**
 * The health of one instance: a state machine that is told what happened to its worker and decides the instance's state. Its card and the
 * operator are in ../card/health.ts. The first that applies counts:
 *  1. `unfit`: it cannot serve as things are.
 *  2. `faulted`: it failed, and has not yet shown that it works again.
 *  3. `cold`: its model is not wanted there now; `unloading`: its worker is yet to go.
 *  4. `starting`: its worker is not there, or loads the model.
 *  5. `ready`.
 */
import type { InstanceState } from "../facts.ts";

/** Crashes within `CRASH_WINDOW` milliseconds that make an instance `faulted`. */
export const MAX_CRASHES = 3;
export const CRASH_WINDOW = 300_000;

const ENDED_FOR_DRAIN = "Its worker ended for the drain; the model is to be loaded again.";

/** Without what its card and the operator say. */
export type OwnState = Extract<InstanceState, "unfit" | "faulted" | "cold" | "unloading" | "starting" | "ready">;

export interface InstanceHealthOptions {
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** Called after each change. @param why one sentence */
  readonly changed: (why: string) => void;
}

export class InstanceHealth {
  readonly #options: InstanceHealthOptions;
  #unfit: string | null = null;
  #fault: string | null = null;
  /** Why its worker does not serve; null: it does. */
  #starting: string | null = "The model is being loaded.";
  /** The times of the latest crashes. */
  #crashes: number[] = [];
  /** Why its model is not there, and is not to be; null: it is, or is to be. */
  #absent: { readonly state: "cold" | "unloading"; readonly why: string } | null = null;

  constructor(options: InstanceHealthOptions) {
    this.#options = options;
  }

  get state(): OwnState {
    if (this.#unfit !== null) return "unfit";
    if (this.#fault !== null) return "faulted";
    if (this.#absent !== null) return this.#absent.state;
    return this.#starting === null ? "ready" : "starting";
  }

  /** One sentence: why it is not `ready`; null when it is. */
  get reason(): string | null {
    return this.#unfit ?? this.#fault ?? this.#absent?.why ?? this.#starting;
  }

  /** Whether it failed and has to show that it works again. */
  get isFaulted(): boolean {
    return this.#fault !== null;
  }

  /** Its model is not wanted there any more. Earlier faults say nothing about the next load. */
  absent(state: "cold" | "unloading", why: string): void {
    this.#absent = { state, why };
    this.#unfit = null;
    this.#fault = null;
    this.#starting = why;
    this.#options.changed(why);
  }

  /** Its model is yet to come here. Earlier faults say nothing about it. */
  awaits(why: string): void {
    this.#unfit = null;
    this.#fault = null;
    this.starting(why);
  }

  /** Its worker is being started, for the first time or again. */
  starting(why: string): void {
    this.#absent = null;
    this.#starting = why;
    this.#options.changed(why);
  }

  /** Its worker has loaded the model, and has proved itself if it had failed before. */
  serving(): void {
    const why = this.#fault === null ? "The model is loaded." : "It works again.";
    this.#starting = null;
    this.#absent = null;
    this.#fault = null;
    this.#unfit = null;
    this.#options.changed(why);
  }

  /** Its worker died, or has to be replaced. Too many crashes in a short time are a fault. */
  crashed(why: string): void {
    const now = this.#options.now();
    this.#crashes = [...this.#crashes.filter((at) => now - at < CRASH_WINDOW), now];
    this.#starting = why;
    if (this.#crashes.length < MAX_CRASHES) return this.#options.changed(why);
    const minutes = CRASH_WINDOW / 60_000;
    this.fault(`The worker failed ${this.#crashes.length} times within ${minutes} minutes. ${why}`);
  }

  /** It failed. Its next steps prove nothing until `serving`. */
  fault(why: string): void {
    this.#fault = why;
    this.#starting ??= why;
    // The count starts anew: after it works again, one more crash is not the fourth.
    this.#crashes = [];
    this.#options.changed(why);
  }

  /** It cannot serve as things are; until `serving` proves that they have changed. */
  refuse(why: string): void {
    this.#unfit = why;
    this.#starting ??= why;
    this.#options.changed(why);
  }

  /** Its worker ends because its card is drained. */
  endForDrain(): void {
    this.#starting ??= ENDED_FOR_DRAIN;
    this.#options.changed(ENDED_FOR_DRAIN);
  }

  /** Its card is gone, and with it its worker. */
  loseCard(why: string): void {
    this.#starting ??= why;
    this.#options.changed(why);
  }

  /** Its card is there again: a fault from before says nothing about it now. */
  renew(why: string): void {
    this.#fault = null;
    if (this.#absent === null) this.starting(why);
  }
}
