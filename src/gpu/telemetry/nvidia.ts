/** NVIDIA GPUs, as `nvidia-smi` tells them. Its query fields: `nvidia-smi --help-query-gpu`, `--help-query-compute-apps`. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type Reading, type Telemetry, type Watched } from "./telemetry.ts";

const run = promisify(execFile);
const MIB = 1024 * 1024;

/** Our work hides the others' until it has rested this long, in milliseconds. */
const IDLE_BEFORE_OTHERS_COUNT = 2000;
/** Milliseconds after which what was seen of the others' utilization says nothing any more. */
const OTHERS_EXPIRE = 60_000;
/** Milliseconds after which a hanging nvidia-smi is given up. */
const TIMEOUT = 10_000;

export interface NvidiaGpu {
  readonly uuid: string;
  readonly name: string;
  /** Bytes. */
  readonly memoryTotal: number;
}

/** This machine's NVIDIA GPUs in PCI bus order; none where there is no driver. */
export async function findNvidiaGpus(): Promise<NvidiaGpu[]> {
  try {
    const rows = await query("--query-gpu=pci.bus_id,uuid,name,memory.total");
    const sorted = rows.toSorted((a, b) => (a[0]! < b[0]! ? -1 : 1));
    return sorted.map(([, uuid, name, total]) => ({ uuid: uuid!, name: name!, memoryTotal: mib(total) ?? 0 }));
  } catch {
    return [];
  }
}

export class NvidiaTelemetry implements Telemetry {
  readonly interval = 2000;
  /** Bytes each of our workers was seen to hold, for drivers that hide process ids (containers). */
  readonly #footprint = new Map<string, { readonly pid: number; readonly bytes: number; readonly final: boolean }>();
  readonly #before = new Map<string, number>();
  readonly #others = new Map<string, { readonly share: number; readonly at: number }>();

  async sample(devices: readonly Watched[]): Promise<ReadonlyMap<string, Reading>> {
    const [gpus, processes] = await Promise.all([
      query("--query-gpu=uuid,utilization.gpu,memory.used,memory.total,memory.free"),
      query("--query-compute-apps=gpu_uuid,pid,used_gpu_memory"),
    ]);
    const readings = new Map<string, Reading>();
    for (const [uuid, utilization, used, total, free] of gpus) {
      const device = devices.find((candidate) => candidate.uuid === uuid);
      if (device === undefined) continue;
      const memoryUsed = mib(used);
      const memoryTotal = mib(total);
      const own = ownBytes(device, processes) ?? this.#measuredFootprint(device, memoryUsed ?? 0);
      const percent = number(utilization);
      readings.set(device.uuid, {
        utilization: percent,
        memoryUsed,
        memoryTotal,
        memoryFree: mib(free),
        othersMemory: memoryTotal ? Math.max(0, (memoryUsed ?? 0) - own) / memoryTotal : 0,
        othersUtilization: this.#othersUtilization(device, (percent ?? 0) / 100),
      });
    }
    return readings;
  }

  /** Where the driver does not list our process: what the GPU's memory grew by while our worker loaded, and nothing that came later. */
  #measuredFootprint({ uuid, usage, loaded }: Watched, memoryUsed: number): number {
    if (usage === null) {
      this.#before.set(uuid, memoryUsed);
      this.#footprint.delete(uuid);
      return 0;
    }
    const known = this.#footprint.get(uuid);
    if (known?.pid === usage.pid && known.final) return known.bytes;
    const bytes = Math.max(0, memoryUsed - (this.#before.get(uuid) ?? memoryUsed));
    this.#footprint.set(uuid, { pid: usage.pid, bytes, final: loaded });
    return bytes;
  }

  #othersUtilization({ uuid, idleFor }: Watched, share: number): number {
    const now = performance.now();
    if (idleFor >= IDLE_BEFORE_OTHERS_COUNT) this.#others.set(uuid, { share, at: now });
    const seen = this.#others.get(uuid);
    return seen !== undefined && now - seen.at < OTHERS_EXPIRE ? seen.share : 0;
  }
}

/** Bytes the driver says our worker holds; null: it does not list it. */
function ownBytes({ uuid, usage }: Watched, processes: readonly string[][]): number | null {
  const row = processes.find(([gpu, pid]) => gpu === uuid && usage !== null && Number(pid) === usage.pid);
  return row === undefined ? null : mib(row[2]);
}

async function query(what: string): Promise<string[][]> {
  const { stdout } = await run("nvidia-smi", [what, "--format=csv,noheader,nounits"], { timeout: TIMEOUT });
  const lines = stdout.split("\n").filter((line) => line.includes(","));
  return lines.map((line) => line.split(",").map((field) => field.trim()));
}

/** nvidia-smi writes `[N/A]` or `[Not Supported]` for what a GPU does not tell. */
function number(field: string | undefined): number | null {
  const value = Number(field === "" ? undefined : field);
  return Number.isFinite(value) ? value : null;
}

function mib(field: string | undefined): number | null {
  const value = number(field);
  return value === null ? null : value * MIB;
}
