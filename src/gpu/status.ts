/** A GPU as `GET /gpus` shows it. */
import type { EngineSetting, UpstreamFigures } from "../engine/engine.ts";
import type { Capability } from "../request.ts";
import type { GpuState, InstanceFacts } from "./facts.ts";

/** One entry of a GPU's history. */
export interface GpuEventRecord {
  /** Unix milliseconds. */
  readonly at: number;
  /** The state it went into, or what happened, such as `xid`. */
  readonly event:
    | GpuState
    | "resumed"
    | "xid"
    | "double_bit_ecc"
    | "crowded"
    | "free"
    | "loaded"
    | "unloaded"
    | "load_failed";
  /** One sentence. */
  readonly reason: string;
}

/** A process that uses a GPU; bytes and percent, null where the driver does not tell. */
export interface GpuUser {
  readonly pid: number;
  readonly memory: number | null;
  readonly utilization: number | null;
  /** Whether it is a worker of this server. */
  readonly own: boolean;
}

/** The states of an instance for people: several causes of the scheduler's states are one of these. */
export const INSTANCE_STATES = ["cold", "loading", "ready", "unloading", "failed"] as const;

/** One model on one GPU. */
export interface InstanceStatus {
  readonly gpuId: number;
  /** Among those of its GPU. */
  readonly id: number;
  /** The name by which requests call its model; null: its device's own, which has no name before it is loaded. */
  readonly model: string | null;
  /** Path of the model's file, or the name by which its server knows it; "" where there is neither. */
  readonly source: string;
  /** `ready` also where it takes nothing new, because its card is hot or drained. */
  readonly state: (typeof INSTANCE_STATES)[number];
  /** Of one that is loading: its file is yet to come. */
  readonly isFetching: boolean;
  /** One sentence; null: it is ready, and takes tasks. */
  readonly reason: string | null;
  /** Bytes that the model takes there, or would take; null: not known. */
  readonly memoryBytes: number | null;
  /** Seconds that its last load took; null: it was not loaded yet. */
  readonly loadSeconds: number | null;
  /** Unix milliseconds when a task last began or ended there, or else when it was loaded; null: neither was. */
  readonly lastUsedAt: number | null;
  /** Tasks running there. */
  readonly running: number;
  /** Tasks that may run there. */
  readonly slots: number;
  /** Tokens of context for each slot; null: it was not loaded yet, or its server does not tell. */
  readonly context: number | null;
  /** Bytes of KV cache for each token; null: it was not loaded yet, or its engine does not tell. */
  readonly kvBytesPerToken: number | null;
}

export interface GpuStatus {
  readonly id: number;
  /** The machine of the cluster that has it; absent: this one. */
  readonly machine?: string;
  readonly name: string;
  readonly kind: "gpu" | "cpu" | "simulated" | "remote";
  /** Several when they hold one model together. */
  readonly uuids: readonly string[];
  /** As many as `uuids`; none for stand-ins. */
  readonly pciBusIds: readonly string[];
  readonly status: GpuState;
  /** One sentence: why it is in this state, when that is not `ready`; else null. */
  readonly reason: string | null;
  /** Unix milliseconds since when `status` holds. */
  readonly since: number;
  /** Why it gets no new tasks although it is ready; null: it does. */
  readonly crowded: InstanceFacts["crowded"];
  /** Percent, 0 to 100, by everybody; null: the device does not tell. So are all figures below. */
  readonly utilization: number | null;
  /** Bytes, by everybody. */
  readonly memoryUsed: number | null;
  /** Bytes. */
  readonly memoryTotal: number | null;
  /** Bytes. */
  readonly memoryFree: number | null;
  /** Share of its memory, 0 to 1, taken by processes that are not this server's workers. */
  readonly othersMemory: number | null;
  /** Share of its time, 0 to 1, used by processes that are not this server's workers. */
  readonly othersUtilization: number | null;
  /** Degrees Celsius. */
  readonly temperature: number | null;
  /** Degrees Celsius above which it gets no new tasks. */
  readonly maxTemperature: number | null;
  /** Watts. */
  readonly power: number | null;
  /** Watts. */
  readonly powerLimit: number | null;
  /** Joules since the driver was loaded. */
  readonly energy: number | null;
  /** Why its clock is lower than it could be; empty: it is not. */
  readonly throttle: readonly string[] | null;
  /** Memory errors since the driver was loaded. */
  readonly ecc: { readonly corrected: number; readonly uncorrected: number } | null;
  /** How often the driver reported which Xid error since this server started. */
  readonly xids: Readonly<Record<string, number>>;
  /** CUDA's, like 8.6. */
  readonly computeCapability: number | null;
  readonly processes: readonly GpuUser[] | null;
  /** Tasks running there now. */
  readonly taskCount: number;
  readonly slots: number;
  /** The figure that `least_loaded` compares, 0 to 1. */
  readonly load: number;
  /** The model's name, for people; null until it is loaded. */
  readonly model: string | null;
  /** The name by which requests call its model; null until it is loaded. */
  readonly modelName: string | null;
  /** Capabilities of its model; null until it is loaded. */
  readonly capabilities: readonly Capability[] | null;
  /** Whether its model has a chat template; null until it is loaded, and where the server behind it does not tell. */
  readonly hasChatTemplate: boolean | null;
  /** Tokens of context for each slot; null until the model is loaded. */
  readonly context: number | null;
  /** One sentence when memory was too small for the slots or the context asked for; else null. */
  readonly memoryNote: string | null;
  /** The device that the engine reports; null until then. */
  readonly device: string | null;
  /** How the engine computes, and why so; null until the model is loaded. */
  readonly settings: readonly EngineSetting[] | null;
  /** The figures of the server behind it; null: there is none, or it does not tell. */
  readonly upstream: UpstreamFigures | null;
  /** Process id of the worker; null: none runs. */
  readonly pid: number | null;
  /** Worker processes that died since the server started. */
  readonly restarts: number;
  /** A model each, in the order of the configuration, also those that are not loaded. */
  readonly instances: readonly InstanceStatus[];
  /** The last ones, oldest first. */
  readonly events: readonly GpuEventRecord[];
}

/** Whether a task sent now could finish, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  readonly reason: string | null;
}
