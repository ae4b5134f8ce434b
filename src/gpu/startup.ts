/** Whether a server has come up: the models that it was started with are there, or are known not to come. */
import type { Gpu } from "./gpu.ts";
import type { Instance } from "./instance/instance.ts";
import { isThere, keyOf, type ServedModel } from "./served.ts";
import type { Readiness } from "./status.ts";

export class Startup {
  /** Keys of models that are to be loaded as soon as their files are here. */
  readonly #awaited = new Set<string>();
  /** Those by name that the server loads first of all. */
  readonly #instances = new Set<Instance>();

  /** The server starts with these. */
  begin(models: Iterable<ServedModel>, loading: Iterable<Instance>): void {
    for (const model of models)
      if (model.settings.load === "start" && model.file?.state === "fetching") this.#awaited.add(keyOf(model.settings));
    for (const instance of loading) this.#instances.add(instance);
  }

  /** A model whose fetch has failed is not waited for any longer, though it may come yet. */
  follow(models: ReadonlyMap<string, ServedModel>): void {
    for (const key of this.#awaited) {
      const model = models.get(key);
      if (model === undefined || model.file?.state === "failed") this.#awaited.delete(key);
    }
  }

  /** Of a model that has come, these are loaded. */
  planned(models: readonly ServedModel[], loading: readonly Instance[]): void {
    for (const model of models) {
      const key = keyOf(model.settings);
      if (!isThere(model) || !this.#awaited.delete(key)) continue;
      for (const instance of loading)
        if (instance.stay.served !== null && keyOf(instance.stay.served.settings) === key)
          this.#instances.add(instance);
    }
  }

  /**
   * Ready means that a task sent now could finish: what the server was started with has loaded or failed to, and one GPU at least serves.
   * Anybody may ask for this, so it names no file, no model and no reason.
   */
  readiness(gpus: readonly Gpu[], models: ReadonlyMap<string, ServedModel>): Readiness {
    const fetching = [...this.#awaited].filter((key) => !isThere(models.get(key)));
    if (fetching.length > 0) return waiting(fetching.length, models.size, ["model", "models"], "being fetched");
    if (this.#awaited.size > 0) return waiting(this.#awaited.size, models.size, ["model", "models"], "loading");
    const own = gpus.flatMap((gpu) => gpu.instances.filter(({ stay }) => stay.served === null));
    const loading = gpus.filter((gpu) => gpu.instances.some((one) => this.#isComing(gpu, one)));
    if (loading.length > 0) return waiting(loading.length, gpus.length, ["GPU", "GPUs"], "loading");
    if (gpus.some(isUsable)) return { ready: true, reason: null };
    if (own.length === 0 && [...models.values()].some(({ file }) => file?.state === "fetching"))
      return { ready: false, reason: "The models are still being fetched." };
    return { ready: false, reason: "No GPU can run tasks; GET /api/v1/gpus says why." };
  }

  #isComing(gpu: Gpu, instance: Instance): boolean {
    const isFirst = instance.stay.served === null || this.#instances.has(instance);
    const isOut = gpu.state === "lost" || gpu.state === "draining" || gpu.state === "drained";
    return isFirst && !isOut && !instance.life.settled && instance.health.state === "starting";
  }
}

/** One that loads a model for a task serves that task. */
function isUsable({ state, instances }: Gpu): boolean {
  if (state === "starting") return instances.some(({ stay, isWanted }) => stay.served !== null && isWanted);
  return state === "ready" || state === "hot";
}

function waiting(count: number, all: number, [one, several]: readonly [string, string], how: string): Readiness {
  const some = `${count} of ${all} ${all === 1 ? one : several}`;
  return { ready: false, reason: count === 1 ? `${some} is still ${how}.` : `${some} are still ${how}.` };
}
