/**
 * The external load of a GPU: all processes but this server's workers. Decides when it is too much for new tasks.
 *
 * Our own model fills the memory and our own decoding shows 100 % utilization, so neither may count.
 */
import type { ExternalLoad } from "../facts.ts";
import type { GpuUser } from "../status.ts";
import type { GpuProcess, GpuSample } from "../telemetry/telemetry.ts";

/** Milliseconds without work of ours after which the utilization of the whole GPU counts as external. */
export const IDLE_BEFORE_OTHERS_COUNT_MS = 2000;
/** Milliseconds after which a figure of external utilization is too old. */
export const OTHERS_EXPIRE_MS = 60_000;
/** Milliseconds that a GPU stays crowded at least. */
export const MIN_CROWDED_MS = 5000;
/** Milliseconds for which utilization must be above its threshold, in at least two updates, so that one spike crowds no GPU. */
export const UTILIZATION_PATIENCE_MS = 1000;
/** How far below its threshold a share must have fallen for the GPU to be used again; see `releaseBelow`. */
export const RELEASE_MARGIN = 0.05;

/** The first sample after a worker has loaded may have been taken before, so it does not settle the footprint. */
const SETTLING_SAMPLES = 3;

/** Our own use of a GPU. */
export interface OwnUse {
  /** All our workers there, also those that are ending, under every number by which the kernel knows them (`visiblePids`). */
  readonly pids: ReadonlySet<number>;
  /** `loading`: at least one of them is not done with loading its model, or not gone yet. */
  readonly workers: "none" | "loading" | "loaded";
  /** Milliseconds since the last of our tasks ran there, 0 while one runs. */
  readonly idleFor: number;
}

/** null: the driver does not tell enough to say. */
export interface OthersReading {
  /** Share of the GPU's memory, 0 to 1. */
  readonly memory: number | null;
  /** Share of the GPU's time, 0 to 1. */
  readonly utilization: number | null;
  readonly users: readonly GpuUser[] | null;
}

/**
 * Separates the external load of one physical GPU from ours.
 *
 * Where the driver lists our worker, its figures are used. Where it does not (in containers it shows the host's process ids, or none), our
 * memory is the growth while our worker loaded, and the external utilization is that of moments when no task of ours runs.
 */
export class OthersMeter {
  readonly #clock: () => number;
  /** Bytes; null: never known. */
  #others: number | null = null;
  #footprint: number | null = null;
  /** The workers whose footprint is final; null: there are none, or they are still loading. */
  #loaded: string | null = null;
  /** Samples until their footprint is final. */
  #toSettle = 0;
  #seen: { readonly share: number; readonly at: number } | null = null;
  /** The last share, when it too was taken while nothing of ours ran. */
  #idleShare: number | null = null;

  /** @param clock milliseconds on a monotonic clock */
  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** Bytes that our workers take there; null: never known. */
  get footprint(): number | null {
    return this.#footprint;
  }

  /** Must be called with every sample, also while no worker of ours runs there: external load shows best then. */
  update(sample: GpuSample, own: OwnUse): OthersReading {
    const listed = ownListed(sample, own);
    return {
      memory: this.#memory(sample, own, listed),
      utilization: this.#utilization(sample, own, listed),
      users: sample.processes?.map((process) => ({ ...process, own: own.pids.has(process.pid) })) ?? null,
    };
  }

  #memory({ memoryUsed, memoryTotal }: GpuSample, own: OwnUse, listed: readonly GpuProcess[] | null): number | null {
    if (memoryUsed === null) return null;
    const told = sum(listed?.map(({ memory }) => memory));
    const loaded = own.workers === "loaded" ? [...own.pids].toSorted().join(" ") : null;
    if (loaded !== this.#loaded) this.#toSettle = SETTLING_SAMPLES;
    this.#loaded = loaded;
    if (told !== null) this.#footprint = told;
    // Memory that grows after loading is external: a model takes all of its memory at once.
    else if (loaded === null || this.#toSettle-- > 0) this.#footprint = this.#growth(memoryUsed, own);
    this.#others = Math.max(0, memoryUsed - this.#footprint!);
    return memoryTotal ? Math.min(1, this.#others / memoryTotal) : null;
  }

  /** Bytes by which `used` exceeds the last external memory. */
  #growth(used: number, { workers }: OwnUse): number {
    // Without an earlier figure, all memory is external before a worker loads, and none after: a worker must not crowd its own GPU.
    const others = this.#others ?? (workers === "loaded" ? 0 : used);
    return Math.max(0, used - others);
  }

  #utilization(sample: GpuSample, own: OwnUse, listed: readonly GpuProcess[] | null): number | null {
    const now = this.#clock();
    const told = listed?.length ? othersTold(sample.processes ?? [], own) : null;
    const share = told ?? (sample.utilization === null ? null : sample.utilization / 100);
    if (share === null) return null;
    // Loading is work of ours too.
    const idle = own.workers !== "loading" && own.idleFor >= IDLE_BEFORE_OTHERS_COUNT_MS;
    if (told !== null) this.#seen = { share, at: now };
    // The last figure stays while our next tasks run, so it must not be one spike: the mean of two.
    else if (idle) this.#seen = { share: (share + (this.#idleShare ?? share)) / 2, at: now };
    this.#idleShare = told === null && idle ? share : null;
    return this.#seen !== null && now - this.#seen.at < OTHERS_EXPIRE_MS ? this.#seen.share : 0;
  }
}

/** Our processes as the driver lists them; null: it does not list them, or under numbers that we do not know. */
function ownListed({ processes }: GpuSample, { pids, workers }: OwnUse): readonly GpuProcess[] | null {
  if (workers === "none") return [];
  const listed = processes?.filter(({ pid }) => pids.has(pid)) ?? [];
  return listed.length > 0 ? listed : null;
}

/** Share of the GPU's time; null: not told for every process. */
function othersTold(processes: readonly GpuProcess[], { pids }: OwnUse): number | null {
  if (processes.some(({ utilization }) => utilization === null)) return null;
  const percent = sum(processes.map(({ pid, utilization }) => (pids.has(pid) ? 0 : utilization)));
  return percent === null ? null : Math.min(1, percent / 100);
}

/** null: one of them is not known, or there is no list. */
function sum(values: readonly (number | null)[] | undefined): number | null {
  return values?.reduce((total, value) => (total === null || value === null ? null : total + value), 0) ?? null;
}

/** Shares, 0 to 1, above which a GPU is not used. */
export interface Thresholds {
  readonly memory: number;
  readonly utilization: number;
}

/** Decides whether a GPU is crowded. For GPUs that hold one model together, the worst figures count. */
export class Crowding {
  readonly #memory: Latch;
  readonly #utilization: Latch;

  constructor({ memory, utilization }: Thresholds) {
    this.#memory = new Latch(memory, 0);
    this.#utilization = new Latch(utilization, UTILIZATION_PATIENCE_MS);
  }

  /** Other thresholds count from the next update on. */
  set({ memory, utilization }: Thresholds): void {
    this.#memory.threshold = memory;
    this.#utilization.threshold = utilization;
  }

  /**
   * @param now milliseconds on a monotonic clock
   * @param memory the external share, 0 to 1; null: not known, so the GPU is not crowded by it
   * @param utilization likewise
   * @returns why it gets no new tasks; null: it does
   */
  update(now: number, memory: number | null, utilization: number | null): ExternalLoad | null {
    // Both are updated each time, as each keeps its own time.
    const byMemory = this.#memory.update(now, memory);
    const byUse = this.#utilization.update(now, utilization);
    if (byMemory) return "memory_taken";
    return byUse ? "used_by_others" : null;
  }
}

/**
 * One threshold with hysteresis. It is exceeded when the share has been above it for `patience` milliseconds. It stays so until the share
 * is at or below a lower line, and for `MIN_CROWDED_MS` at least.
 */
class Latch {
  /** Share, 0 to 1. */
  threshold: number;
  readonly #patience: number;
  #aboveSince: number | null = null;
  #closedAt: number | null = null;

  constructor(threshold: number, patience: number) {
    this.threshold = threshold;
    this.#patience = patience;
  }

  /** @returns whether it is exceeded */
  update(now: number, share: number | null): boolean {
    if (this.#closedAt !== null) {
      const calm = share === null || share <= releaseBelow(this.threshold);
      if (calm && now - this.#closedAt >= MIN_CROWDED_MS) this.#closedAt = null;
      return this.#closedAt !== null;
    }
    if (share === null || share <= this.threshold) {
      this.#aboveSince = null;
      return false;
    }
    this.#aboveSince ??= now;
    if (now - this.#aboveSince < this.#patience) return false;
    this.#closedAt = now;
    this.#aboveSince = null;
    return true;
  }
}

/** The share at or below which a GPU that was above `threshold` may be used again: for a small threshold, half of it. */
export function releaseBelow(threshold: number): number {
  return threshold < 2 * RELEASE_MARGIN ? threshold / 2 : threshold - RELEASE_MARGIN;
}
