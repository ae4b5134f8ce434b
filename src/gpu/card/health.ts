/**
 * The health of one GPU: a state machine. It is told events, decides the state, and has no other effect. Its only clock is the one that it
 * is given.
 *
 * Faults of a GPU come from several sides at once. Its card and the operator are here; each of its instances has a state of its own
 * (../instance/health.ts). The state of an instance as others see it follows from all of them. The first that applies counts:
 *  1. `lost`: the card is not there.
 *  2. `unfit`: the instance cannot serve as things are.
 *  3. `faulted`: the instance failed, and has not proved yet that it works again.
 *  4. `draining`, `drained`: an operator took the GPU out.
 *  5. `cold`, `unloading`: the instance's model is not wanted there. Its GPU is ready all the same: it takes tasks, and loads models for them.
 *  6. `starting`: the instance's worker is not there, or loads the model.
 *  7. `hot`: the card has to cool down.
 *  8. `ready`. A GPU looks like the instance of it that is nearest to serving.
 */
import { InstanceHealth, type OwnState } from "../instance/health.ts";
import type { GpuState, InstanceState } from "../facts.ts";
import type { GpuEventRecord } from "../status.ts";

/** Degrees that a hot GPU has to fall below its limit. */
export const COOL_BY = 5;

/** Entries of the history that are kept. */
const HISTORY = 50;

/** The state of a GPU that has no instance yet. */
const NO_INSTANCE = { state: "starting", reason: "The model is being loaded." } as const;

/** From the nearest to serving to the farthest from it. */
const NEARNESS: readonly OwnState[] = ["ready", "cold", "unloading", "starting", "faulted", "unfit"];

export interface HealthOptions {
  /** Milliseconds of a clock that only goes forward. */
  readonly now: () => number;
  /** Unix milliseconds, for showing. */
  readonly wall: () => number;
  /** Degrees Celsius above which it gets no new tasks; null: no limit. */
  readonly maxTemperature: number | null;
  /** Called after the state of the GPU or of one of its instances has changed, or its reason. */
  readonly changed: () => void;
  /** Called with each new entry of the history. */
  readonly noted?: (event: GpuEventRecord, about: EventAbout) => void;
}

/** Facts of an event that are told beside its sentence, where there are any. */
export interface EventAbout {
  /** The user who did it. */
  readonly by?: string | undefined;
  readonly model?: string;
}

/** How a GPU or one of its instances looks from outside. */
export interface Visible {
  readonly state: InstanceState;
  /** One sentence: why it is not `ready`; null when it is. */
  readonly reason: string | null;
}

export class Health {
  readonly #options: HealthOptions;
  #instances: readonly InstanceHealth[] = [];
  #lost: string | null = null;
  #drain: { readonly reason: string; busy: boolean; readonly by: string | undefined } | null = null;
  #hot: string | null = null;
  #hasBegun = false;
  #visible: { readonly state: GpuState; readonly reason: string | null } = NO_INSTANCE;
  /** The last states told, in the order of the instances. */
  #each: readonly Visible[] = [];
  #since: number;
  readonly #history: GpuEventRecord[] = [];

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#since = options.wall();
    this.note("starting", NO_INSTANCE.reason);
  }

  get state(): GpuState {
    return this.#visible.state;
  }

  /** One sentence: why it is not `ready`; null when it is. */
  get reason(): string | null {
    return this.#visible.reason;
  }

  /** Unix milliseconds since when the state holds. */
  get since(): number {
    return this.#since;
  }

  /** The latest events, oldest first. */
  get history(): readonly GpuEventRecord[] {
    return this.#history;
  }

  get isLost(): boolean {
    return this.#lost !== null;
  }

  get isDraining(): boolean {
    return this.#drain !== null;
  }

  /** Its instances have been told what they are to do: from now on its state is shown as it is. */
  begin(): void {
    this.#hasBegun = true;
    this.#show("Its models are loaded when they are wanted.");
  }

  /** The health of a further instance on this GPU. */
  add(): InstanceHealth {
    const instance = new InstanceHealth({ now: this.#options.now, changed: (why) => this.#settle(why) });
    this.#instances = [...this.#instances, instance];
    return instance;
  }

  /** An instance is not there any more. */
  remove(instance: InstanceHealth): void {
    this.#instances = this.#instances.filter((one) => one !== instance);
    this.#settle("A model was taken away.");
  }

  /** How one of its instances looks, with what its card and the operator say. */
  visible(instance: Pick<InstanceHealth, "state" | "reason">): Visible {
    if (this.#lost !== null) return { state: "lost", reason: this.#lost };
    const { state, reason } = instance;
    if (state === "unfit" || state === "faulted") {
      const drained = this.#drain === null ? "" : " It is drained too, and tried again when it is resumed.";
      return { state, reason: reason + drained };
    }
    if (this.#drain !== null) {
      const isBusy = this.#drain.busy && state !== "cold";
      return { state: isBusy ? "draining" : "drained", reason: this.#drain.reason };
    }
    if (state === "ready" && this.#hot !== null) return { state: "hot", reason: this.#hot };
    return { state, reason };
  }

  /** Its card is gone. */
  vanish(why: string): void {
    this.#lost = why;
    for (const instance of this.#instances) instance.loseCard(why);
    this.#settle(why);
  }

  /** Its card is there again; what was wrong before it went says nothing about it now. */
  appear(): void {
    const why = "The GPU is there again; the model is being loaded.";
    // The instances first, so that nobody sees their old faults.
    for (const instance of this.#instances) instance.renew(why);
    this.#lost = null;
    this.#settle(why);
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

  /** @param busy whether tasks still run there, see `idle`; if not, its workers end now @param by the user who wants it; absent: nobody does now */
  drain(why: string, busy: boolean, by?: string): void {
    this.#drain = { reason: why, busy, by };
    if (!busy) this.#endForDrain();
    this.#settle(why);
  }

  /** No task runs there any more: in a drain, its workers end now. */
  idle(): void {
    if (this.#drain === null || !this.#drain.busy) return;
    this.#endForDrain();
    this.#drain.busy = false;
    this.#settle("Nothing runs there any more.");
  }

  resume(why: string): void {
    this.#drain = null;
    this.#settle(why);
  }

  /** Keeps an event in the history, and tells of it. */
  note(event: GpuEventRecord["event"], reason: string, about: EventAbout = {}): void {
    const record = { at: this.#options.wall(), event, reason };
    this.#history.push(record);
    if (this.#history.length > HISTORY) this.#history.shift();
    this.#options.noted?.(record, about);
  }

  #endForDrain(): void {
    for (const instance of this.#instances) instance.endForDrain();
  }

  #cool(why: string): void {
    if (this.#hot === null) return;
    this.#hot = null;
    this.#settle(why);
  }

  /** The one place where the state changes. */
  #settle(why: string): void {
    const instances = this.#instances.length > 0 ? this.#instances : [NO_INSTANCE];
    const each = instances.map((instance) => this.visible(instance));
    if (each.every((now, index) => isSame(now, this.#each[index] ?? NO_INSTANCE))) return;
    this.#each = each;
    this.#show(why);
  }

  #show(why: string): void {
    const instances = this.#instances.length > 0 ? this.#instances : [NO_INSTANCE];
    const now = this.#ofGpu(this.visible(instances[nearest(instances)]!));
    if (now.state !== this.#visible.state) {
      this.#since = this.#options.wall();
      const isOut = now.state === "draining" || now.state === "drained";
      this.note(now.state, now.reason ?? why, isOut ? { by: this.#drain?.by } : {});
    }
    this.#visible = now;
    this.#options.changed();
  }

  /** A GPU whose models are not loaded takes tasks, unless its card is too hot. Before it has begun they may be about to be loaded. */
  #ofGpu({ state, reason }: Visible): { state: GpuState; reason: string | null } {
    if (state !== "cold" && state !== "unloading") return { state, reason };
    if (!this.#hasBegun) return NO_INSTANCE;
    return this.#hot === null ? { state: "ready", reason: null } : { state: "hot", reason: this.#hot };
  }
}

/** Which instance is nearest to serving; the first of several. */
function nearest(instances: readonly Pick<InstanceHealth, "state">[]): number {
  const ranks = instances.map(({ state }) => NEARNESS.indexOf(state));
  return ranks.indexOf(Math.min(...ranks));
}

function isSame(one: Visible, other: Visible): boolean {
  return one.state === other.state && one.reason === other.reason;
}
