/** The status that a running server tells `alt-las doctor` through its control socket. */
import { getHeapStatistics } from "node:v8";
import { openFiles, type OpenFiles } from "../common/open-files.ts";
import { VERSION } from "../common/version.ts";
import type { GpuPool } from "../gpu/pool.ts";
import type { GpuStatus, Readiness } from "../gpu/status.ts";

export const STATUS_ROUTE = "POST /status";

export interface ServerStatus extends Readiness {
  readonly version: string;
  readonly node: string;
  readonly pid: number;
  /** Where it listens, like `http://127.0.0.1:8642`; none before it does. Absent: its version does not tell. */
  readonly addresses?: readonly string[];
  readonly uptime_seconds: number;
  readonly memory_bytes: number;
  readonly heap_limit_bytes: number;
  /** null: the system does not tell. */
  readonly open_files: OpenFiles | null;
  readonly gpus: readonly ServedGpu[];
  /** Sentences of drivers that are installed and list no GPU. */
  readonly driver_notes: readonly string[];
}

/** A GPU, and what it serves. */
export interface ServedGpu extends Pick<GpuStatus, "id" | "name" | "status" | "reason"> {
  /** `null`: a model that has no name before it is loaded. */
  readonly models: readonly { readonly model: string | null; readonly state: string; readonly reason: string | null }[];
}

interface Parts {
  readonly pool: Pick<GpuPool, "list">;
  readonly readiness: () => Readiness;
  readonly driverNotes: readonly string[];
  readonly at: { readonly addresses: readonly string[] };
}

const NO_LOAD = { taskCount: 0, load: 0 };

export function serverStatus({ pool, readiness, driverNotes, at }: Parts): ServerStatus {
  return {
    version: VERSION,
    node: process.versions.node,
    pid: process.pid,
    addresses: at.addresses,
    uptime_seconds: Math.round(process.uptime()),
    ...readiness(),
    memory_bytes: process.memoryUsage.rss(),
    heap_limit_bytes: getHeapStatistics().heap_size_limit,
    open_files: openFiles(),
    gpus: pool
      .list(() => NO_LOAD)
      .map(({ id, name, status, reason, instances }) => ({
        id,
        name,
        status,
        reason,
        models: instances.map(({ model, state, reason: why }) => ({ model, state, reason: why })),
      })),
    driver_notes: driverNotes,
  };
}
