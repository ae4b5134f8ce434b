/**
 * Which GPUs the environment leaves to this process.
 *
 * NVIDIA: CUDA_VISIBLE_DEVICES, by the CUDA Programming Guide, "CUDA Environment Variables": a list with commas of indices as nvidia-smi
 * has them, of UUIDs or their first digits as far as they are unique, or of MIG ids; an entry that fits nothing, such as -1, hides itself
 * and all that follow; an empty list hides everything. AMD: ROCR_VISIBLE_DEVICES, then HIP_VISIBLE_DEVICES among what that leaves
 * (ROCm documentation, "GPU isolation techniques").
 *
 * They select and nothing else: which gpu_id a GPU gets does not depend on them.
 */
import type { KnownGpu } from "./known-gpus.ts";
import type { GpuIdentity } from "../telemetry/telemetry.ts";

const OLD_MIG = /^MIG-GPU-[^/]+\/\d+\/\d+$/i;

/** The GPUs that remain. */
export interface Selection {
  readonly visible: readonly GpuIdentity[];
  /** GPUs that are not there now, but were not hidden if they were. */
  readonly missed: readonly KnownGpu[];
  /** Sentences about entries that could not be used. */
  readonly notes: readonly string[];
}

/** A GPU with all that may stand for it in the list. */
interface Choice {
  readonly gpu: GpuIdentity;
  readonly index: number | null;
  /** In lower case. */
  readonly names: readonly string[];
}

/** One variable and what it is about. */
interface Variable {
  readonly name: string;
  /** undefined: not set, so everything is visible. */
  readonly value: string | undefined;
  readonly choices: readonly Choice[];
  readonly missing: readonly KnownGpu[];
}

/** @param gpus NVIDIA's, all of them @param missing those that were here at an earlier start and are not found now */
export function visibleNvidia(
  gpus: readonly GpuIdentity[],
  missing: readonly KnownGpu[],
  environment: NodeJS.ProcessEnv,
): Selection {
  const name = "CUDA_VISIBLE_DEVICES";
  return select({ name, value: environment[name], choices: nvidiaChoices(gpus), missing });
}

/** As `visibleNvidia`, for AMD's. */
export function visibleAmd(
  gpus: readonly GpuIdentity[],
  missing: readonly KnownGpu[],
  environment: NodeJS.ProcessEnv,
): Selection {
  const names = ["ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"] as const;
  let selection: Selection = { visible: inPciOrder(gpus), missed: missing, notes: [] };
  for (const name of names) {
    const choices = selection.visible.map((gpu, index) => ({ gpu, index, names: [gpu.uuid.toLowerCase()] }));
    const value = environment[name]?.replaceAll(/\bGPU-/gi, "AMD-");
    const { visible, missed, notes } = select({ name, value, choices, missing: selection.missed });
    selection = { visible, missed, notes: [...selection.notes, ...notes] };
  }
  return selection;
}

/** In the order of the PCI bus; a card comes before its parts. */
export function inPciOrder(gpus: readonly GpuIdentity[]): readonly GpuIdentity[] {
  return gpus.toSorted((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1));
}

/** Text that sorts as the GPUs do. */
function placeOf({ pciBusId, parentUuid, index }: GpuIdentity): string {
  return `${pciBusId.padStart(16, "0")} ${parentUuid === null ? 0 : 1} ${String(index).padStart(6, "0")}`;
}

/** The indices count cards; of a card that is split, CUDA takes the first part when the card is named. */
function nvidiaChoices(gpus: readonly GpuIdentity[]): Choice[] {
  const sorted = inPciOrder(gpus);
  const cards = [...new Set(sorted.map(({ pciBusId }) => pciBusId))];
  return sorted.map((gpu) => {
    const names = [gpu.uuid.toLowerCase()];
    if (gpu.parentUuid === null) return { gpu, index: gpu.index, names };
    const parts = sorted.filter(({ parentUuid }) => parentUuid === gpu.parentUuid);
    if (parts[0] !== gpu) return { gpu, index: null, names };
    const card = gpu.parentUuid.toLowerCase();
    // Drivers before 470 write MIG-<card>/<GPU instance>/<compute instance>: with one part there is no doubt which is meant.
    const old = parts.length === 1 ? [`mig-${card}/`] : [];
    return { gpu, index: cards.indexOf(gpu.pciBusId), names: [...names, card, ...old] };
  });
}

function select({ name, value, choices, missing }: Variable): Selection {
  if (value === undefined) return { visible: choices.map(({ gpu }) => gpu), missed: missing, notes: [] };
  const listed = entriesOf(value);
  const visible = new Set<GpuIdentity>();
  const notes: string[] = [];
  for (const entry of listed) {
    const found = choices.filter((choice) => fits(entry, choice.index, choice.names));
    // A GPU that is gone must not take those along that follow it in the list.
    const gone = missing.some((gpu) => fits(entry, gpu.number, [gpu.uuid.toLowerCase()]));
    if (found.length === 1) visible.add(found[0]!.gpu);
    else if (!gone) {
      notes.push(`${name} names ${entry}, which ${misfit(entry, found.length)}; it hides what follows it.`);
      break;
    }
  }
  const missed = missing.filter((gpu) => listed.some((entry) => fits(entry, gpu.number, [gpu.uuid.toLowerCase()])));
  return { visible: choices.flatMap(({ gpu }) => (visible.has(gpu) ? [gpu] : [])), missed, notes };
}

function misfit(entry: string, found: number): string {
  if (found > 1) return "fits several GPUs";
  if (OLD_MIG.test(entry))
    return "is a MIG id of the old form that cannot be told apart here (nvidia-smi -L lists the new ones)";
  return "fits no GPU that is here";
}

/** A negative index is the usual way to write "no more". */
function entriesOf(value: string): string[] {
  const entries = value.split(",").map((entry) => entry.trim());
  const end = entries.findIndex((entry) => entry === "" || /^-\d+$/.test(entry));
  return end === -1 ? entries : entries.slice(0, end);
}

function fits(entry: string, index: number | null, names: readonly string[]): boolean {
  if (/^\d+$/.test(entry)) return Number(entry) === index;
  const wanted = entry.toLowerCase();
  return names.some((name) => name.startsWith(wanted) || (name.endsWith("/") && wanted.startsWith(name)));
}
