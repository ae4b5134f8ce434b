/**
 * The health of one GPU: a state machine that is told what happened and says in which state the GPU is. It does nothing itself and
 * waits for nothing; the only clock is the one it is given.
 *
 * What can be wrong with a GPU comes from several sides at once (its card, its worker, the operator), so each side is kept by itself
 * and the state follows from all of them. The first that applies counts:
 *  1. `lost`: its card is not there.
 *  2. `unfit`: it cannot serve as things are.
 *  3. `faulted`: it failed, and has not proved yet that it works again.
 *  4. `draining`, `drained`: an operator took it out.
 *  5. `starting`: its worker is not there, or loads the model.
 *  6. `hot`: it has to cool down.
 *  7. `ready`.
 */
import { type GpuEventRecord, type GpuState } from "../status.ts";

/** Crashes within `CRASH_WINDOW` milliseconds that make a GPU `faulted`. */
export const MAX_CRASHES = 3;
export const CRASH_WINDOW = 300_000;

/** Degrees that a hot GPU has to fall below its limit. */
export const COOL_BY = 5;

const ENDED_FOR_DRAIN = "Its worker ended for the drain; the model is to be loaded again.";

/** Entries of the history that are kept. */
const HISTORY = 50;

export interface HealthOptions {
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** Unix milliseconds, for showing. */
  readonly wall: () => number;
  /** Degrees Celsius above which it gets no new tasks; null: no limit. */
  readonly maxTemperature: number | null;
  /** Called after the state or its reason has changed. */
  readonly changed: () => void;
}

export class Health {
  readonly #options: HealthOptions;
  #lost: string | null = null;
  #unfit: string | null = null;
  #fault: string | null = null;
  #drain: { readonly reason: string; busy: boolean } | null = null;
  /** Why its worker does not serve; null: it does. */
  #starting: string | null = "The model is being loaded.";
  #hot: string | null = null;
  #state: GpuState = "starting";
  #reason: string | null = this.#starting;
  #since: number;
  /** When the latest crashes were. */
  #crashes: number[] = [];
  readonly #history: GpuEventRecord[] = [];

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#since = options.wall();
    this.note("starting", this.#starting!);
  }

  get state(): GpuState {
    return this.#state;
  }

  /** One sentence: why it is not `ready`; null when it is. */
  get reason(): string | null {
    return this.#reason;
  }

  /** Unix milliseconds since when the state holds. */
  get since(): number {
    return this.#since;
  }

  /** The latest events, oldest first. */
  get history(): readonly GpuEventRecord[] {
    return this.#history;
  }

  /** Whether it failed and has to prove that it works again. */
  get isFaulted(): boolean {
    return this.#fault !== null;
  }

  get isDraining(): boolean {
    return this.#drain !== null;
  }

  /** Its worker is being started, for the first time or again. */
  starting(why: string): void {
    this.#starting = why;
    this.#settle(why);
  }

  /** Its worker has loaded the model, and has proved itself if it had failed before. */
  serving(): void {
    const why = this.#fault === null ? "The model is loaded." : "It works again.";
    this.#starting = null;
    this.#fault = null;
    this.#unfit = null;
    this.#settle(why);
  }

  /** Its worker died, or has to be replaced. Too many crashes in a short time are a fault. */
  crashed(why: string): void {
    const now = this.#options.now();
    this.#crashes = [...this.#crashes.filter((at) => now - at < CRASH_WINDOW), now];
    this.#starting = why;
    if (this.#crashes.length < MAX_CRASHES) return this.#settle(why);
    const minutes = CRASH_WINDOW / 60_000;
    this.fault(`The worker failed ${this.#crashes.length} times within ${minutes} minutes. ${why}`);
  }

  /** It failed. What it does next proves nothing until `serving`. */
  fault(why: string): void {
    this.#fault = why;
    this.#starting ??= why;
    // It starts anew from here: when it works again, one more crash is not the fourth.
    this.#crashes = [];
    this.#settle(why);
  }

  /** It cannot serve as things are; until `serving` proves that they have changed. */
  refuse(why: string): void {
    this.#unfit = why;
    this.#starting ??= why;
    this.#settle(why);
  }

  /** Its card is gone. */
  vanish(why: string): void {
    this.#lost = why;
    this.#starting ??= why;
    this.#settle(why);
  }

  /** Its card is there again; what was wrong before it went says nothing about it now. */
  appear(): void {
    this.#lost = null;
    this.#fault = null;
    this.starting("The GPU is there again; the model is being loaded.");
  }

  /** @param celsius its temperature now; null: not known, so it keeps nothing out */
  temperature(celsius: number | null): void {
    const limit = this.#options.maxTemperature;
    if (limit === null) return;
    if (celsius === null) return this.#cool("Its temperature is not known any more.");
    if (celsius > limit && this.#hot === null) {
      this.#hot = `It was at ${celsius} °C, over the limit of ${limit} °C; it gets no new tasks until it is at ${limit - COOL_BY} °C.`;
      this.#settle(this.#hot);
    }
    if (celsius <= limit - COOL_BY) this.#cool(`It has cooled down to ${celsius} °C.`);
  }

  /** @param busy whether tasks still run there, see `idle`; if not, its worker ends now */
  drain(why: string, busy: boolean): void {
    this.#drain = { reason: why, busy };
    if (!busy) this.#starting ??= ENDED_FOR_DRAIN;
    this.#settle(why);
  }

  /** Nothing runs there any more; a worker that was to finish for a drain ends now. */
  idle(): void {
    if (this.#drain === null || !this.#drain.busy) return;
    this.#drain.busy = false;
    this.#starting ??= ENDED_FOR_DRAIN;
    this.#settle("Nothing runs there any more.");
  }

  resume(why: string): void {
    this.#drain = null;
    this.#settle(why);
  }

  /** Keeps an event in the history. */
  note(event: GpuEventRecord["event"], reason: string): void {
    this.#history.push({ at: this.#options.wall(), event, reason });
    if (this.#history.length > HISTORY) this.#history.shift();
  }

  #cool(why: string): void {
    if (this.#hot === null) return;
    this.#hot = null;
    this.#settle(why);
  }

  /** The one place where the state changes. */
  #settle(why: string): void {
    const [state, reason] = this.#conclude();
    if (state === this.#state && reason === this.#reason) return;
    if (state !== this.#state) {
      this.#since = this.#options.wall();
      this.note(state, reason ?? why);
    }
    this.#state = state;
    this.#reason = reason;
    this.#options.changed();
  }

  #conclude(): readonly [GpuState, string | null] {
    if (this.#lost !== null) return ["lost", this.#lost];
    const drained = this.#drain === null ? "" : " It is drained too, and tried again when it is resumed.";
    if (this.#unfit !== null) return ["unfit", this.#unfit + drained];
    if (this.#fault !== null) return ["faulted", this.#fault + drained];
    if (this.#drain !== null) return [this.#drain.busy ? "draining" : "drained", this.#drain.reason];
    if (this.#starting !== null) return ["starting", this.#starting];
    if (this.#hot !== null) return ["hot", this.#hot];
    return ["ready", null];
  }
}
