/** The history of the models on a GPU: loads and unloads, which the state of the GPU does not tell while other models serve there. */
import { basename } from "node:path";
import type { Logger } from "pino";
import { Milestones } from "../common/milestones.ts";
import { sizeWords } from "../common/progress-words.ts";
import type { OwnState } from "./instance/health.ts";
import type { Instance } from "./instance/instance.ts";
import type { GpuEventRecord } from "./status.ts";
import type { Usage } from "./worker/worker.ts";

export type ModelEvent = Extract<GpuEventRecord["event"], "loaded" | "unloaded" | "load_failed">;

type Told = Pick<Instance, "stay" | "model" | "modelName"> & {
  readonly health: Pick<Instance["health"], "state" | "reason">;
};

export class ModelEvents {
  readonly #log: Logger;
  readonly #note: (event: ModelEvent, why: string, model: string) => void;
  /** The last states. */
  readonly #states = new WeakMap<object, OwnState>();
  /** Of the instances whose models are being loaded. */
  readonly #loads = new WeakMap<object, Milestones>();

  /** @param note keeps an entry of the GPU's history */
  constructor(log: Logger, note: (event: ModelEvent, why: string, model: string) => void) {
    this.#log = log;
    this.#note = note;
  }

  /** Tells what has changed since the last look. A device's own model is there for good: the GPU's state says it all. */
  look(instances: readonly Told[]): void {
    for (const instance of instances) {
      const { stay, health } = instance;
      const before = this.#states.get(instance);
      if (stay.served === null || health.state === before) continue;
      this.#states.set(instance, health.state);
      if (before !== undefined) this.#tell(stay, health.state, health.reason ?? "");
    }
  }

  /** Tells how far a load is, where the engine knows that. @param usage the worker's last report; null: it has ended */
  beat(instance: Pick<Told, "stay" | "model" | "modelName">, usage: Pick<Usage, "loadShare"> | null): void {
    const share = usage?.loadShare ?? null;
    if (share === null) return void this.#loads.delete(instance);
    const milestones = this.#loads.get(instance) ?? new Milestones();
    this.#loads.set(instance, milestones);
    if (!milestones.isDue({ bytes: share, total: 1 })) return;
    const model = instance.modelName ?? basename(instance.model);
    this.#log.info({ model, share }, `loading the model: ${Math.floor(share * 100)} %`);
  }

  #tell({ served, residency }: Told["stay"], state: OwnState, why: string): void {
    const { name: model } = served!.settings;
    switch (state) {
      case "ready": {
        const { loadSeconds: seconds, fileBytes } = residency;
        const rate = seconds && fileBytes > 0 ? { rate: `${sizeWords(fileBytes / seconds)}/s` } : {};
        this.#log.info({ model, seconds, ...rate }, "model loaded");
        const time = seconds === null ? "" : ` in ${seconds} s`;
        return this.#note("loaded", `The model ${model} was loaded${time}.`, model);
      }
      case "unloading":
        this.#log.info({ model, why }, "model unloaded");
        return this.#note("unloaded", `The model ${model} was unloaded. ${why}`, model);
      case "unfit":
        this.#log.error({ model, why }, "model cannot be loaded");
        return this.#note("load_failed", `The model ${model} cannot be loaded: ${why}`, model);
      default:
    }
  }
}
