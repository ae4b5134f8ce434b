/** Messages between the server and the telemetry process. The channel keeps the order. */
import type { GpuIdentity, Snapshot } from "./telemetry.ts";

export type ToTelemetry =
  /** The first message, sent once. `interval`: milliseconds between two samples. */
  { readonly type: "start"; readonly interval: number } | { readonly type: "stop" };

export type FromTelemetry =
  /** The answer to `start`. Where there is no GPU the process ends after it. */
  | {
      readonly type: "found";
      /** In PCI bus order over all vendors. */
      readonly gpus: readonly GpuIdentity[];
      /** The drivers that are asked, with their versions. */
      readonly sources: readonly string[];
      /** One sentence for each driver that is not. */
      readonly notes: readonly string[];
      /** Those of `notes` that are about a driver that is installed. */
      readonly silent: readonly string[];
    }
  /** Sent every `interval` milliseconds, or as often as the slowest driver allows. */
  | ({ readonly type: "snapshot" } & Snapshot)
  /** Why drivers fail at present, when that has changed; null: none does any more. */
  | { readonly type: "trouble"; readonly sentence: string | null }
  /** For the server's log. */
  | { readonly type: "log"; readonly level: "debug" | "info"; readonly sentence: string };
