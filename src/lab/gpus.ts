/** Which GPUs a replay has: those that the command names, else those of the configuration, else four equal ones. */
import type { Config } from "../config/config.ts";
import { deviceEntries, isRemote, urlsOf } from "../config/devices.ts";
import { AltLasError } from "../errors.ts";
import { limitsOf } from "../gpu/inventory/device-limits.ts";
import { type LabGpu, REFERENCE_CONTEXT, REFERENCE_GPU_MEMORY, REFERENCE_KV_BYTES } from "./fleet.ts";
import { type MeasuredGpu, withModels } from "./models.ts";
import { REFERENCE, times } from "./speed.ts";

export interface GpuOptions {
  /** Like `4` for four equal ones, or `1:2:4` for three of such speeds. */
  readonly gpus?: string | undefined;
  /** Of each. */
  readonly slots?: number | undefined;
}

/** The GPUs, and a line that says where they and their speeds come from. */
export interface GpusFound {
  readonly gpus: readonly LabGpu[];
  readonly words: string;
}

const USUAL = [1, 1, 1, 1];
const MOST = 1000;

/** A file of speeds. */
interface MeasuredFile {
  readonly file: string;
  readonly gpus: readonly MeasuredGpu[];
}

/** @param measured null: there is none @throws {AltLasError} `bad_config`: they do not go together */
export function gpusOf(options: GpuOptions, config: Config, measured: MeasuredFile | null): GpusFound {
  const found = withoutModels(options, config, measured);
  const { gpus, words } = withModels(found.gpus, config, measured?.file ?? null);
  return { gpus, words: words === null ? found.words : `${found.words} ${words}` };
}

function withoutModels(
  options: GpuOptions,
  config: Config,
  measured: MeasuredFile | null,
): { readonly gpus: readonly MeasuredGpu[]; readonly words: string } {
  const asked = options.gpus === undefined ? null : factorsOf(options.gpus);
  if (measured !== null) return ofMeasured(measured, asked, options.slots, config);
  const slots = options.slots ?? config.gpu.multi_gpu.max_concurrent_tasks_per_gpu;
  const memory = REFERENCE_GPU_MEMORY;
  const usual = (factors: readonly number[]): Told[] => factors.map((factor) => ({ factor, slots, memory }));
  const told = asked === null ? configured(config, options.slots) : usual(asked);
  const gpus = (told ?? usual(USUAL)).map(referenceGpu);
  const whence =
    asked !== null
      ? ""
      : told === null
        ? " (the configuration does not say how many there are)"
        : " (of the configuration)";
  const words = `Speeds: the built-in model "reference", nothing that was measured on your GPUs. ${countOf(gpus, asked)}${whence}.`;
  return { gpus, words };
}

/** A GPU without measured speeds. */
interface Told {
  readonly factor: number;
  readonly slots: number;
  /** Bytes in which models may be; null: any number of them may be there. */
  readonly memory: number | null;
}

function referenceGpu({ factor, slots, memory }: Told): LabGpu {
  const speed = times(factor, REFERENCE);
  return { slots, speed, memory, context: REFERENCE_CONTEXT, kvBytesPerToken: REFERENCE_KV_BYTES };
}

/** A measured fleet has its own speeds; a number may ask for more or fewer of the same, as often as it has GPUs of one kind. */
function ofMeasured(
  { file, gpus }: MeasuredFile,
  asked: readonly number[] | null,
  slots: number | undefined,
  config: Config,
): { readonly gpus: readonly MeasuredGpu[]; readonly words: string } {
  const told = asked?.length ?? configured(config, slots)?.length ?? gpus.length;
  if (told !== gpus.length && gpus.length > 1) {
    const there = `${file} has the speeds of ${gpus.length} GPUs`;
    const source = asked === null ? "the configuration" : "--gpus";
    throw new AltLasError(
      "bad_config",
      `${there}, but ${source} names ${told}. Measure those, or take --gpus ${gpus.length}.`,
    );
  }
  const most = Math.min(...gpus.map((gpu) => gpu.slots));
  if (slots !== undefined && slots > most) {
    const sentence = `--slots must be at most ${most}, for which ${file} has speeds; got ${slots}.`;
    throw new AltLasError("bad_config", sentence);
  }
  const all = Array.from({ length: told }, (_, id) => {
    const gpu = gpus[gpus.length === 1 ? 0 : id]!;
    const factor = asked?.[id] ?? 1;
    return { ...(factor === 1 ? gpu : faster(factor, gpu)), slots: slots ?? gpu.slots };
  });
  return { gpus: all, words: `Speeds: measured, ${file}. ${countOf(all, asked)}.` };
}

function faster(factor: number, gpu: MeasuredGpu): MeasuredGpu {
  const measured = [...(gpu.measured ?? [])].map(
    ([name, model]) => [name, { ...model, speed: times(factor, model.speed) }] as const,
  );
  return { ...gpu, speed: times(factor, gpu.speed), measured: new Map(measured) };
}

/** null: only the drivers can tell. */
function configured(config: Config, slots: number | undefined): Told[] | null {
  const found = deviceEntries(config).map(({ entry }) => {
    const one = { factor: 1, slots: slots ?? limitsOf(entry, config).slots, memory: REFERENCE_GPU_MEMORY };
    const name = String(entry.gpu ?? "");
    const [, host, count] = /^(cpu|simulated):(\d+)$/.exec(name) ?? [];
    const memory = host === "simulated" ? (entry.memory_bytes ?? null) : one.memory;
    if (count !== undefined) return Array.from({ length: Number(count) }, (): Told => ({ ...one, memory }));
    if (isRemote(entry, config)) return urlsOf(entry, config).map((): Told => ({ ...one, memory: null }));
    return name === "auto" ? null : [one];
  });
  return found.some((one) => one === null) ? null : found.flatMap((one) => one!);
}

function factorsOf(text: string): readonly number[] {
  if (/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= MOST)
    return Array.from({ length: Number(text) }, () => 1);
  const factors = text.split(":").map(Number);
  const isGood = text.includes(":") && factors.length <= MOST && factors.every((one) => one > 0 && one <= MOST);
  if (isGood) return factors;
  throw new AltLasError(
    "bad_config",
    `--gpus must be a number of equal GPUs from 1 to ${MOST}, or their speeds like 1:2:4; got ${JSON.stringify(text)}.`,
  );
}

function countOf(gpus: readonly LabGpu[], factors: readonly number[] | null): string {
  const slots = [...new Set(gpus.map((gpu) => gpu.slots))];
  const of =
    slots.length === 1
      ? `${slots[0]} ${slots[0] === 1 ? "slot" : "slots"}`
      : `${gpus.map((gpu) => gpu.slots).join(", ")} slots`;
  const isEqual = factors === null || factors.every((factor) => factor === factors[0]);
  const what =
    gpus.length === 1 ? "1 GPU" : isEqual ? `${gpus.length} GPUs` : `GPUs of the speeds ${factors.join(":")}`;
  return gpus.length > 1 ? `${what} with ${of} each` : `${what} with ${of}`;
}
