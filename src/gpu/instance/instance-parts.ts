/** The parts of an instance, and the events that it tells. */
import type { Logger } from "pino";
import type { Mutex } from "../../common/mutex.ts";
import type { EngineOptions } from "../../engine/engine.ts";
import type { Estimate } from "../../engine/estimate.ts";
import type { Energy } from "../card/energy.ts";
import type { Device } from "../inventory/devices.ts";
import type { ModelNames } from "../models.ts";
import type { ServedModel } from "../served.ts";
import type { OpenChannel } from "../worker/channel.ts";
import type { Usage } from "../worker/worker.ts";
import type { InstanceHealth } from "./health.ts";
import type { LossReason } from "./lifecycle.ts";
import type { LifecycleTiming } from "./pauses.ts";

export interface InstanceOptions extends InstanceSettings {
  /** Among those of its GPU. */
  readonly id: number;
  readonly device: Device;
  /** The options that are known before the model is loaded. */
  readonly engine: InstanceEngine;
  /** The model that it has by name; null: its device's own, which is there for good. */
  readonly served: ServedModel | null;
  readonly health: InstanceHealth;
  /** Whether the card is there and no operator has taken it out. */
  readonly isAvailable: () => boolean;
}

/** Everything but what is known only when the model is about to be loaded. */
export type InstanceEngine = Omit<EngineOptions, "memoryBudget" | "measuredOverhead">;

export interface InstanceSettings {
  /** Seconds; 0: never. */
  readonly healthCheckInterval: number;
  /** Seconds. */
  readonly stallTimeout: number;
  /** Seconds that its worker has to stop a task. */
  readonly cancelTimeout: number;
  /** `gpu.worker_environment`. */
  readonly inherit?: readonly string[];
  /** Starts its workers. */
  readonly openChannel: OpenChannel;
  /** Bytes that its worker may take when it starts now; null: not known. */
  readonly memoryBudget: () => Promise<number | null>;
  /** Other models that are there on its device, or are to be. */
  readonly beside: () => number;
  /** Bytes that its worker was seen to take of its cards; null: not known. */
  readonly footprint: () => number | null;
  /** See `Cards.watchFreed`. */
  readonly memoryFreed: (bytes: number) => () => Promise<void>;
  /** Bytes that its model would take, from the header of its file; null: nobody can tell. */
  readonly estimate: (engine: InstanceEngine) => Promise<Estimate | null>;
  /** Of its cards; absent: nobody measures it. */
  readonly energy?: Energy;
  /** Lets one worker at a time load on a card. */
  readonly loading: Mutex;
  readonly timing: LifecycleTiming;
  readonly names: Pick<ModelNames, "of">;
  readonly log: Logger;
}

/** Events that an instance tells its GPU. */
export interface InstanceEvents {
  /** Something changed that placement may depend on. */
  changed(): void;
  /** A task has left it, however. */
  left(): void;
  /** Its running tasks are cut off. @param sentence the cause; null: the reason says it all */
  lost(reason: LossReason, sentence: string | null): void;
  /** A worker process has been started, or a server by its engine. */
  started(pid: number): void;
  /** Its worker has reported new facts; null: its worker has ended. */
  used(usage: Usage | null, before: Usage | null): void;
  /** The server behind it has become full, or has stopped being so, and why. */
  noteRoom(event: "crowded" | "free", why: string): void;
}
