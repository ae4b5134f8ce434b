/** The models that are to be loaded as soon as they can be, and the GPUs for them. */
import { roomOn } from "./card/room.ts";
import type { CardMemory } from "./facts.ts";
import type { Gpu } from "./gpu.ts";
import type { Instance } from "./instance/instance.ts";
import { isThere, keyOf, type ServedModel } from "./served.ts";
import { planStart, type StartPlace, type StartPlan } from "./start-plan.ts";

/** Plans for those of `load: start` whose files are there, beside what is loaded already or is to be. */
export async function planStarts(gpus: readonly Gpu[], models: readonly ServedModel[]): Promise<StartPlan<Instance>> {
  const starting = models.filter((model) => model.settings.load === "start" && isThere(model));
  if (starting.length === 0) return { load: [], misfits: [] };
  await Promise.all(gpus.flatMap(({ instances }) => instances.map(({ stay }) => stay.reckoned)));
  return planStart(
    starting.map(({ settings }) => ({ name: settings.name, places: placesFor(keyOf(settings), gpus) })),
    takenOn(gpus),
  );
}

/** Bytes of what is there or on its way, by the memories in which it is. */
function takenOn(gpus: readonly Gpu[]): ReadonlyMap<number, number> {
  const taken = new Map<number, number>();
  for (const gpu of gpus) {
    const { home } = memoryFor(gpu, gpus);
    for (const { isWanted, stay } of gpu.instances)
      if (isWanted) taken.set(home, (taken.get(home) ?? 0) + (stay.residency.memory ?? 0));
  }
  return taken;
}

function placesFor(key: string, gpus: readonly Gpu[]): StartPlace<Instance>[] {
  return gpus.flatMap((gpu) => {
    const instance = gpu.instances.find(({ stay }) => stay.served !== null && keyOf(stay.served.settings) === key);
    if (instance === undefined || instance.isWanted || gpu.succession.isSuccessor(instance)) return [];
    const { room, home } = memoryFor(gpu, gpus);
    return [{ instance, memoryOf: home, room, needed: instance.stay.residencyIn(room).memory }];
  });
}

/** The room on a GPU, and the first of those that share its memory. */
function memoryFor({ device }: Gpu, gpus: readonly Gpu[]): { room: CardMemory | null; home: number } {
  const all = gpus.filter((one) => one.device.kind === device.kind);
  const room = roomOn({ device, reading: null, all });
  return { room, home: room?.sharedBy?.[0] ?? device.id };
}
