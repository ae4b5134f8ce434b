/** How a GPU looks from outside: what `GET /gpus` and the start-up table show. */

export const GPU_STATUSES = ["starting", "ready", "restarting", "draining", "unusable"] as const;
/**
 * `starting`: loading for the first time; `ready`: takes tasks; `restarting`: its worker died and will be started again;
 * `draining`: finishes what runs and takes nothing new; `unusable`: cannot serve, see the reason.
 */
export type GpuState = (typeof GPU_STATUSES)[number];

export interface GpuStatus {
  readonly id: number;
  readonly name: string;
  /** `gpu`, `cpu` or `simulated`. */
  readonly kind: "gpu" | "cpu" | "simulated";
  readonly uuid: string;
  readonly status: GpuState;
  /** One sentence, when the GPU takes no tasks or was restarted; else null. */
  readonly reason: string | null;
  /** Unix milliseconds since when `status` holds. */
  readonly since: number;
  /** Percent, 0 to 100, by everybody; null: the device does not tell. */
  readonly utilization: number | null;
  /** Bytes, by everybody; null: the device does not tell. */
  readonly memoryUsed: number | null;
  /** Bytes. */
  readonly memoryTotal: number | null;
  /** Tasks running there now. */
  readonly taskCount: number;
  readonly slots: number;
  /** What `least_loaded` compares, 0 to 1. */
  readonly load: number;
  /** The model's name; null until it is loaded. */
  readonly model: string | null;
  /** Tokens of context for each slot; null until the model is loaded. */
  readonly context: number | null;
  /** Process id of the worker; null: none runs. */
  readonly pid: number | null;
  /** Worker processes that died since the server started. */
  readonly restarts: number;
}

/** What placement may depend on. */
export interface GpuFacts {
  readonly id: number;
  readonly state: GpuState;
  /** Why it takes no tasks; null while it does. */
  readonly reason: string | null;
  readonly slots: number;
  /** Tokens of context for each slot; null until the model is loaded. */
  readonly context: number | null;
  readonly kvBytesPerToken: number;
  /** A text of n bytes has at least n / this many tokens. */
  readonly maxTokenBytes: number;
  /** Bytes; null: the device does not tell. */
  readonly memoryFree: number | null;
  /** Share of its memory, 0 to 1, taken by processes that are not this server's workers. */
  readonly othersMemory: number;
  /** Share of its time, 0 to 1, used by processes that are not this server's workers. */
  readonly othersUtilization: number;
}

/** Whether a task sent now could finish, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  readonly reason: string | null;
}
