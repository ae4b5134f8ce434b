/**
 * The drivers' figures of this machine's GPUs, in the terms that every vendor's file uses.
 *
 * A value that the vendor does not give is null, never 0. Bytes, percent (0 to 100), degrees Celsius, watts and joules throughout.
 */

/** The constant properties of a GPU. */
export interface GpuIdentity {
  readonly vendor: "nvidia" | "amd";
  /** The permanent name of this GPU: NVIDIA's `GPU-…` or `MIG-…`; for AMD, `AMD-` and its unique id, or its bus id where it has none. */
  readonly uuid: string;
  /** The card that a MIG device is a part of; null: a whole card. */
  readonly parentUuid: string | null;
  /** In lower case, like `0000:65:00.0`; a MIG device has its card's. */
  readonly pciBusId: string;
  /** The driver's own number, as nvidia-smi shows it; for a MIG device, its number on its card. */
  readonly index: number;
  readonly name: string;
  /** CUDA's, major and minor as one number like 8.6. */
  readonly computeCapability: number | null;
  readonly memoryTotal: number | null;
  /** Degrees at which the card slows itself down. */
  readonly slowdownTemperature: number | null;
}

/** A process that uses a GPU. */
export interface GpuProcess {
  /** As the driver gives it: in a container it may be the host's. */
  readonly pid: number;
  readonly memory: number | null;
  /** Percent of the GPU's time since the last sample; null where the driver does not tell for single processes. */
  readonly utilization: number | null;
}

/** One GPU at one moment. */
export interface GpuSample {
  readonly uuid: string;
  /** By everybody. */
  readonly utilization: number | null;
  readonly memoryTotal: number | null;
  /** By everybody. */
  readonly memoryUsed: number | null;
  readonly memoryFree: number | null;
  readonly temperature: number | null;
  readonly power: number | null;
  readonly powerLimit: number | null;
  /** Since the driver was loaded. */
  readonly energy: number | null;
  /** Why its clock is lower than it could be, such as `hw_thermal_slowdown`; empty: it is not. */
  readonly throttle: readonly string[] | null;
  /** null: the driver does not tell, which is not the same as nobody. */
  readonly processes: readonly GpuProcess[] | null;
  /** Memory errors since the driver was loaded. */
  readonly ecc: { readonly corrected: number; readonly uncorrected: number } | null;
}

/** Something that happened to a GPU. A MIG device gets its card's events too. */
export type GpuEvent =
  | { readonly type: "xid"; readonly uuid: string; readonly xid: number }
  | { readonly type: "double_bit_ecc"; readonly uuid: string };

/** All GPUs of a driver at one moment. */
export interface Snapshot {
  /** Of the GPUs that answer. */
  readonly samples: readonly GpuSample[];
  /** The GPUs that were found once and answer no more: the driver calls them lost, or no longer lists them. */
  readonly lost: readonly { readonly uuid: string; readonly reason: string }[];
  /** Since the last snapshot. */
  readonly events: readonly GpuEvent[];
}

/** One vendor's driver. */
export interface Driver {
  /** The name of the source, with its version where it tells one: for people, like `NVML 570.124.06`. */
  readonly source: string;
  /** The GPUs that are there, in PCI bus order. @throws {Error} when the driver fails as a whole */
  discover(): Promise<readonly GpuIdentity[]>;
  /** @throws {Error} when the driver fails as a whole; it may work again the next time */
  sample(): Promise<Snapshot>;
  close(): Promise<void>;
}

/** There is no such driver on this machine, or nothing that it could drive: which is no fault. */
export class NoDriver extends Error {}
