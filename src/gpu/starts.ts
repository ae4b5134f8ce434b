/** The models that are to be loaded as soon as they can be, and the GPUs for them. */
import { roomOn } from "./card/room.ts";
import { deviceTraits } from "./device-kinds.ts";
import { type Gpu } from "./gpu.ts";
import { type Instance } from "./instance/instance.ts";
import { type Device } from "./inventory/devices.ts";
import { keyOf, type ServedModel } from "./served.ts";
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

/** Whether a model can be loaded as far as its file goes. */
export function isThere(model: ServedModel | undefined): boolean {
  return model !== undefined && (model.file === null || model.file.state === "there");
}

function takenOn(gpus: readonly Gpu[]): ReadonlyMap<string, number> {
  const taken = new Map<string, number>();
  for (const { device, instances } of gpus)
    for (const { isWanted, stay } of instances)
      if (isWanted) taken.set(memoryOf(device), (taken.get(memoryOf(device)) ?? 0) + (stay.residency.memory ?? 0));
  return taken;
}

function placesFor(key: string, gpus: readonly Gpu[]): StartPlace<Instance>[] {
  return gpus.flatMap(({ device, instances }) => {
    const instance = instances.find(({ stay }) => stay.served !== null && keyOf(stay.served.settings) === key);
    if (instance === undefined) return [];
    // What the models on the other devices of this machine take is counted in what is taken.
    const room = roomOn({ device, reading: null, all: [] });
    return [{ instance, memoryOf: memoryOf(device), room, needed: instance.stay.residencyIn(room).memory }];
  });
}

/** Names the memory in which a device's models are. */
function memoryOf(device: Device): string {
  return deviceTraits(device).isMachine ? "machine" : `gpu ${device.id}`;
}
