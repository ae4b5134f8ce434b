/** Which models are loaded where at the start: in the order of the configuration, each on every GPU where it fits beside those before it. */
import { atLeast, atMost } from "../common/sizes.ts";
import type { CardMemory } from "./facts.ts";

/** A place for a model. */
export interface StartPlace<Instance> {
  readonly instance: Instance;
  /** Names the memory that it would take a part of: several devices may share theirs. */
  readonly memoryOf: number;
  /** null: any number of models may be there. */
  readonly room: CardMemory | null;
  /** Bytes that the model needs; null: its file cannot be read, as its load will say. */
  readonly needed: number | null;
}

export interface StartModel<Instance> {
  readonly name: string;
  readonly places: readonly StartPlace<Instance>[];
}

export interface StartPlan<Instance> {
  readonly load: readonly Instance[];
  /** A sentence, with both numbers, for each model that fits nowhere. */
  readonly misfits: readonly string[];
}

/** @param taken bytes that are promised already, by what `memoryOf` names */
export function planStart<Instance>(
  models: readonly StartModel<Instance>[],
  taken: ReadonlyMap<number, number>,
): StartPlan<Instance> {
  const used = new Map(taken);
  const load: Instance[] = [];
  const misfits: string[] = [];
  for (const { name, places } of models) {
    let most = -Infinity;
    let needed = 0;
    const before = load.length;
    for (const { instance, memoryOf, room, needed: need } of places) {
      const left = room === null ? Infinity : room.total - room.reserved - (used.get(memoryOf) ?? 0);
      if ((need ?? 0) > left) {
        if (left > most) [most, needed] = [left, need ?? 0];
        continue;
      }
      used.set(memoryOf, (used.get(memoryOf) ?? 0) + (need ?? 0));
      load.push(instance);
    }
    if (load.length === before && places.length > 0)
      misfits.push(
        `The model ${name} needs ${atLeast(needed)}, and no GPU has more than ${atMost(Math.max(0, most))} left for it.`,
      );
  }
  return { load, misfits };
}
