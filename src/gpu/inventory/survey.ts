/**
 * Which GPUs this machine has, under which numbers, and whether each could serve. Four sources are held against each other: the drivers
 * (who the GPUs are), the PCI bus (what no driver lists), what is remembered of earlier starts, and what llama.cpp can open.
 */
import { ADD_GPU } from "../../common/paste.ts";
import type { EngineOptions } from "../../engine/engine.ts";
import type { KnownGpu, KnownGpus } from "./known-gpus.ts";
import type { PciGpu } from "./pci.ts";
import { type Probe, probeLlama } from "./probe.ts";
import type { GpuIdentity } from "../telemetry/telemetry.ts";
import { inPciOrder, type Selection, visibleAmd, visibleNvidia } from "./visible-devices.ts";

/** Where the knowledge comes from. */
export interface GpuSources {
  /** The GPUs that the drivers list, and why a driver lists none. */
  readonly found: { readonly gpus: readonly GpuIdentity[]; readonly notes: readonly string[] };
  readonly pciGpus: readonly Pick<PciGpu, "busId" | "vendor" | "driver">[];
  readonly known: KnownGpus;
  readonly environment: NodeJS.ProcessEnv;
  /** Asks llama.cpp; only a test has another one. */
  readonly probe?: typeof probeLlama;
}

export interface SurveyedGpu {
  /** The N of `gpu:N`. */
  readonly number: number;
  readonly uuid: string;
  readonly name: string;
  readonly vendor: "nvidia" | "amd" | "other";
  readonly backend: EngineOptions["backend"];
  readonly pciBusId: string | null;
  readonly memoryTotal: number | null;
  readonly computeCapability: number | null;
  readonly slowdownTemperature: number | null;
  /** The environment that lets a process see this GPU alone. For several, the values are joined with commas. */
  readonly environment: Readonly<Record<string, string>>;
  /** `auto`: it is one of this machine's GPUs; `named`: used only where the configuration names it; `hidden`: the environment hides it. */
  readonly use: "auto" | "named" | "hidden";
  /** Why the GPU itself cannot serve. */
  readonly unfit: string | null;
  /** llama.cpp cannot compute on it here, which is nothing to the simulated engine. */
  readonly closed: Closed | null;
  /** It was here at an earlier start and is gone. */
  readonly lost: string | null;
}

export interface Closed {
  readonly why: string;
  /** It brings what llama.cpp lacks for this GPU; null: no command is known to help. */
  readonly command: string | null;
}

export interface Survey {
  /** In the order of their numbers. */
  readonly gpus: readonly SurveyedGpu[];
  /** Sentences for the log. */
  readonly warnings: readonly string[];
  /** Why llama.cpp could not say what it can open, so that a GPU may be missing; none: it has said. */
  readonly faults: readonly string[];
  /** A sentence: why llama.cpp computes on nothing here, not even on the CPU; null: it can, or was not asked. */
  readonly noBuild: string | null;
}

/** Shared by all parts of a survey. */
interface View extends Pick<GpuSources, "found" | "known" | "environment"> {
  /** null: nobody wants to compute with llama.cpp. */
  readonly probe: Probe | null;
  readonly minComputeCapability: number;
  readonly selections: readonly Selection[];
  /** By uuid; which of Vulkan's devices an AMD GPU is. */
  readonly vulkan: ReadonlyMap<string, number>;
  /** NVIDIA's on the PCI bus that its driver should list and does not. */
  readonly unlisted: readonly Pick<PciGpu, "busId" | "driver">[];
}

/** GPUs that are not remembered: they get their number each time anew, behind all others. */
type Unnumbered = Omit<SurveyedGpu, "number">;

/** @param wanted `llama`: whether a model is to be computed on a GPU; else llama.cpp isn't asked; `inherit`: gpu.worker_environment */
export async function surveyGpus(
  sources: GpuSources,
  wanted: { readonly llama: boolean; readonly minComputeCapability: number; readonly inherit: readonly string[] },
): Promise<Survey> {
  const { found, known, environment } = sources;
  const missing = missingGpus(found.gpus, known);
  const nvidia = visibleNvidia(nvidiaOf(found.gpus), missing.filter(isNvidia), environment);
  const amd = visibleAmd(amdOf(found.gpus), missing.filter(isAmd), environment);
  const probe = wanted.llama ? await askLlama(sources, nvidia.visible, wanted.inherit) : null;
  const view: View = {
    found,
    known,
    environment,
    probe,
    minComputeCapability: wanted.minComputeCapability,
    selections: [nvidia, amd],
    vulkan: vulkanDevices(amdOf(found.gpus), probe),
    unlisted: unlistedNvidia(sources),
  };
  const numbered = identified(view);
  known.remember(numbered);
  const present = numbered.map((gpu) => presentGpu(gpu, view));
  const lost = missing.map((gpu) => lostGpu(gpu, view));
  const rest = [...unlistedGpus(view), ...otherGpus(view), ...unopenedGpus(view)];
  const first = Math.max(-1, ...[...present, ...lost].map(({ number }) => number)) + 1;
  const gpus = [...present, ...lost, ...rest.map((gpu, index) => ({ ...gpu, number: first + index }))];
  const warnings = [...nvidia.notes, ...amd.notes, ...warningsOf(gpus, view)];
  return {
    gpus: gpus.toSorted((a, b) => a.number - b.number),
    warnings,
    faults: faultsOf(probe),
    noBuild: noBuildOf(probe),
  };
}

/**
 * Shows llama.cpp the GPUs that it may have and no others: one that fell off the bus may keep CUDA from starting, and CUDA is stricter than
 * we are about what CUDA_VISIBLE_DEVICES says.
 */
function askLlama(
  { probe = probeLlama }: GpuSources,
  nvidia: readonly GpuIdentity[],
  inherit: readonly string[],
): Promise<Probe> {
  const cards: Record<string, string> =
    nvidia.length === 0 ? {} : { CUDA_VISIBLE_DEVICES: nvidia.map(({ uuid }) => uuid).join(",") };
  return probe(cards, inherit);
}

function nvidiaOf(gpus: readonly GpuIdentity[]): GpuIdentity[] {
  return gpus.filter(({ vendor }) => vendor === "nvidia");
}

function amdOf(gpus: readonly GpuIdentity[]): GpuIdentity[] {
  return gpus.filter(({ vendor }) => vendor === "amd");
}

function isAmd({ uuid }: Pick<KnownGpu, "uuid">): boolean {
  return uuid.startsWith("AMD-");
}

function isNvidia(gpu: Pick<KnownGpu, "uuid">): boolean {
  return !isAmd(gpu);
}

/** Known GPUs that no driver lists. A card that has been split into MIG devices is not gone. */
function missingGpus(found: readonly GpuIdentity[], known: KnownGpus): KnownGpu[] {
  return known.all.filter(({ uuid }) => !found.some((gpu) => gpu.uuid === uuid || gpu.parentUuid === uuid));
}

/**
 * Vulkan gives names, and neither UUIDs nor bus ids, so cards and names are matched by their order, and only where there are as many of
 * the one as of the other.
 */
function vulkanDevices(amd: readonly GpuIdentity[], probe: Probe | null): Map<string, number> {
  if (probe?.backend !== "vulkan") return new Map();
  const indices = probe.names.flatMap((name, index) => (AMD_NAME.test(name) ? [index] : []));
  if (indices.length !== amd.length) return new Map();
  return new Map(inPciOrder(amd).map(({ uuid }, place) => [uuid, indices[place]!]));
}

const AMD_NAME = /\b(AMD|ATI|Radeon)\b/i;
const NVIDIA_NAME = /\b(NVIDIA|GeForce|Quadro|Tesla|TITAN)\b/i;

/**
 * NVIDIA's on the PCI bus without those that are not meant for us: given to a virtual machine, or, in a container, shown by the bus while
 * the container runtime has handed in others (it sets NVIDIA_VISIBLE_DEVICES then).
 */
function unlistedNvidia({ found, pciGpus, environment }: GpuSources): GpuSources["pciGpus"] {
  const listed = new Set(nvidiaOf(found.gpus).map(({ pciBusId }) => pciBusId));
  if (listed.size > 0 && environment["NVIDIA_VISIBLE_DEVICES"] !== undefined) return [];
  return pciGpus.filter(
    ({ vendor, busId, driver }) => vendor === "nvidia" && driver !== "vfio-pci" && !listed.has(busId),
  );
}

/** The GPUs that have a number for good. An AMD GPU that llama.cpp never could open is none: processors with graphics are everywhere. */
function identified({ found, known, probe, vulkan }: View): readonly GpuIdentity[] {
  const counts = ({ vendor, uuid }: GpuIdentity): boolean =>
    vendor === "nvidia" ||
    probe === null ||
    vulkan.has(uuid) ||
    (probe.backend === false && known.numberOf(uuid) !== undefined);
  return inPciOrder(found.gpus).filter(counts);
}

function presentGpu(gpu: GpuIdentity, view: View): SurveyedGpu {
  const visible = view.selections.some((selection) => selection.visible.includes(gpu));
  return {
    ...describe(gpu, view),
    number: view.known.numberOf(gpu.uuid)!,
    use: visible ? "auto" : "hidden",
  };
}

function describe(gpu: GpuIdentity, { probe, vulkan, environment, minComputeCapability: least }: View): Unnumbered {
  const { uuid, name, vendor, pciBusId, memoryTotal, computeCapability, slowdownTemperature } = gpu;
  const nvidia = vendor === "nvidia";
  const tooOld = nvidia && computeCapability !== null && computeCapability < least;
  return {
    uuid,
    name,
    vendor,
    pciBusId,
    memoryTotal,
    computeCapability,
    slowdownTemperature,
    backend: nvidia ? "cuda" : "vulkan",
    environment: nvidia ? nvidiaEnvironment(uuid) : amdEnvironment(gpu, vulkan.get(uuid), environment),
    use: "auto",
    unfit: tooOld
      ? `Its CUDA compute capability is ${computeCapability.toFixed(1)}, below the ${least.toFixed(1)} of gpu.min_compute_capability.`
      : null,
    closed: nvidia ? cudaMissing(probe) : vulkanMissing(probe, vulkan.has(uuid)),
    lost: null,
  };
}

function nvidiaEnvironment(uuid: string): Record<string, string> {
  return { CUDA_VISIBLE_DEVICES: uuid, CUDA_DEVICE_ORDER: "PCI_BUS_ID" };
}

/** ROCm knows a GPU by its unique id where it has one, else by its index. Without Vulkan's index no device must be opened at all. */
function amdEnvironment(
  { uuid, index }: Pick<GpuIdentity, "uuid" | "index">,
  vulkanIndex: number | undefined,
  environment: NodeJS.ProcessEnv,
): Record<string, string> {
  const id = uuid.slice("AMD-".length);
  return {
    ROCR_VISIBLE_DEVICES: id.includes(":") ? String(index) : `GPU-${id}`,
    GGML_VK_VISIBLE_DEVICES: vulkanIndex === undefined ? "" : nth(environment["GGML_VK_VISIBLE_DEVICES"], vulkanIndex),
  };
}

/** A worker's list replaces the server's own, so the index is that of the whole machine again. */
function nth(list: string | undefined, index: number): string {
  return list?.split(",")[index]?.trim() ?? String(index);
}

/** The command that installs the package that llama.cpp needs for a kind of GPU. */
export const ADD_CUDA = `${ADD_GPU} cuda`;
export const ADD_VULKAN = `${ADD_GPU} vulkan`;

const FROM_CPU = "to serve from the CPU all the same, set gpu.cpu_fallback: true or start with --devices cpu:2";

/** A GPU that is there but cannot be used must be seen, and must never be replaced by a CPU in silence. */
function cudaMissing(probe: Probe | null): Closed | null {
  if (probe === null || probe.backend === "cuda") return null;
  const noBuild = noBuildOf(probe);
  if (noBuild !== null) return { why: noBuild, command: null };
  const opened = `Not used yet: llama.cpp could open ${probe.backend || "nothing but the CPU"} here, not CUDA`;
  if (probe.cudaFault !== null)
    return {
      why: `${opened}: its CUDA package cannot be loaded (${probe.cudaFault}). Run "${ADD_CUDA}", which brings what it lacks or says what that is; ${FROM_CPU}.`,
      command: ADD_CUDA,
    };
  return {
    why: `${opened}. Run "${ADD_CUDA}" to install its CUDA package (or check the driver with nvidia-smi); ${FROM_CPU}.`,
    command: ADD_CUDA,
  };
}

function vulkanMissing(probe: Probe | null, matched: boolean): Closed | null {
  if (probe === null || matched) return null;
  const noBuild = noBuildOf(probe);
  if (noBuild !== null) return { why: noBuild, command: null };
  if (probe.backend === "vulkan")
    return { why: "Vulkan's devices do not tell which of them this card is.", command: null };
  if (probe.backend !== false)
    return { why: `llama.cpp uses ${probe.backend} here, and opens one kind of GPU only.`, command: null };
  return {
    why: `Not used yet: llama.cpp could open nothing but the CPU here, not Vulkan. Run "${ADD_VULKAN}" to install its Vulkan package; ${FROM_CPU}.`,
    command: ADD_VULKAN,
  };
}

function lostGpu({ uuid, number, name, pciBusId }: KnownGpu, view: View): SurveyedGpu {
  const amd = isAmd({ uuid });
  const unlisted = view.unlisted.find(({ busId }) => busId === pciBusId);
  const asked = view.selections.some(({ missed }) => missed.some((gpu) => gpu.uuid === uuid));
  return {
    ...UNKNOWN_FIGURES,
    number,
    uuid,
    name,
    pciBusId,
    vendor: amd ? "amd" : "nvidia",
    backend: amd ? "vulkan" : "cuda",
    environment: amd ? amdEnvironment({ uuid, index: 0 }, undefined, {}) : nvidiaEnvironment(uuid),
    use: asked ? "auto" : "named",
    unfit: null,
    closed: null,
    lost:
      unlisted === undefined
        ? `It was here at an earlier start and is not found now${amd ? "" : driverSays(view)}. If it is gone for good, delete gpus.json in the data directory to number the GPUs anew.`
        : `It was here at an earlier start. ${notListed(unlisted, view)}`,
  };
}

const UNKNOWN_FIGURES = { memoryTotal: null, computeCapability: null, slowdownTemperature: null };

/** NVIDIA GPUs that only the PCI bus knows. llama.cpp may open them all the same, then they are among the others. */
function unlistedGpus(view: View): Unnumbered[] {
  const { unlisted, probe, known, environment } = view;
  const opened = probe !== null && (probe.backend === "cuda" || probe.names.some((name) => NVIDIA_NAME.test(name)));
  if (nvidiaOf(view.found.gpus).length === 0 && opened) return [];
  const isKnown = (busId: string): boolean => known.all.some(({ pciBusId }) => pciBusId === busId);
  return unlisted
    .filter(({ busId }) => !isKnown(busId))
    .map((gpu) => ({
      ...UNKNOWN_FIGURES,
      uuid: `PCI-${gpu.busId}`,
      name: `NVIDIA GPU at ${gpu.busId}`,
      pciBusId: gpu.busId,
      vendor: "nvidia",
      backend: "cuda",
      environment: { CUDA_VISIBLE_DEVICES: "" },
      // A list of visible GPUs does not mean one that no driver lists.
      use: environment["CUDA_VISIBLE_DEVICES"] === undefined ? "auto" : "named",
      unfit: `${notListed(gpu, view)} Once nvidia-smi lists it, start again; ${FROM_CPU}.`,
      closed: null,
      lost: null,
    }));
}

function notListed({ busId, driver }: View["unlisted"][number], view: View): string {
  const kernel = driver === null ? "the kernel has no driver for it" : `the kernel's driver for it is ${driver}`;
  return `It is on the PCI bus at ${busId}, but NVIDIA's driver lists neither it nor MIG devices on it (${kernel})${driverSays(view)}.`;
}

function driverSays({ found: { gpus, notes } }: View): string {
  const words = nvidiaOf(gpus).length > 0 ? [] : notes.filter((note) => /nvidia|nvml/i.test(note));
  return words.length === 0 ? "" : `: ${words.map((note) => note.replace(/\.$/, "")).join("; ")}`;
}

/** GPUs that llama.cpp can open and no driver has listed: on a Mac, of other vendors, or without the vendor's library. */
function otherGpus({ probe, vulkan, found, environment }: View): Unnumbered[] {
  if (probe === null || probe.backend === false) return [];
  const { backend, names, memoryTotal } = probe;
  const nvidia = nvidiaOf(found.gpus).length > 0;
  const matched = new Set(vulkan.values());
  return names.flatMap((name, index) => {
    if (matched.has(index) || (nvidia && (backend === "cuda" || NVIDIA_NAME.test(name)))) return [];
    return {
      ...UNKNOWN_FIGURES,
      uuid: `${backend}-${index}`,
      name,
      pciBusId: null,
      vendor: "other",
      backend,
      memoryTotal: names.length === 1 ? memoryTotal : null,
      environment: visibleTo(backend, index, environment),
      use: "auto",
      unfit: null,
      closed: null,
      lost: null,
    };
  });
}

function visibleTo(backend: Probe["backend"], index: number, environment: NodeJS.ProcessEnv): Record<string, string> {
  if (backend === "vulkan") return { GGML_VK_VISIBLE_DEVICES: nth(environment["GGML_VK_VISIBLE_DEVICES"], index) };
  if (backend === "cuda") return nvidiaEnvironment(nth(environment["CUDA_VISIBLE_DEVICES"], index));
  return {};
}

/** AMD GPUs that llama.cpp cannot open, and never could: whoever names one by its UUID learns why. */
function unopenedGpus(view: View): Unnumbered[] {
  const numbered = identified(view);
  const rest = amdOf(view.found.gpus).filter((gpu) => !numbered.includes(gpu));
  return rest.map((gpu) => ({ ...describe(gpu, view), use: "named" }));
}

function noBuildOf(probe: Probe | null): string | null {
  return probe?.noBuild === undefined ? null : `llama.cpp cannot be opened: ${probe.noBuild}.`;
}

/** On a machine whose drivers are all well nothing dies here, so this is never the noise of one without a GPU. */
function faultsOf(probe: Probe | null): string[] {
  if (probe?.death === undefined) return [];
  return [
    `llama.cpp could not say which GPUs it can open: the process that asked it ended with ${probe.death}, as when a driver crashes or hangs. GPUs may be missing, and the CPU in their place.`,
  ];
}

function warningsOf(gpus: readonly SurveyedGpu[], { probe }: View): string[] {
  const unopened = gpus.filter(({ use, vendor, lost }) => use === "named" && vendor === "amd" && lost === null);
  if (probe?.backend !== false) return [];
  return unopened.map(({ name, uuid, closed }) => `${name} (${uuid}): ${closed?.why}`);
}
