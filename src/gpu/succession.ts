/**
 * The instances of one GPU that come and go with the configuration. One whose model is gone, or has another worker now, is retired: it
 * takes nothing new, and goes when nothing runs there. One whose model is loaded, and is to be another from now on, has a successor: that
 * is loaded beside it or in its place, as the scheduler decides. It is retired when its successor serves; until then it stays, so that
 * a successor that cannot be loaded leaves things as they were.
 */
import type { Logger } from "pino";
import type { Instance } from "./instance/instance.ts";
import type { LoadFailure } from "./instance/lifecycle.ts";
import { isThere, keyOf, type ServedModel } from "./served.ts";

const TAKEN_OVER = "Another instance of its model has taken its place.";
const TAKEN_OUT = "Its model is served no more: it was taken out of the configuration, or removed.";

interface Change {
  readonly old: Instance;
  readonly next: Instance;
  /** The last failure to load the successor that was looked at. */
  seen: LoadFailure | null;
  /** Whether that ends the change: with the memory of the old one, too, it would not have been loaded. */
  isFinal: boolean;
}

/** The models that may be on a GPU from now on. */
export interface Served {
  /** By their keys. */
  readonly models: ReadonlyMap<string, ServedModel>;
  /** Whether its device has a model of its own. */
  readonly hasOwn: boolean;
  /** Whether its card is there and no operator has taken it out. */
  readonly isUp: boolean;
  /** Makes an instance. @param model null: its device's own */
  readonly add: (model: ServedModel | null) => Instance;
}

export interface SuccessionEvents {
  /** Nothing runs any more on an instance that is retired. */
  idle(instance: Instance, why: string): void;
  /** An instance that made room for its successor is wanted again. */
  wanted(instance: Instance): void;
}

export class Succession {
  readonly #log: Logger;
  readonly #events: SuccessionEvents;
  /** With a sentence that says why. */
  readonly #retired = new Map<Instance, string>();
  /** Those of them that are about to be gone. */
  readonly #going = new Set<Instance>();
  #changes: readonly Change[] = [];

  constructor(log: Logger, events: SuccessionEvents) {
    this.#log = log;
    this.#events = events;
  }

  /** Why an instance takes nothing new any more; null: it does. */
  whyRetired(instance: Instance): string | null {
    return this.#retired.get(instance) ?? null;
  }

  isSuccessor(instance: Instance): boolean {
    return this.#changes.some(({ next }) => next === instance);
  }

  /** Whether placement knows nothing of it: it is to take another one's place, and cannot be loaded as things are. */
  isHidden(instance: Instance): boolean {
    return this.#changes.some((change) => change.next === instance && !isPossible(change));
  }

  /** Why the successor of another one could not be loaded, and is not tried again by itself; null: it could, or is none. */
  failureOf(instance: Instance): string | null {
    const change = this.#changes.find(({ next }) => next === instance);
    return change?.isFinal === true ? (instance.life.failure?.sentence ?? null) : null;
  }

  /** The number of the instance that is to take its place, and can be loaded; null: none. */
  successorOf(instance: Instance): number | null {
    return this.#changes.find((change) => change.old === instance && isPossible(change))?.next.id ?? null;
  }

  /** Has each of these models have its instance, and retires the others. @param instances of the GPU */
  serve(instances: readonly Instance[], { models, hasOwn, isUp, add }: Served): void {
    const present = instances.filter((one) => !this.#retired.has(one));
    const isServed = ({ stay: { served } }: Instance): boolean =>
      served === null ? hasOwn : models.has(keyOf(served.settings));
    const stays = (one: Instance): boolean =>
      isServed(one) || this.#changes.some(({ old, next }) => old === one && isServed(next));
    const gone = new Set(present.filter((one) => !stays(one)));
    const staying = present.filter((one) => !gone.has(one));
    const known = new Set(staying.map(({ stay: { served } }) => (served === null ? null : keyOf(served.settings))));
    for (const instance of staying) update(instance, models);
    if (hasOwn && !known.has(null)) add(null);
    for (const [key, model] of models) {
      if (known.has(key)) continue;
      const before = [...gone].filter(({ stay }) => stay.served?.settings.name === model.settings.name);
      for (const instance of before) gone.delete(instance);
      this.#replace(before, add(model), isUp);
    }
    for (const instance of gone) this.#retire(instance, TAKEN_OUT);
  }

  /** @param before the instances of the same model, of which one may be the successor of another */
  #replace(before: readonly Instance[], next: Instance, isUp: boolean): void {
    const wanted = before.filter(({ isWanted }) => isWanted);
    const mayStay = isUp || !isThere(next.stay.served ?? undefined);
    const old = wanted.find((one) => !this.isSuccessor(one) && (mayStay || one.tasks > 0));
    for (const instance of before) if (instance !== old) this.#retire(instance, TAKEN_OVER);
    if (old !== undefined) this.#changes = [...this.#changes, { old, next, seen: null, isFinal: false }];
    else if (wanted.length > 0) this.#events.wanted(next);
  }

  /** An instance takes nothing new, and goes when nothing runs there. @param why one sentence */
  #retire(instance: Instance, why: string): void {
    const change = this.#changes.find(({ next }) => next === instance);
    this.#retired.set(instance, why);
    this.#changes = this.#changes.filter(({ old, next }) => old !== instance && next !== instance);
    if (change !== undefined && instance.isWanted && !change.old.isWanted) this.#events.wanted(change.old);
    this.letGo(instance);
  }

  /** Lets a retired instance go, unless something runs there. */
  letGo(instance: Instance): void {
    const why = this.whyRetired(instance);
    if (why === null || instance.tasks > 0 || this.#going.has(instance)) return;
    this.#going.add(instance);
    this.#events.idle(instance, why);
  }

  /** It is not there any more. */
  forget(instance: Instance): void {
    this.#retired.delete(instance);
    this.#going.delete(instance);
  }

  /** Successors that could not be loaded are tried again. */
  tryAgain(): void {
    for (const { next } of this.#changes) next.life.forgive();
  }

  /** Looks at what has become of the successors. */
  settle(): void {
    for (const change of this.#changes) {
      const { old, next } = change;
      if (next.isLoaded && next.health.state === "ready") {
        this.#log.info({ model: next.modelName }, "a model has taken the place of the one before");
        this.#retire(old, TAKEN_OVER);
      } else if (next.life.failure !== change.seen) this.#look(change);
    }
  }

  #look(change: Change): void {
    const { old, next } = change;
    const { failure } = next.life;
    change.seen = failure;
    change.isFinal = failure !== null && (failure.code !== "out_of_memory" || !old.isWanted);
    if (failure === null || !change.isFinal) return;
    const about = { model: next.modelName, reason: failure.sentence };
    this.#log.error(about, "a model could not be loaded: the one before serves on");
    if (!old.isWanted) this.#events.wanted(old);
  }
}

function update(instance: Instance, models: Served["models"]): void {
  const { served } = instance.stay;
  const now = served === null ? undefined : models.get(keyOf(served.settings));
  if (now !== undefined && now !== served) instance.update(now);
}

function isPossible({ next, isFinal }: Change): boolean {
  return isThere(next.stay.served ?? undefined) && (next.life.failure === null || !isFinal);
}
