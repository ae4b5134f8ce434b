/**
 * NVIDIA GPUs through NVML, the library that nvidia-smi itself uses: https://docs.nvidia.com/deploy/nvml-api/.
 *
 * NVML finds the cards when it is initialized, and calls one that fell off the bus lost from then on, also after it was reset. So while
 * a GPU is missing, NVML is shut down and initialized anew from time to time. Cards are then looked up by their numbers and told apart by
 * their UUIDs: NVML's own search for a UUID may fail because *another* card is lost.
 */
import { NvmlCard } from "./nvml-card.ts";
import { loadNvml, NVML, type NvmlLibrary } from "./nvml-library.ts";
import type { Driver, GpuEvent, GpuIdentity, GpuSample, Snapshot } from "./telemetry.ts";

/** While a GPU is missing, NVML is initialized anew with every so many samples. */
export const SAMPLES_BETWEEN_RETRIES = 10;

/**
 * @param library its path; without it, where the driver's installer puts it
 * @throws {Error} one sentence: why NVML cannot be loaded, or why it refused to start
 */
export async function openNvml(library?: string): Promise<Driver> {
  const nvml = await loadNvml(library);
  initialize(nvml);
  return new Nvml(nvml);
}

class Nvml implements Driver {
  readonly source: string;
  readonly #nvml: NvmlLibrary;
  #isInitialized = true;
  /** null: they have not been looked up. */
  #cards: readonly NvmlCard[] | null = null;
  /** How many NVML listed then. */
  #count: number | null = null;
  /** By UUID; one that was found stays, so that it is called lost when it is gone. */
  readonly #known = new Map<string, GpuIdentity>();
  /** By UUID: why. */
  readonly #lost = new Map<string, string>();
  #samplesWithLoss = 0;
  /** Not handed out yet. */
  #events: GpuEvent[] = [];

  /** @param nvml initialized */
  constructor(nvml: NvmlLibrary) {
    this.#nvml = nvml;
    this.source = `NVML ${driverVersion(nvml)}`.trim();
  }

  async discover(): Promise<readonly GpuIdentity[]> {
    this.#reopen();
    const gpus = this.#cards!.flatMap((card) => card.gpus).toSorted(byBusId);
    for (const gpu of gpus) this.#known.set(gpu.uuid, gpu);
    return gpus;
  }

  async sample(): Promise<Snapshot> {
    if (this.#isOutOfDate()) this.#reopen();
    this.#drain();
    const samples = this.#cards!.flatMap((card) => this.#sample(card));
    this.#findMissing(samples);
    const events = this.#events.filter(({ uuid }) => this.#known.has(uuid));
    this.#events = [];
    return { samples, lost: [...this.#lost].map(([uuid, reason]) => ({ uuid, reason })), events };
  }

  async close(): Promise<void> {
    this.#shutDown();
  }

  /** The samples of those that were discovered; what answers no more is noted. */
  #sample(card: NvmlCard): readonly GpuSample[] {
    const { samples, lost } = card.sample();
    for (const { uuid, code } of lost) {
      const gpu = this.#known.get(uuid);
      if (gpu !== undefined) this.#lost.set(uuid, `The GPU at ${gpu.pciBusId} ${this.#whyLost(code)}`);
    }
    return samples.filter(({ uuid }) => this.#known.has(uuid));
  }

  #findMissing(samples: readonly GpuSample[]): void {
    const there = new Set(samples.map(({ uuid }) => uuid));
    for (const { uuid, pciBusId } of this.#known.values()) {
      if (there.has(uuid)) this.#lost.delete(uuid);
      else if (!this.#lost.has(uuid)) this.#lost.set(uuid, `The GPU at ${pciBusId} is not listed any more, says NVML.`);
    }
  }

  #whyLost(code: number): string {
    if (code === NVML.GPU_IS_LOST) return "is lost, says NVML: it has fallen off the bus or is out of reach.";
    if (code === NVML.RESET_REQUIRED) return "needs a reset before it can be used again, says NVML.";
    return `does not answer any more, says NVML (${this.#nvml.errorString(code)}).`;
  }

  /** Whether NVML lists other cards than it did, or what is lost may be back. */
  #isOutOfDate(): boolean {
    if (this.#cards === null || deviceCount(this.#nvml) !== this.#count) return true;
    return this.#lost.size > 0 && ++this.#samplesWithLoss % SAMPLES_BETWEEN_RETRIES === 0;
  }

  /** @throws {Error} when NVML refuses to start; the next call tries again */
  #reopen(): void {
    if (this.#cards !== null) this.#shutDown();
    if (!this.#isInitialized) initialize(this.#nvml);
    this.#isInitialized = true;
    this.#count = deviceCount(this.#nvml);
    this.#cards = cardsOf(this.#nvml, this.#count ?? 0);
  }

  /** Past events are kept: a card that is registered anew does not tell them again. */
  #shutDown(): void {
    this.#drain();
    for (const card of this.#cards ?? []) card.close();
    this.#cards = null;
    if (this.#isInitialized) this.#nvml.nvmlShutdown();
    this.#isInitialized = false;
  }

  #drain(): void {
    for (const card of this.#cards ?? []) this.#events.push(...card.events());
  }
}

/** @throws {Error} with NVIDIA's words */
function initialize(nvml: NvmlLibrary): void {
  const code = nvml.nvmlInit_v2();
  if (code !== NVML.SUCCESS) throw new Error(`NVML refused to start: ${nvml.errorString(code)}`);
}

function driverVersion(nvml: NvmlLibrary): string {
  const version = Buffer.alloc(80);
  const code = nvml.nvmlSystemGetDriverVersion(version, version.length);
  return code === NVML.SUCCESS ? version.toString("utf8", 0, version.indexOf(0)) : "";
}

/** null: NVML does not answer. */
function deviceCount(nvml: NvmlLibrary): number | null {
  const count = new Uint32Array(1);
  return nvml.nvmlDeviceGetCount_v2(count) === NVML.SUCCESS ? count[0]! : null;
}

/** A card that is lost already, or that this user may not use, has no handle, and so nobody can say which it is. */
function cardsOf(nvml: NvmlLibrary, count: number): readonly NvmlCard[] {
  const handle = new BigUint64Array(1);
  const cards: NvmlCard[] = [];
  for (let index = 0; index < count; index++) {
    if (nvml.nvmlDeviceGetHandleByIndex_v2(index, handle) === NVML.SUCCESS)
      cards.push(new NvmlCard(nvml, handle[0]!, index));
  }
  return cards;
}

function byBusId(a: GpuIdentity, b: GpuIdentity): number {
  // A domain of five digits stands after those of four.
  const [first, second] = [a.pciBusId.padStart(16, "0"), b.pciBusId.padStart(16, "0")];
  return first === second ? a.index - b.index : first < second ? -1 : 1;
}
