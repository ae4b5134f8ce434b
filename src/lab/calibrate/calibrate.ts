/** `alt-las lab calibrate`: measures the GPUs of a running server, one after the other, and tells their speeds as `lab run --speed` reads them. */
import { ask, type Remote } from "../../cli/remote/client.ts";
import type { GpusAnswer, GpuView } from "../../http/schemas/gpus.ts";
import { wallTimeText } from "../../common/clock.ts";
import { AltLasError } from "../../errors.ts";
import { counted } from "../words.ts";
import type { SpeedFile } from "../speed-file.ts";
import { errorOf, type Fit, fitOf, type Sample } from "./fit.ts";
import { beside, freshText, ran, type Shape, type Target, warmUp } from "./load.ts";

export interface CalibrateOptions {
  readonly remote: Remote;
  /** null: all that the GPUs may have. */
  readonly model: string | null;
  /** Takes lines about how far it is. */
  readonly tell: (text: string) => void;
  readonly signal: AbortSignal;
}

type GpuSpeeds = SpeedFile["gpus"][number];

/** The measurement with so many slots in use. */
interface Step {
  readonly inUse: number;
  readonly samples: readonly Sample[];
  readonly fit: Fit;
}

/** Tasks that are measured with one slot in use; with more, twice as many as slots. */
const LEAST_TASKS = 9;
/** From this on the lab's model of speed does not describe a GPU. */
const BAD = 0.25;
/** Tokens of the longest prompt; the context may be shorter. */
const LONGEST_PROMPT = 1024;
/** A prompt that is there already takes at most this share of its time. */
const CACHED = 0.5;

/** @returns the file, as JSON @throws {AltLasError} the server cannot be measured as it is, or refuses */
export async function calibrate({ remote, model, tell, signal }: CalibrateOptions): Promise<string> {
  const gpus = await gpusOf(remote);
  const busy = gpus.find(({ task_count: tasks }) => tasks > 0);
  if (busy !== undefined) {
    const sentence = `GPU ${busy.id} has ${counted(busy.task_count, "task")}. Calibrate while nothing else runs: both would be slower.`;
    throw new AltLasError("conflict", sentence);
  }
  const measured: GpuSpeeds[] = [];
  for (const [place, gpu] of gpus.entries())
    for (const name of namesOn(gpu, model)) {
      await warmUp(targetOf(remote, gpu, name), signal);
      // A GPU says how many slots and tokens a model has there when that is loaded.
      const loaded = (await gpusOf(remote)).find(({ id }) => id === gpu.id) ?? gpu;
      const speeds = await measure(targetOf(remote, loaded, name), loaded, tell, signal);
      // The file counts from 0 on, as the lab does; the server's own numbers may have gaps.
      measured.push({ ...speeds, gpu_id: place });
    }
  const file: SpeedFile = { measured: `${remote.url}, ${wallTimeText()}`, gpus: measured };
  return JSON.stringify(file, null, 2);
}

async function gpusOf(remote: Remote): Promise<readonly GpuView[]> {
  return ((await ask(remote, "gpus", "gpus")) as GpusAnswer).gpus;
}

/** The models to be measured on a GPU; null: its only one, which needs no name. */
function namesOn({ id, instances }: GpuView, asked: string | null): readonly (string | null)[] {
  if (instances.length <= 1) return [asked];
  const names = instances.flatMap((one) => one.model ?? []);
  if (asked === null || names.includes(asked)) return names.filter((name) => asked === null || name === asked);
  throw new AltLasError("bad_config", `GPU ${id} has no model ${asked}; it may have ${names.join(", ")}.`);
}

/** @throws {AltLasError} `bad_config`: it takes no tasks */
function targetOf(remote: Remote, gpu: GpuView, model: string | null): Target {
  const { id, status, reason, capabilities } = gpu;
  if (status !== "ready")
    throw new AltLasError("bad_config", `GPU ${id} cannot be measured: it is ${status}. ${reason ?? ""}`.trim());
  const continues = capabilities === null || capabilities.includes("completion");
  return { remote, gpuId: id, model, continues, context: instanceOf(gpu, model)?.context ?? 2048 };
}

/** undefined: it has no such model. */
function instanceOf({ instances }: GpuView, model: string | null): GpuView["instances"][number] | undefined {
  return instances.find((one) => model === null || instances.length === 1 || one.model === model);
}

async function measure(
  target: Target,
  gpu: GpuView,
  tell: (text: string) => void,
  signal: AbortSignal,
): Promise<GpuSpeeds> {
  const { id } = gpu;
  const instance = instanceOf(gpu, target.model)!;
  const slots = Math.min(gpu.slots, instance.slots);
  const shapes = shapesOf(target);
  const steps: Step[] = [];
  for (const inUse of stepsOf(slots)) {
    const samples = await beside(target, inUse, Math.max(LEAST_TASKS, 2 * inUse), shapes, signal);
    const fit = fitOf(samples, steps[0]?.fit.start);
    if (fit.perAnswer <= 0)
      throw new AltLasError(
        "bad_config",
        `The times of GPU ${id} do not depend on how long answers are: it has no speed.`,
      );
    tell(`${nameOf(gpu, target)}, ${inUse} of ${slots} slots: ${wordsOf(fit)}`);
    steps.push({ inUse, samples, fit });
  }
  tell(offWords(nameOf(gpu, target), mean(steps.map(({ fit, samples }) => errorOf(fit, samples)))));
  const { fit: alone } = steps[0]!;
  return {
    gpu_id: id,
    ...(gpu.instances.length > 1 && { model: target.model }),
    slots,
    prompt: promptCurve(steps),
    generation: steps.map(({ inUse, fit }) => [inUse, rounded(1 / fit.perAnswer)]),
    start_seconds: rounded(alone.start),
    // null: nobody has measured it, as of a server that has its model already.
    load_seconds: instance.load_seconds ?? 0,
    keeps_prompts: await keepsPrompts(target, alone, shapes, signal),
    ...memoryOf(gpu, instance),
  } as GpuSpeeds;
}

/** Figures of a model's memory and of its GPU's, as the server tells them. */
function memoryOf(
  { memory_total: total }: GpuView,
  { context, kv_bytes_per_token: kv, memory_bytes: memory }: GpuView["instances"][number],
): Pick<Partial<GpuSpeeds>, "context" | "kv_bytes_per_token" | "memory_bytes" | "gpu_memory_bytes"> {
  return {
    ...(context !== null && { context }),
    ...(kv !== null && { kv_bytes_per_token: kv }),
    ...(memory !== null && { memory_bytes: memory }),
    ...(total !== null && { gpu_memory_bytes: total }),
  };
}

function nameOf({ id, instances }: GpuView, { model }: Target): string {
  return instances.length > 1 ? `GPU ${id}, ${model}` : `GPU ${id}`;
}

/** Long prompts with short answers, the other way round, and both: so the parts can be told apart. */
function shapesOf({ context }: Target): readonly Shape[] {
  const long = Math.min(LONGEST_PROMPT, Math.floor(context / 4));
  return [
    { prompt: 8, answer: 48 },
    { prompt: long, answer: 4 },
    { prompt: Math.floor(long / 2), answer: 24 },
  ];
}

/** 1, 2, 4 and so on, and all. */
export function stepsOf(slots: number): readonly number[] {
  const steps: number[] = [];
  for (let inUse = 1; inUse < slots; inUse *= 2) steps.push(inUse);
  return [...steps, slots];
}

/** null: prompts take no time. One that took none by chance is as fast as beside fewer. */
function promptCurve(steps: readonly Step[]): GpuSpeeds["prompt"] {
  const known = steps.filter(({ fit }) => fit.perPrompt > 0);
  if (known.length === 0) return null;
  let last = known[0]!.fit.perPrompt;
  return steps.map(({ inUse, fit }) => {
    if (fit.perPrompt > 0) last = fit.perPrompt;
    return [inUse, rounded(1 / last)];
  });
}

/** Whether a prompt that was there a moment ago is not computed again. */
async function keepsPrompts(
  target: Target,
  alone: Fit,
  shapes: readonly Shape[],
  signal: AbortSignal,
): Promise<boolean> {
  const text = freshText(shapes[1]!.prompt);
  const first = await ran(target, text, 4, signal);
  const second = await ran(target, text, 4, signal);
  if (second.cached !== null) return second.cached > 0;
  const ofPrompt = first.prompt * alone.perPrompt;
  return ofPrompt > 0 && second.seconds < first.seconds - (1 - CACHED) * ofPrompt;
}

function wordsOf({ perPrompt, perAnswer }: Fit): string {
  const prompt = perPrompt === 0 ? "prompts take no time" : `prompts ${rounded(1 / perPrompt)} tokens/s`;
  return `${prompt}, answers ${rounded(1 / perAnswer)} tokens/s each`;
}

/** @param name of the GPU, with that of the model where there are several */
function offWords(name: string, off: number): string {
  const share = `${(100 * off).toFixed(0)} %`;
  return off < BAD
    ? `${name}: the tasks took what these speeds say, within ${share} in the mean.`
    : `${name}: the tasks took other times than these speeds say, by ${share} in the mean. The lab's model of speed does not describe this GPU well: take its results as rough.`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** To four digits. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
