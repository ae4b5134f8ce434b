/** Which devices serve, under which gpu_id: reads `gpu.devices`, and finds what it names among the GPUs of this machine. */
import { availableParallelism, cpus } from "node:os";
import type { Logger } from "pino";
import { type Config, deviceEntries, type DeviceSettings, isRemote, urlsOf } from "../../config/config.ts";
import type { DeviceEngine, EngineOptions } from "../../engine/engine.ts";
import { engineTraits } from "../../engine/kinds.ts";
import { faultOfUrl, hostOf, plainUrl } from "../../engine/openai/address.ts";
import { AltLasError } from "../../errors.ts";
import { fieldName } from "../../common/validation.ts";
import { type DeviceLimits, limitsOf, type OwnLimits } from "./device-limits.ts";
import { DEMO_MODEL, engineOf } from "./device-engine.ts";
import { coolEnough, firstReason, groupName, joinedEnvironment, over } from "./groups.ts";
import { type GpuSources, type Survey, type SurveyedGpu, surveyGpus } from "./survey.ts";
import { memoryLimit } from "../card/readings.ts";

export { DEMO_MODEL };

/** The device behind a gpu_id: a GPU, several that hold one model together, or a stand-in. */
export interface Device extends DeviceLimits {
  readonly id: number;
  /** Names it over restarts: its UUIDs, and which one it is of several devices on the same GPUs. */
  readonly key: string;
  /** `remote`: a server that runs already, wherever. */
  readonly kind: "gpu" | "cpu" | "simulated" | "remote";
  readonly name: string;
  /** Several when they hold one model together. */
  readonly uuids: readonly string[];
  /** As many as `uuids`, where the GPUs are on a PCI bus; none for stand-ins. */
  readonly pciBusIds: readonly string[];
  /** `other`: a GPU of which no driver tells anything. */
  readonly vendor: "nvidia" | "amd" | "other" | "cpu" | "simulated" | "remote";
  /** The devices that llama.cpp computes on. */
  readonly backend: EngineOptions["backend"];
  /** Bytes, over all its GPUs; null: not known before it is measured. */
  readonly memoryTotal: number | null;
  /** CUDA's, like 8.6; the lowest of its GPUs. */
  readonly computeCapability: number | null;
  /** Degrees Celsius above which it gets no new tasks; null for stand-ins. */
  readonly maxTemperature: number | null;
  /** For the worker's process: the GPUs it may see. */
  readonly environment: Readonly<Record<string, string>>;
  /** Those of its entry. */
  readonly own: OwnLimits;
  readonly engine: DeviceEngine;
  /** Set: it cannot serve as things are, and this sentence says why. */
  readonly unfit: string | null;
  /** Of an unfit one: the command that brings what it lacks, so that it is only not used yet; null: none is known to help. */
  readonly mendedBy: string | null;
  /** It is a CPU device in the place of GPUs that lack a package: a model of somebody's own must not be on it. */
  readonly demoOnly: boolean;
  /** Set: it was here at an earlier start and is gone. */
  readonly lost: string | null;
}

/** A device that has no gpu_id yet. `number`: that of its GPU; null: a stand-in. */
type Draft = Omit<Device, "id" | "key"> & { readonly number: number | null };

interface Entry {
  readonly path: readonly (string | number)[];
  readonly entry: DeviceSettings;
}

export interface DeviceSources extends GpuSources {
  /** Sentences of drivers that are installed and list no GPU. */
  readonly silentDrivers?: readonly string[];
  readonly log: Pick<Logger, "warn">;
}

/** Without a GPU, two devices show every multi-GPU feature at work. */
const AUTO_DEVICES = 2;

/**
 * The devices of a configuration, in `gpu_id` order. With `auto` alone a GPU's gpu_id is the number that it keeps, so that there may be
 * gaps; with a list it is the position there.
 * @throws {AltLasError} `bad_config` when it names a GPU that is not there, and never was; the sentence lists those that are
 */
export async function findDevices(config: Config, sources: DeviceSources): Promise<Device[]> {
  const entries = deviceEntries(config);
  const survey = await surveyFor(entries, config, sources);
  for (const warning of [...survey.warnings, ...survey.faults]) sources.log.warn(warning);
  const resolver = new Resolver(config, survey, sources.silentDrivers);
  const found = entries.flatMap((entry) => resolver.resolve(entry));
  const used = config.gpu.multi_gpu.enabled ? found : found.slice(0, 1);
  const drafts = [...used, ...resolver.fallbackFor(used)];
  return identify(drafts, entries.length === 1 && entries[0]!.entry.gpu === "auto");
}

/** Whether the configuration may mean GPUs, so that drivers have to be asked. */
export function wantsGpus(config: Config): boolean {
  return deviceEntries(config).some((entry) => needsGpus(entry, config));
}

/** No driver, and no file, is looked at for the sake of stand-ins. */
async function surveyFor(entries: readonly Entry[], config: Config, sources: GpuSources): Promise<Survey> {
  const engines = entries.filter((entry) => needsGpus(entry, config)).map(({ entry }) => engineOf(entry, config).kind);
  if (engines.length === 0) return { gpus: [], warnings: [], faults: [], noBuild: null };
  return surveyGpus(sources, {
    llama: engines.some((kind) => engineTraits(kind).library !== null),
    minComputeCapability: config.gpu.min_compute_capability,
    inherit: config.gpu.worker_environment,
  });
}

function needsGpus({ entry }: Entry, config: Config): boolean {
  if (isRemote(entry, config)) return false;
  if (entry.gpu === "auto") return config.gpu.enabled && engineTraits(config.engine.kind).computes === "here";
  return !/^(cpu|simulated):/.test(String(entry.gpu));
}

function identify(drafts: readonly Draft[], byNumber: boolean): Device[] {
  const uses = new Map<string, number>();
  let next = 0;
  return drafts.map(({ number, ...draft }) => {
    const id = byNumber && number !== null ? number : next;
    next = id + 1;
    const gpus = draft.uuids.join(",");
    const use = (uses.get(gpus) ?? 0) + 1;
    uses.set(gpus, use);
    return { ...draft, id, key: use === 1 ? gpus : `${gpus}#${use}` };
  });
}

/** Makes devices of entries. */
class Resolver {
  readonly #config: Config;
  readonly #gpus: readonly SurveyedGpu[];
  readonly #warnings: readonly string[];
  readonly #silentDrivers: readonly string[];
  readonly #noBuild: string | null;
  /** How many stand-ins there are already. */
  #cpus = 0;
  #simulated = 0;

  constructor(config: Config, { gpus, warnings, noBuild }: Survey, silentDrivers: readonly string[] = []) {
    this.#config = config;
    this.#gpus = gpus;
    this.#warnings = warnings;
    this.#silentDrivers = silentDrivers;
    this.#noBuild = noBuild;
  }

  resolve(entry: Entry): Draft[] {
    const { gpu, gpus } = entry.entry;
    if (isRemote(entry.entry, this.#config)) return this.#remoteDevices(entry.entry);
    if (gpu === "auto") return this.#auto(entry);
    const [, standIn, count] = /^(cpu|simulated):(\d+)$/.exec(String(gpu)) ?? [];
    if (standIn === "cpu") return this.#cpuDevices(Number(count), entry.entry);
    if (standIn === "simulated") return this.#simulatedDevices(Number(count), entry.entry);
    return [this.#gpuDevice(this.#group(gpus ?? [gpu!], entry.path), entry.entry)];
  }

  /** CPU devices to serve where no GPU can, if that is wished for. */
  fallbackFor(devices: readonly Draft[]): Draft[] {
    const { gpu, engine } = this.#config;
    const serves = devices.some(({ unfit, lost }) => unfit === null && lost === null);
    const { computes, library } = engineTraits(engine.kind);
    // Where llama.cpp computes on nothing, the CPU is in nobody's place.
    if (serves || computes !== "here" || (library !== null && this.#noBuild !== null)) return [];
    if (gpu.cpu_fallback !== undefined) return gpu.cpu_fallback ? this.#autoCpus() : [];
    return this.#isFirstTry(devices) ? this.#autoCpus().map((cpu) => ({ ...cpu, demoOnly: true })) : [];
  }

  /** Nothing was chosen yet, neither a GPU nor a model, and the GPUs lack only what a command brings: then there is something to try. */
  #isFirstTry(devices: readonly Draft[]): boolean {
    const entries = deviceEntries(this.#config);
    return (
      this.#config.models.length === 0 &&
      devices.some(({ mendedBy }) => mendedBy !== null) &&
      entries.every(({ entry }) => entry.gpu === "auto" && engineOf(entry, this.#config).model === DEMO_MODEL)
    );
  }

  #auto({ path, entry }: Entry): Draft[] {
    const { gpu, engine } = this.#config;
    if (engineTraits(engine.kind).computes === "nowhere") return this.#simulatedDevices(AUTO_DEVICES, entry);
    if (!gpu.enabled) return this.#autoCpus();
    const gpus = this.#gpus.filter(({ use }) => use === "auto");
    if (gpus.length > 0) return gpus.map((one) => this.#gpuDevice([one], entry));
    if (gpu.cpu_fallback === undefined) this.#checkHidden(path);
    if (gpu.cpu_fallback !== false) return this.#autoCpus();
    throw new AltLasError(
      "bad_config",
      `gpu.cpu_fallback is false, and there is no GPU to use (this machine has ${this.#listed()}). Start with --devices cpu:${AUTO_DEVICES} to serve from the CPU.`,
    );
  }

  /** A mistake in what says which GPUs are visible must not end at the CPU; hiding them all is another thing. */
  #checkHidden(path: Entry["path"]): void {
    if (this.#warnings.length === 0 || !this.#gpus.some(({ use }) => use === "hidden")) return;
    refuse(path, `finds no GPU: ${this.#warnings.join(" ")} This machine has ${this.#listed()}.`);
  }

  #autoCpus(): Draft[] {
    const count = this.#config.gpu.multi_gpu.enabled ? Math.min(AUTO_DEVICES, availableParallelism()) : 1;
    return this.#cpuDevices(count, {});
  }

  /** The GPUs that an entry names. @throws {AltLasError} `bad_config` when they cannot be used together */
  #group(names: readonly (string | number)[], path: Entry["path"]): SurveyedGpu[] {
    const gpus = names.map((name) => this.#find(name, path));
    const twice = gpus.find((gpu, index) => gpus.indexOf(gpu) < index);
    if (twice !== undefined) refuse(path, `names ${twice.name} (${twice.uuid}) twice.`);
    const backends = [...new Set(gpus.map(({ backend }) => String(backend)))];
    if (backends.length > 1)
      refuse(path, `joins GPUs for ${backends.join(" and ")}, which cannot hold one model together.`);
    const part = gpus.find(({ uuid }) => uuid.startsWith("MIG-"));
    // NVIDIA's MIG User Guide, "CUDA device enumeration".
    if (gpus.length > 1 && part !== undefined)
      refuse(path, `joins ${part.uuid} with others, but a process can use only one MIG device.`);
    return gpus;
  }

  #find(name: string | number, path: Entry["path"]): SurveyedGpu {
    const number = typeof name === "number" ? name : /^gpu:(\d+)$/.exec(name)?.[1];
    const start = String(name).toLowerCase();
    const fitting = this.#gpus.filter((gpu) =>
      number === undefined ? gpu.uuid.toLowerCase().startsWith(start) : gpu.number === Number(number),
    );
    const shown = typeof name === "number" ? `gpu:${name}` : name;
    const [gpu] = fitting;
    if (gpu === undefined)
      return refuse(path, `names ${shown}, which is not there; this machine has ${this.#listed()}.`);
    if (fitting.length > 1) return refuse(path, `names ${shown}, which fits several GPUs: ${listOf(fitting)}.`);
    if (gpu.use !== "hidden") return gpu;
    const variable = gpu.vendor === "amd" ? "ROCR_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES" : "CUDA_VISIBLE_DEVICES";
    return refuse(path, `names ${shown}, which ${variable} hides; this machine has ${this.#listed()}.`);
  }

  #listed(): string {
    const here = listOf(this.#gpus.filter(({ lost }) => lost === null));
    if (here !== "" || this.#silentDrivers.length === 0) return here || "no GPU";
    return `a GPU driver that lists no GPU: ${this.#silentDrivers.map((note) => note.replace(/\.$/, "")).join("; ")}`;
  }

  #gpuDevice(gpus: readonly SurveyedGpu[], entry: DeviceSettings): Draft {
    const [first] = gpus as [SurveyedGpu];
    const common = this.#common(entry);
    const why = (reason: (gpu: SurveyedGpu) => string | null) => firstReason(gpus, reason);
    const closedOf = ({ closed }: SurveyedGpu) => (engineTraits(common.engine.kind).library === null ? null : closed);
    const isUnfit = gpus.some(({ unfit }) => unfit !== null);
    return {
      ...common,
      number: first.number,
      kind: "gpu",
      name: entry.name ?? groupName(gpus),
      uuids: gpus.map(({ uuid }) => uuid),
      pciBusIds: gpus.flatMap(({ pciBusId }) => pciBusId ?? []),
      vendor: first.vendor,
      backend: first.backend,
      memoryTotal: over(
        gpus.map(({ memoryTotal }) => memoryTotal),
        (all) => all.reduce((a, b) => a + b),
      ),
      computeCapability: over(
        gpus.map(({ computeCapability }) => computeCapability),
        (all) => Math.min(...all),
      ),
      maxTemperature: entry.max_temperature ?? this.#config.gpu.max_temperature ?? coolEnough(gpus),
      environment: joinedEnvironment(gpus),
      unfit: why((gpu) => gpu.unfit ?? closedOf(gpu)?.why ?? null),
      mendedBy: isUnfit ? null : (gpus.map((gpu) => closedOf(gpu)?.command).find((command) => command) ?? null),
      demoOnly: false,
      lost: why(({ lost }) => lost),
    };
  }

  #cpuDevices(count: number, entry: DeviceSettings): Draft[] {
    const model = cpus()[0]?.model.trim() ?? "CPU";
    return Array.from({ length: count }, (_, index) => {
      const number = this.#cpus++;
      const standIn = this.#standIn("cpu", entry);
      return {
        ...standIn,
        unfit: engineTraits(standIn.engine.kind).library === null ? null : this.#noBuild,
        name: nameOf(entry, count, index) ?? `CPU device ${number} (${model})`,
        uuids: [`CPU-${number}`],
        memoryTotal: memoryLimit(),
        environment: { CUDA_VISIBLE_DEVICES: "" },
      };
    });
  }

  #simulatedDevices(count: number, entry: DeviceSettings): Draft[] {
    return Array.from({ length: count }, (_, index) => {
      const number = this.#simulated++;
      const standIn = this.#standIn("simulated", entry);
      return {
        ...standIn,
        engine: { ...standIn.engine, kind: "simulated" },
        name: nameOf(entry, count, index) ?? `Simulated device ${number}`,
        uuids: [`SIMULATED-${number}`],
        memoryTotal: entry.memory_bytes ?? null,
        environment: {},
      };
    });
  }

  /** An address that cannot be used costs its own device only. */
  #remoteDevices(entry: DeviceSettings): Draft[] {
    const urls = urlsOf(entry, this.#config);
    return urls.map((url, index) => {
      // Others may use it as much as they like: it says itself when it has no room.
      const limits = { memory_threshold: 1, utilization_threshold: entry.utilization_threshold ?? 1 };
      const standIn = this.#standIn("remote", { ...entry, ...limits });
      const apiKey = entry.engine?.api_key ?? this.#config.engine.api_key ?? null;
      return {
        ...standIn,
        engine: { ...standIn.engine, upstream: { url, apiKey } },
        name: nameOf(entry, urls.length, index) ?? hostOf(url),
        uuids: [`REMOTE-${plainUrl(url)}`],
        memoryTotal: null,
        environment: {},
        unfit: faultOfUrl(url),
      };
    });
  }

  #standIn<Kind extends "cpu" | "simulated" | "remote">(kind: Kind, entry: DeviceSettings) {
    return {
      ...this.#common(entry),
      number: null,
      kind,
      vendor: kind,
      pciBusIds: [],
      backend: false as const,
      computeCapability: null,
      maxTemperature: null,
      unfit: null,
      mendedBy: null,
      demoOnly: false,
      lost: null,
    };
  }

  /** The settings of an entry, completed by those for all devices. */
  #common(entry: DeviceSettings): Pick<Draft, "slots" | "thresholds" | "own" | "engine"> {
    const { slots, memory_threshold, utilization_threshold } = entry;
    const own = {
      ...(slots !== undefined && { slots }),
      ...(memory_threshold !== undefined && { memory_threshold }),
      ...(utilization_threshold !== undefined && { utilization_threshold }),
    };
    return { ...limitsOf(own, this.#config), own, engine: engineOf(entry, this.#config) };
  }
}

function refuse(path: Entry["path"], sentence: string): never {
  throw new AltLasError("bad_config", `${fieldName(path, "")} ${sentence}`);
}

function listOf(gpus: readonly SurveyedGpu[]): string {
  return gpus.map(({ number, name, uuid }) => `gpu:${number} (${name}, ${uuid})`).join(", ");
}

function nameOf({ name }: DeviceSettings, count: number, index: number): string | undefined {
  return name === undefined || count === 1 ? name : `${name} ${index}`;
}
