/** Several GPUs that hold one model, as one device. */
import type { SurveyedGpu } from "./survey.ts";

/** Degrees Celsius below the driver's slowdown threshold at which a GPU is left alone, and what holds where the driver names none. */
const BELOW_SLOWDOWN = 2;
const HOT = 85;

/** Like "2 × NVIDIA A100", or "NVIDIA A100 + NVIDIA L4". */
export function groupName(gpus: readonly SurveyedGpu[]): string {
  const names = [...new Set(gpus.map(({ name }) => name))];
  if (names.length > 1) return gpus.map(({ name }) => name).join(" + ");
  return gpus.length === 1 ? names[0]! : `${gpus.length} × ${names[0]!}`;
}

/** null as soon as one of the values is not known. */
export function over(values: readonly (number | null)[], combine: (all: readonly number[]) => number): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === values.length ? combine(known) : null;
}

/** Degrees Celsius above which none of them is to be given more to do. */
export function coolEnough(gpus: readonly SurveyedGpu[]): number {
  const thresholds = gpus.flatMap(({ slowdownTemperature }) => slowdownTemperature ?? []);
  return thresholds.length === 0 ? HOT : Math.min(...thresholds) - BELOW_SLOWDOWN;
}

/** One that fails is enough for a group to fail. */
export function firstReason(
  gpus: readonly SurveyedGpu[],
  reasonOf: (gpu: SurveyedGpu) => string | null,
): string | null {
  const failing = gpus.find((gpu) => reasonOf(gpu) !== null);
  if (failing === undefined) return null;
  const reason = reasonOf(failing)!;
  return gpus.length === 1 ? reason : `${failing.name} (${failing.uuid}): ${reason}`;
}

/** The environment that lets a process see all of them, and no others. */
export function joinedEnvironment(gpus: readonly SurveyedGpu[]): Record<string, string> {
  const names = Object.keys(gpus[0]!.environment);
  return Object.fromEntries(
    names.map((name) => [name, [...new Set(gpus.map(({ environment }) => environment[name]!))].join(",")]),
  );
}
