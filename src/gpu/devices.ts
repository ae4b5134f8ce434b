/** Which devices serve: reads `gpu.devices`, looks at the machine, and numbers what it finds. */
import { fork } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { type Config } from "../config.ts";
import { type EngineOptions } from "../engine/engine.ts";
import { AltLasError } from "../errors.ts";
import { type GpuStatus } from "./status.ts";
import { memoryLimit } from "./telemetry/cpu.ts";
import { findNvidiaGpus } from "./telemetry/nvidia.ts";

/** One GPU to be: what a `gpu_id` will name. */
export interface Device {
  readonly id: number;
  readonly kind: GpuStatus["kind"];
  readonly name: string;
  readonly uuid: string;
  readonly vendor: "nvidia" | "other" | "cpu" | "simulated";
  /** What llama.cpp computes on. */
  readonly backend: EngineOptions["backend"];
  /** Bytes; null: not known before it is measured. */
  readonly memoryTotal: number | null;
  /** For the worker's process: the one GPU it may see. */
  readonly environment: Readonly<Record<string, string>>;
  /** Set: it is listed, but cannot be used, and this sentence says why. */
  readonly unusable: string | null;
}

type Found = Omit<Device, "id">;

/** What llama.cpp says it can compute on, found out in a process of its own so that no driver is loaded into the server. */
export interface Probe {
  readonly backend: EngineOptions["backend"];
  readonly names: readonly string[];
  /** Bytes over all of them. */
  readonly memoryTotal: number;
}

/**
 * The devices of a configuration, in `gpu_id` order.
 * @throws {AltLasError} `bad_config` when it names a GPU that is not there; the sentence lists those that are
 */
export async function findDevices(config: Config): Promise<Device[]> {
  const { devices, enabled, multi_gpu } = config.gpu;
  const specs = typeof devices === "string" ? [devices] : devices;
  const needsGpus = enabled && config.engine.kind === "llama" && specs.some((spec) => !/^(cpu|simulated):/.test(spec));
  const gpus = needsGpus ? await findGpus() : [];
  const found = specs.flatMap((spec) => resolve(spec, gpus, config));
  const twice = found.find((device, index) => found.findIndex(({ uuid }) => uuid === device.uuid) < index);
  if (twice !== undefined)
    throw new AltLasError("bad_config", `gpu.devices names ${twice.name} (${twice.uuid}) twice.`);
  const used = multi_gpu.enabled ? found : found.slice(0, 1);
  return used.map((device, id) => ({ ...device, id }));
}

function resolve(spec: string, gpus: readonly Found[], config: Config): Found[] {
  const [kind, count] = spec.split(":");
  if (kind === "simulated") return simulatedDevices(Number(count));
  if (config.engine.kind === "simulated") {
    if (spec === "auto") return simulatedDevices(AUTO_DEVICES);
    throw new AltLasError(
      "bad_config",
      `gpu.devices must be "auto" or "simulated:N" with engine.kind simulated; got "${spec}".`,
    );
  }
  if (kind === "cpu") return cpuDevices(Number(count));
  if (spec === "auto") return gpus.length > 0 ? [...gpus] : cpuDevices(Math.min(AUTO_DEVICES, availableParallelism()));
  const wanted = gpus.find((gpu, index) => spec === `gpu:${index}` || gpu.uuid.startsWith(spec));
  if (wanted !== undefined) return [wanted];
  const there = gpus.map((gpu, index) => `gpu:${index} (${gpu.name}, ${gpu.uuid})`).join(", ");
  throw new AltLasError(
    "bad_config",
    `gpu.devices names ${spec}, which is not there; this machine has ${there || "no GPU"}.`,
  );
}

/** Without a GPU, two devices show every multi-GPU feature at work. */
const AUTO_DEVICES = 2;

function cpuDevices(count: number): Found[] {
  const model = cpus()[0]?.model.trim() ?? "CPU";
  return Array.from({ length: count }, (_, index) => ({
    kind: "cpu" as const,
    name: `CPU device ${index} (${model})`,
    uuid: `CPU-${index}`,
    vendor: "cpu" as const,
    backend: false as const,
    memoryTotal: memoryLimit(),
    environment: { CUDA_VISIBLE_DEVICES: "" },
    unusable: null,
  }));
}

function simulatedDevices(count: number): Found[] {
  return Array.from({ length: count }, (_, index) => ({
    kind: "simulated" as const,
    name: `Simulated device ${index}`,
    uuid: `SIMULATED-${index}`,
    vendor: "simulated" as const,
    backend: false as const,
    memoryTotal: null,
    environment: {},
    unusable: null,
  }));
}

async function findGpus(): Promise<Found[]> {
  const [nvidia, probe] = await Promise.all([findNvidiaGpus(), probeLlama()]);
  if (nvidia.length > 0) {
    const unusable = probe.backend === "cuda" ? null : cudaMissing(probe);
    return nvidia.map(({ uuid, name, memoryTotal }) => ({
      kind: "gpu" as const,
      name,
      uuid,
      vendor: "nvidia" as const,
      backend: "cuda" as const,
      memoryTotal,
      environment: { CUDA_VISIBLE_DEVICES: uuid, CUDA_DEVICE_ORDER: "PCI_BUS_ID" },
      unusable,
    }));
  }
  return probe.names.map((name, index) => ({
    kind: "gpu" as const,
    name,
    uuid: `${String(probe.backend)}-${index}`,
    vendor: "other" as const,
    backend: probe.backend,
    memoryTotal: probe.names.length === 1 ? probe.memoryTotal : null,
    environment: visibleTo(probe.backend, index),
    unusable: null,
  }));
}

/** A GPU that is there but cannot be used must be seen, and must never be replaced by a CPU in silence. */
function cudaMissing({ backend }: Probe): string {
  const instead = backend === false ? "nothing but the CPU" : backend;
  return `llama.cpp could open ${instead} here, not CUDA. Run "npm run add-gpu cuda" to install its CUDA package (or check the driver with nvidia-smi); to serve from the CPU all the same, start with --devices cpu:2.`;
}

function visibleTo(backend: Probe["backend"], index: number): Record<string, string> {
  if (backend === "vulkan") return { GGML_VK_VISIBLE_DEVICES: String(index) };
  return backend === "cuda" ? { CUDA_VISIBLE_DEVICES: String(index), CUDA_DEVICE_ORDER: "PCI_BUS_ID" } : {};
}

/** Milliseconds. */
const PROBE_TIMEOUT = 30_000;

/** Asks llama.cpp, in a child process; a probe that dies found nothing. */
function probeLlama(): Promise<Probe> {
  return new Promise((resolveProbe) => {
    const child = fork(fileURLToPath(new URL("probe.ts", import.meta.url)), {
      execArgv: [],
      env: { ...process.env, CUDA_DEVICE_ORDER: "PCI_BUS_ID" },
      stdio: ["ignore", "ignore", "ignore", "ipc"],
      // A driver can hang for good; the server must start all the same.
      timeout: PROBE_TIMEOUT,
      killSignal: "SIGKILL",
    });
    let answer: Probe = { backend: false, names: [], memoryTotal: 0 };
    child.on("message", (message) => {
      answer = message as Probe;
    });
    child.once("error", () => resolveProbe(answer));
    child.once("close", () => resolveProbe(answer));
  });
}
