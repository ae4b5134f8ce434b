/** The models that GPUs may hold, and which engine serves one on which GPU. */
import type { Config, ModelSettings } from "../config/config.ts";
import type { DeviceEngine, SimulatedOptions } from "../engine/engine.ts";
import { engineTraits } from "../engine/kinds.ts";
import { AltLasError } from "../errors.ts";
import { deviceTraits } from "./device-kinds.ts";
import type { Device } from "./inventory/devices.ts";

/** A model by name, with the file that it has now. */
export interface ServedModel {
  readonly settings: ModelSettings;
  /** null: its engine has no file. */
  readonly file: ModelFile | null;
  /** It was pulled: tasks that name no model are none of its; absent: they may be. */
  readonly onlyByName?: true;
}

/** Where the file of a model is, or why it is not there. */
export type ModelFile =
  | {
      readonly state: "there";
      /** Of the first part. */ readonly path: string;
      /** Of all parts. */ readonly bytes: number;
    }
  | { readonly state: "fetching" | "failed"; /** One sentence. */ readonly why: string };

/** Names a model together with all that its worker is started with: where that has changed, it needs another worker. */
export function keyOf({ name, source, slots, context, raw, engine }: ModelSettings): string {
  return JSON.stringify([name, source, slots, context, raw, engine]);
}

export function isSameFile(one: ModelFile | null | undefined, other: ModelFile | null): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Whether a model can be loaded as far as its file goes. */
export function isThere(model: ServedModel | undefined): boolean {
  return model !== undefined && (model.file === null || model.file.state === "there");
}

/** Whether a GPU may hold a model: its device can compute for the model's engine. */
export function mayHold(device: Device, settings: ModelSettings): boolean {
  if (device.demoOnly) return false;
  if (settings.gpus !== undefined && !settings.gpus.includes(device.id)) return false;
  const kind = settings.engine?.kind;
  if (kind === undefined || kind === device.engine.kind) return true;
  const { computes } = engineTraits(kind);
  return deviceTraits(device).hosts === computes;
}

/**
 * Checks that the GPUs exist on which models are to be.
 * @throws {AltLasError} `bad_config` with a line for each model that names a GPU which is not there or cannot hold it, or that no GPU can hold
 */
export function checkPlaces(models: readonly ModelSettings[], devices: readonly Device[]): void {
  const ids = devices.map(({ id }) => id);
  const problems = models.flatMap((settings, index) => {
    const at = `models[${index}] (${settings.name})`;
    for (const id of settings.gpus ?? []) {
      const device = devices.find((one) => one.id === id);
      if (device === undefined) return `${at}.gpus names GPU ${id}, which is not there; there are ${ids.join(", ")}.`;
      if (!mayHold(device, settings))
        return `${at}.gpus names GPU ${id} (${device.name}), which cannot hold a model of engine.kind ${settings.engine!.kind}.`;
    }
    if (devices.some((device) => mayHold(device, settings))) return [];
    return `${at} can be on no GPU: none can hold a model of engine.kind ${settings.engine!.kind}.`;
  });
  if (problems.length > 0) throw new AltLasError("bad_config", problems.join("\n"));
}

/** The engine of a model on a device: what its entry does not say is as for the device. */
export function engineOn(device: Device, { settings, file }: ServedModel): DeviceEngine {
  const { engine: own = {}, source = "" } = settings;
  const { engine } = device;
  const context = settings.context ?? engine.context;
  const { flash_attention: flash, kv_cache_type: kv, tuning } = { ...own, tuning: engine.tuning };
  return {
    kind: own.kind ?? engine.kind,
    model: file === null ? source : file.state === "there" ? file.path : "",
    context,
    minContext: Math.min(own.min_context ?? engine.minContext, context ?? Infinity),
    raw: settings.raw ?? engine.raw,
    tuning: {
      threads: own.threads ?? tuning.threads,
      prefillChunk: own.prefill_chunk ?? tuning.prefillChunk,
      batchSize: own.batch_size ?? tuning.batchSize,
      flashAttention: flash === undefined ? tuning.flashAttention : flash === "auto" ? null : flash,
      kvCacheType: kv === undefined ? tuning.kvCacheType : kv === "auto" ? null : kv,
    },
    binary: own.binary ?? engine.binary,
    upstream: engine.upstream,
    patience: {
      firstByte: own.first_byte_timeout ?? engine.patience.firstByte,
      token: own.token_timeout ?? engine.patience.token,
    },
  };
}

/** Options of the simulated engine for a model; null stands for the device's own. */
export function simulatedFor(simulated: Config["engine"]["simulated"], model: ServedModel | null): SimulatedOptions {
  if (model === null) return simulated;
  const { name, engine = {} } = model.settings;
  return {
    ...simulated,
    load_seconds: engine.load_seconds ?? simulated.load_seconds,
    memory_bytes: engine.memory_bytes ?? simulated.memory_bytes,
    models: [{ name, ...capabilitiesOf(simulated, name) }],
  };
}

/** `engine.simulated.models` may say what the model of this name can do. */
function capabilitiesOf({ models }: Config["engine"]["simulated"], name: string) {
  const capabilities = models.find((model) => model.name === name)?.capabilities;
  return capabilities === undefined ? {} : { capabilities };
}

/** Whether it is to be at the same places from the start. */
export function isPlacedAlike(one: ServedModel, other: ServedModel): boolean {
  const placing = ({ settings: { load, gpus = [] } }: ServedModel): string => JSON.stringify([load, ...gpus]);
  return placing(one) === placing(other);
}
