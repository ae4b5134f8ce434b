/** The models of the configuration on the GPUs of the lab: where each may be, what it takes there, and which are there at the start. */
import { shownSize } from "../common/sizes.ts";
import type { Config, ModelSettings } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { planStart } from "../gpu/start-plan.ts";
import { type LabGpu, type LabModel, type OnGpu, REFERENCE_MODEL_MEMORY } from "./fleet.ts";

/** A model as it was measured on a GPU. */
export interface MeasuredModel extends OnGpu {
  /** Bytes that it takes; null: not measured. */
  readonly memory: number | null;
}

/** A GPU with what was measured of single models there, by name. */
export interface MeasuredGpu extends LabGpu {
  readonly measured?: ReadonlyMap<string, MeasuredModel>;
}

/**
 * @param file the file of speeds; null: there is none
 * @returns the GPUs, and a sentence about the models; null: the configuration names none, so that all count as one
 * @throws {AltLasError} `bad_config`: a model names a GPU that is not there, has no speeds there, or fits nowhere
 */
export function withModels(
  gpus: readonly MeasuredGpu[],
  { models }: Pick<Config, "models">,
  file: string | null,
): { readonly gpus: readonly LabGpu[]; readonly words: string | null } {
  if (models.length === 0) return { gpus: gpus.map(withoutModels(file)), words: null };
  for (const [index, { name, gpus: ids = [] }] of models.entries())
    for (const id of ids)
      if (id >= gpus.length)
        throw bad(`models[${index}] (${name}).gpus names GPU ${id}; the lab's GPUs are 0 to ${gpus.length - 1}.`);
  const all = gpus.map((gpu, id) => ({
    gpu,
    models: models.filter(mayBeOn(id)).map((one) => modelOn(one, id, gpu, file)),
  }));
  const started = startedOn(all, models);
  return {
    gpus: all.map(({ gpu, models: here }, id) => ({
      ...gpu,
      models: here.map((model) => ({ ...model, atStart: started.has(keyOf(id, model.name)) })),
    })),
    words: wordsOf(all, models),
  };
}

function mayBeOn(id: number): (model: ModelSettings) => boolean {
  return ({ gpus }) => gpus === undefined || gpus.includes(id);
}

function withoutModels(file: string | null): (gpu: MeasuredGpu, id: number) => LabGpu {
  return ({ measured, ...gpu }, id) => {
    if (measured === undefined || measured.size < 2) return gpu;
    const names = [...measured.keys()].join(", ");
    throw bad(
      `${file} has the speeds of several models of GPU ${id} (${names}), and the configuration has none: name them under models.`,
    );
  };
}

function modelOn(
  settings: ModelSettings,
  id: number,
  gpu: MeasuredGpu,
  file: string | null,
): Omit<LabModel, "atStart"> {
  const { name, engine } = settings;
  const measured = measuredOn(name, id, gpu, file);
  const speed =
    engine?.load_seconds === undefined ? measured.speed : { ...measured.speed, loadSeconds: engine.load_seconds };
  return {
    name,
    speed,
    slots: Math.min(settings.slots ?? gpu.slots, gpu.slots),
    context: settings.context ?? measured.context,
    kvBytesPerToken: measured.kvBytesPerToken,
    memory: engine?.memory_bytes ?? measured.memory ?? REFERENCE_MODEL_MEMORY,
    keepAlive: settings.keep_alive ?? null,
  };
}

function measuredOn(name: string, id: number, { measured, ...gpu }: MeasuredGpu, file: string | null): MeasuredModel {
  if (measured === undefined || measured.size === 0) return { ...gpu, memory: null };
  const found = measured.get(name);
  if (found !== undefined) return found;
  const known = [...measured.keys()].join(", ");
  throw bad(
    `${file} has no speeds of the model ${name} on GPU ${id}, only of ${known}. Measure it with lab calibrate --model ${name}.`,
  );
}

interface Placed {
  readonly gpu: LabGpu;
  readonly models: readonly Omit<LabModel, "atStart">[];
}

/** As the server plans its start. */
function startedOn(all: readonly Placed[], models: readonly ModelSettings[]): ReadonlySet<string> {
  const starting = models.filter(({ load }) => load === "start");
  const plan = planStart(
    starting.map(({ name }) => ({
      name,
      places: all.flatMap(({ gpu: { memory = null }, models: here }, id) =>
        here
          .filter((model) => model.name === name)
          .map((model) => ({
            instance: keyOf(id, name),
            memoryOf: id,
            room: memory === null ? null : { total: memory, reserved: 0 },
            needed: model.memory,
          })),
      ),
    })),
    new Map(),
  );
  if (plan.misfits.length > 0) throw bad(plan.misfits.join("\n"));
  return new Set(plan.load);
}

function keyOf(gpuId: number, name: string): string {
  return `${gpuId} ${name}`;
}

function wordsOf(all: readonly Placed[], models: readonly ModelSettings[]): string {
  const sizes = models.map(({ name }) => {
    const bytes = all.flatMap(({ models: here }) =>
      here.filter((one) => one.name === name).map(({ memory }) => memory),
    );
    return `${name} (${shownSize(Math.max(0, ...bytes))})`;
  });
  const rooms = new Set(
    all.map(({ gpu: { memory = null } }) => (memory === null ? "any number of them" : shownSize(memory))),
  );
  return `Models: ${sizes.join(", ")}; a GPU has room for ${[...rooms].join(", ")}.`;
}

function bad(sentence: string): AltLasError {
  return new AltLasError("bad_config", sentence);
}
