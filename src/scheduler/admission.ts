/** Why new tasks are refused: nothing could ever run them, or there is no room for them now. */
import { AltLasError } from "../errors.ts";
import { isServing, mayServeAgain } from "../gpu/facts.ts";
import type { Task } from "../task.ts";
import type { Caller, Callers } from "./callers.ts";
import type { Fleet } from "./fleet.ts";
import { lackOf } from "./demand.ts";
import { heapCostOf } from "./heap-cost.ts";
import { type Impossible, NO_GPU_RETRY_SECONDS } from "./impossible.ts";
import { type QueueShare, queueShare, type QueueSize } from "./queue-share.ts";
import type { Team } from "./teams.ts";
import type { Waiting } from "./waiting.ts";

/** The parts that it reads. */
export interface AdmissionParts {
  readonly fleet: Fleet;
  readonly waiting: Pick<Waiting, "tasks" | "bytes" | "heap">;
  readonly impossible: Impossible;
  readonly callers: Callers;
  readonly queue: QueueSize;
  /** Whether more than one user is known. */
  readonly isShared: () => boolean;
}

export class Admission {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /**
   * Refuses tasks that would be refused at any time.
   * @throws {AltLasError} `no_usable_gpu`, `model_not_found`, `not_ready`, `unsupported`, `invalid_input`, `prompt_too_long`
   */
  refuseImpossible(tasks: readonly Task[]): void {
    const { impossible } = this.#parts;
    for (const [index, task] of tasks.entries()) {
      const refusal = impossible.refusal(task, index);
      if (refusal !== null) throw refusal;
    }
    const refusal = tasks[0]!.wholeBatch ? impossible.refusalTogether(tasks) : null;
    if (refusal !== null) throw refusal;
    this.#refuseOversized(tasks);
  }

  /** Why a task would be refused at any time; null: it would not. Its place in a batch is not named. */
  refusalOf(task: Task): AltLasError | null {
    return this.#parts.impossible.refusal(task, null);
  }

  /** The refusal when the queue cannot take these tasks; null: it can. */
  overflow(waiting: readonly Task[]): AltLasError | null {
    if (waiting.length === 0) return null;
    return this.#overflowOfCaller(waiting) ?? this.#overflowOfTeam(waiting) ?? this.#overflowOfAll(waiting);
  }

  /**
   * Refuses a batch that not even an idle server could take; with a `Retry-After` its client would send it again for ever. On an idle
   * server as many of its tasks start at once as it may use slots, at best those with the longest texts; the rest has to wait.
   */
  #refuseOversized(tasks: readonly Task[]): void {
    if (tasks.length <= 1) return;
    const { queue, callers } = this.#parts;
    const caller = callers.of(tasks[0]!);
    const share = this.#shareOf(caller);
    const slots = this.#slotsFor(tasks);
    const team = callers.teams.of(tasks[0]!);
    const own = Math.min(slots, caller.limits.maxRunning ?? slots, team?.limits.maxRunning ?? slots);
    const bytes = tasks.map((task) => task.size).toSorted((a, b) => b - a);
    const waiting = bytes.slice(own).reduce((sum, length) => sum + length, 0);
    const has = `batch has ${tasks.length} items`;
    const of = `${has}, of which`;
    if (tasks.length > queue.maxQueueSize + slots) {
      const why = `${slots} slots and a queue of ${queue.maxQueueSize} (gpu.multi_gpu.max_queue_size)`;
      throw tooLarge(`${has}; this server has room for ${queue.maxQueueSize + slots}: ${why}`);
    }
    if (tasks.length > Math.max(1, share.tasks + own)) {
      const why = `${share.tasks} waiting (${share.tasksBy}), the rest running`;
      throw tooLarge(`${has}; ${caller.name} may have ${share.tasks + own}: ${why}`);
    }
    if (team !== null) refuseOverTeam(tasks.length, team, own);
    if (waiting > queue.maxQueueBytes) {
      const most = `${queue.maxQueueBytes} may wait (gpu.multi_gpu.max_queue_bytes)`;
      throw tooLarge(`${of} at least ${waiting} bytes of text would wait; ${most}`);
    }
    if (waiting > share.bytes) {
      const most = `${caller.name} may have ${share.bytes} waiting (${share.bytesBy})`;
      throw tooLarge(`${of} at least ${waiting} bytes of text would wait; ${most}`);
    }
    const heap = tasks.map(heapCostOf).toSorted((a, b) => b - a);
    const kept = heap.slice(own).reduce((sum, cost) => sum + cost, 0);
    const mostHeap = Math.min(queue.maxQueueHeap, share.heap);
    if (kept > mostHeap) {
      throw tooLarge(`${of} at least ${kept} bytes of memory would be taken; ${mostHeap} may be (${HEAP_KEY})`);
    }
  }

  /** Slots that the tasks of a submission may have at best. All may go to the same GPUs, as far as these suit them. */
  #slotsFor(tasks: readonly Task[]): number {
    const { pinnedGpuId, wholeBatch } = tasks[0]!;
    const slots = new Map<number, number>();
    for (const { gpuId, facts } of this.#parts.fleet.all)
      if (
        mayServeAgain(facts.state) &&
        (pinnedGpuId === null || gpuId === pinnedGpuId) &&
        tasks.some((task) => lackOf(facts, task) === null)
      )
        slots.set(gpuId, (slots.get(gpuId) ?? 0) + facts.slots);
    return wholeBatch ? Math.max(0, ...slots.values()) : slots.values().reduce((sum, count) => sum + count, 0);
  }

  /** Tasks of a caller that may wait, as far as their number goes. */
  mostQueuedOf(caller: Caller): number {
    return Math.min(this.#shareOf(caller).tasks, this.#parts.queue.maxQueueSize);
  }

  #shareOf({ limits }: Caller): QueueShare {
    return queueShare(limits, this.#parts.queue, this.#parts.isShared());
  }

  #overflowOfCaller(waiting: readonly Task[]): AltLasError | null {
    const caller = this.#parts.callers.of(waiting[0]!);
    const share = this.#shareOf(caller);
    const present = { tasks: caller.queued, bytes: caller.queuedBytes, heap: caller.queuedHeap };
    const over = overflowing(amountOf(waiting), present, share);
    if (over === null) return null;
    const by = { tasks: share.tasksBy, bytes: share.bytesBy, heap: `half of what all may take; ${HEAP_KEY}` };
    const full = limitSentence(over.what, present, share, { of: ` of ${caller.name}`, by });
    const { retryAfter, when } = this.#untilRoom(caller, over.places);
    const sentence = `There is no room for ${waiting.length} more: ${full}. ${when}`;
    return new AltLasError("rate_limited", sentence, { retryAfter });
  }

  #overflowOfTeam(waiting: readonly Task[]): AltLasError | null {
    const team = this.#parts.callers.teams.of(waiting[0]!);
    const most = team?.limits.maxQueued ?? null;
    if (team === null || most === null || team.queued + waiting.length <= most) return null;
    const full = `${team.queued} of at most ${most} tasks of the team ${team.name} wait (${team.placeOf("max_queued")})`;
    const { retryAfter, when } = this.#untilRoom(team, team.queued + waiting.length - most);
    const sentence = `There is no room for ${waiting.length} more: ${full}. ${when}`;
    return new AltLasError("rate_limited", sentence, { retryAfter });
  }

  #overflowOfAll(waiting: readonly Task[]): AltLasError | null {
    const { queue, waiting: present, callers } = this.#parts;
    const most = { tasks: queue.maxQueueSize, bytes: queue.maxQueueBytes, heap: queue.maxQueueHeap };
    const over = overflowing(amountOf(waiting), present, most);
    if (over === null) return null;
    const by = { tasks: "gpu.multi_gpu.max_queue_size", bytes: "gpu.multi_gpu.max_queue_bytes", heap: HEAP_KEY };
    const full = limitSentence(over.what, present, most, { of: "", by });
    const { retryAfter, when } = this.#untilRoom(callers, over.places);
    const sentence = `The queue has no room for ${waiting.length} more: ${full}. ${when}`;
    return new AltLasError("queue_full", sentence, { retryAfter });
  }

  /** When so many more tasks will probably have got slots. */
  #untilRoom({ drainRate }: Pick<Callers, "drainRate">, places: number): { retryAfter: number; when: string } {
    if (!this.#parts.fleet.all.some(({ facts }) => isServing(facts.state))) {
      const when = `No GPU takes tasks at present, so the queue does not get shorter. Try again in ${NO_GPU_RETRY_SECONDS} s.`;
      return { retryAfter: NO_GPU_RETRY_SECONDS, when };
    }
    const retryAfter = drainRate.secondsFor(places);
    return { retryAfter, when: `Try again in ${retryAfter} s.` };
  }
}

/** The refusal while the server stops. */
export function draining(): AltLasError {
  return new AltLasError("draining", "The server is stopping and takes no new tasks.", { retryAfter: 5 });
}

/** @param own tasks of it that may start at once */
function refuseOverTeam(items: number, team: Team, own: number): void {
  const { maxQueued } = team.limits;
  if (maxQueued === null || items <= Math.max(1, maxQueued + own)) return;
  const why = `${maxQueued} waiting (${team.placeOf("max_queued")}), the rest running`;
  const has = `batch has ${items} items`;
  throw tooLarge(`${has}; the team ${team.name} may have ${maxQueued + own}: ${why}`);
}

function tooLarge(why: string): AltLasError {
  return new AltLasError("invalid_input", `${why}.`, { param: "batch" });
}

/** The limited measures of waiting tasks. */
interface Amount {
  readonly tasks: number;
  /** Of their texts. */
  readonly bytes: number;
  /** Bytes of the heap that they take without their texts. */
  readonly heap: number;
}

const HEAP_KEY = "NODE_OPTIONS=--max-old-space-size gives the server a larger heap";

function amountOf(tasks: readonly Task[]): Amount {
  let bytes = 0;
  let heap = 0;
  for (const task of tasks) {
    bytes += task.size;
    heap += heapCostOf(task);
  }
  return { tasks: tasks.length, bytes, heap };
}

/** The limit that more tasks would exceed, and how many waiting tasks have to leave first; null: none. */
function overflowing(
  more: Amount,
  present: Amount,
  most: Amount,
): { readonly what: keyof Amount; readonly places: number } | null {
  const over = (what: keyof Amount): number => present[what] + more[what] - most[what];
  const what = (["tasks", "bytes", "heap"] as const).find((measure) => over(measure) > 0);
  if (what === undefined) return null;
  const placesOf = (measure: keyof Amount): number =>
    Math.ceil(over(measure) / Math.max(1, present[measure] / Math.max(1, present.tasks)));
  return { what, places: Math.max(1, over("tasks"), placesOf("bytes"), placesOf("heap")) };
}

/** @param of the owner of the tasks, or "" @param by the origin of each limit */
function limitSentence(
  what: keyof Amount,
  present: Amount,
  most: Amount,
  { of, by }: { readonly of: string; readonly by: Readonly<Record<keyof Amount, string>> },
): string {
  const amount = `${present[what]} of at most ${most[what]}`;
  if (what === "heap") return `waiting tasks${of} take ${amount} bytes of memory (${by.heap})`;
  return `${amount} ${what === "tasks" ? "tasks" : "bytes of text"}${of} wait (${by[what]})`;
}
