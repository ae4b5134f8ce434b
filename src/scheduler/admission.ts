/** Why new tasks are refused: nothing could ever run them, or there is no room for them now. */
import { AltLasError } from "../errors.ts";
import { mayServeAgain } from "../gpu/status.ts";
import { type Task } from "../task.ts";
import { type Callers } from "./callers.ts";
import { type DrainRate } from "./drain-rate.ts";
import { type Eligibility } from "./eligibility.ts";
import { type Fleet } from "./fleet.ts";
import { leastTokens } from "./placement.ts";
import { type Waiting } from "./waiting.ts";

/** What it looks at. */
export interface AdmissionParts {
  readonly fleet: Fleet;
  readonly waiting: Pick<Waiting, "tasks" | "bytes">;
  readonly eligibility: Eligibility;
  readonly callers: Callers;
  readonly drainRate: DrainRate;
  /** Tasks that may wait. */
  readonly maxQueueSize: number;
  /** Bytes of text, in UTF-8, that may wait. */
  readonly maxQueueBytes: number;
}

/** When no GPU is usable, only an operator can mend it; a client may look again in this many seconds. */
const NO_GPU_RETRY_SECONDS = 60;

export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** Refuses what would be refused at any time. @throws {AltLasError} `no_usable_gpu`, `invalid_input`, `prompt_too_long` */
  refuseImpossible(tasks: readonly Task[]): void {
    for (const [index, task] of tasks.entries()) {
      if (this.#parts.eligibility.isEverPossible(task)) continue;
      const gpus = this.#parts.eligibility.everPossible(task);
      if (gpus.length === 0) throw this.#noGpu(task);
      const { facts } = gpus.reduce((a, b) => ((a.facts.context ?? 0) >= (b.facts.context ?? 0) ? a : b));
      const name = task.batchId === null ? "text" : `batch[${index}].text`;
      throw new AltLasError(
        "prompt_too_long",
        `${name} has at least ${leastTokens(task.text, facts)} tokens, which leaves no room for one more in the context of ${facts.context} tokens.`,
      );
    }
    this.#refuseOversized(tasks);
  }

  /** Why there is no room for these to wait; null: there is. */
  overflow(waiting: readonly Task[]): AltLasError | null {
    if (waiting.length === 0) return null;
    return this.#overflowOfCaller(waiting) ?? this.#overflowOfAll(waiting);
  }

  /** A batch for which even an idle server has no room would be sent again for ever if it were told to come back later. */
  #refuseOversized(tasks: readonly Task[]): void {
    if (tasks.length <= 1) return;
    const { fleet, maxQueueSize, callers } = this.#parts;
    const slots = fleet.all.reduce((sum, { facts }) => sum + (mayServeAgain(facts.state) ? facts.slots : 0), 0);
    if (tasks.length > maxQueueSize + slots) {
      const why = `${slots} slots and a queue of ${maxQueueSize} (gpu.multi_gpu.max_queue_size)`;
      throw tooLarge(tasks.length, `this server has room for ${maxQueueSize + slots}: ${why}`);
    }
    const { name, limits } = callers.of(tasks[0]!);
    if (limits.maxQueued === null) return;
    const room = limits.maxQueued + Math.min(slots, limits.maxRunning ?? slots);
    if (tasks.length <= Math.max(1, room)) return;
    throw tooLarge(
      tasks.length,
      `${name} may have ${room}: ${limits.maxQueued} waiting (callers: max_queued), the rest running`,
    );
  }

  #overflowOfCaller(waiting: readonly Task[]): AltLasError | null {
    const { callers, drainRate } = this.#parts;
    const { name, queued, limits } = callers.of(waiting[0]!);
    if (limits.maxQueued === null || queued + waiting.length <= limits.maxQueued) return null;
    const retryAfter = drainRate.secondsFor(waiting.length);
    const full = `${queued} of at most ${limits.maxQueued} tasks of ${name} wait (callers: max_queued)`;
    const sentence = `There is no room for ${waiting.length} more: ${full}. Try again in ${retryAfter} s.`;
    return new AltLasError("rate_limited", sentence, { retryAfter });
  }

  #overflowOfAll(waiting: readonly Task[]): AltLasError | null {
    const { maxQueueSize, maxQueueBytes, waiting: present, drainRate } = this.#parts;
    const bytes = waiting.reduce((sum, task) => sum + Buffer.byteLength(task.text), 0);
    const full =
      present.tasks + waiting.length > maxQueueSize
        ? `${present.tasks} of at most ${maxQueueSize} tasks wait (gpu.multi_gpu.max_queue_size)`
        : present.bytes + bytes > maxQueueBytes
          ? `${present.bytes} of at most ${maxQueueBytes} bytes of text wait (gpu.multi_gpu.max_queue_bytes)`
          : null;
    if (full === null) return null;
    const retryAfter = drainRate.secondsFor(waiting.length);
    const sentence = `The queue has no room for ${waiting.length} more: ${full}. Try again in ${retryAfter} s.`;
    return new AltLasError("queue_full", sentence, { retryAfter });
  }

  #noGpu({ pinnedGpuId }: Task): AltLasError {
    const gpus = this.#parts.fleet.all;
    const wanted = gpus.filter(({ facts }) => pinnedGpuId === null || facts.id === pinnedGpuId);
    if (pinnedGpuId !== null && wanted.length === 0) {
      const ids = gpus.map(({ facts }) => facts.id).join(", ");
      const sentence = `gpu_options.specific_gpu_id must be the id of a GPU (${ids}); got ${pinnedGpuId}.`;
      return new AltLasError("invalid_input", sentence);
    }
    const reasons = wanted.map(({ facts }) => `GPU ${facts.id}: ${facts.reason ?? `It is ${facts.state}.`}`);
    const what = pinnedGpuId === null ? "No GPU can run tasks" : `GPU ${pinnedGpuId} cannot run tasks`;
    return new AltLasError("no_usable_gpu", `${what}. ${reasons.join(" ")}`, { retryAfter: NO_GPU_RETRY_SECONDS });
  }
}

function tooLarge(items: number, why: string): AltLasError {
  return new AltLasError("invalid_input", `batch has ${items} items; ${why}.`);
}
