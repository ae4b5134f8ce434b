/**
 * The requests of live tasks. Each is in memory until it is stored, and stays there while the budget allows; the others are read from the
 * store. Requests of the next tasks are read ahead, so that a free slot seldom waits for the disk.
 *
 * A task's `request` is the copy in memory. Only this class changes it once the task is live.
 */
import type { Logger } from "pino";
import { AltLasError, messageOf } from "../errors.ts";
import { heapBytesOf, type Request } from "../request.ts";
import type { TaskStore } from "../store/tasks.ts";
import type { Task } from "../task.ts";
import { lastingHeap } from "../common/heap.ts";

export interface WaitingRequestsParts {
  readonly store: Pick<TaskStore, "request">;
  /** Aborted when the store is lost. */
  readonly lost: AbortSignal;
  readonly log: Logger;
  /** Whether the store takes writes. If it does, a request that cannot be read is damaged. */
  readonly storeWorks: () => boolean;
  /** The tasks that will start next, some of each caller. */
  readonly upcoming: () => readonly Task[];
  /** Bytes of the heap that requests of waiting tasks may take; default an eighth of the heap's limit. */
  readonly budget?: number;
  /** Milliseconds before a failed read is tried again; default 1000. */
  readonly pause?: number;
}

/** The share of the budget for requests that are read ahead. The rest is for new requests, which are needed last but cost no read. */
const AHEAD_SHARE = 0.25;
/** Failed reads of one request, while the store takes writes, after which its task fails. */
const TRIES = 10;
const PAUSE = 1000;

export class Requests {
  readonly #parts: WaitingRequestsParts;
  readonly #budget: number;
  /** By the ids of waiting tasks whose requests are in memory and on disk: the bytes that they take there. */
  readonly #held = new Map<string, number>();
  /** Those of them that were read ahead. */
  readonly #ahead = new Set<Task>();
  /** Waiting tasks whose requests are only on disk. */
  readonly #absent = new Set<Task>();
  /** Reads under way. */
  readonly #reading = new Map<Task, Promise<Request>>();
  /** Bytes of `#held`, and of `#ahead` with what is being read ahead. */
  #heldBytes = 0;
  #aheadBytes = 0;
  #looking = false;
  readonly #closed = new AbortController();

  constructor(parts: WaitingRequestsParts) {
    this.#parts = parts;
    this.#budget = parts.budget ?? lastingHeap() / 8;
  }

  /** For tests and measurements: bytes of requests that wait in memory, and tasks whose requests are only on disk. */
  get state(): { readonly bytes: number; readonly absent: number } {
    return { bytes: this.#heldBytes, absent: this.#absent.size };
  }

  /**
   * The request of a task that gets a slot now; at once if it is in memory. While the store cannot be read, the promise stays open.
   * @throws {AltLasError} `store_unavailable`: this one cannot be read, though others can
   */
  of(task: Task): Request | Promise<Request> {
    this.#lookAhead();
    return task.request ?? this.#insist(task);
  }

  /** Decides whether the request of a stored task stays in memory: after its admission, and after each change of its state. */
  settle(task: Task): void {
    if (task.status !== "queued") {
      this.#forget(task);
      task.request = null;
    } else if (task.request === null) {
      this.#absent.add(task);
    } else if (!this.#held.has(task.id)) {
      const size = heapBytesOf(task.request, task.size);
      if (this.#heldBytes - this.#aheadBytes + size <= this.#budget * (1 - AHEAD_SHARE)) this.#hold(task, size);
      else this.#drop(task);
    }
  }

  /** Begins to read ahead for tasks of an earlier run of the server. */
  start(): void {
    this.#lookAhead();
  }

  /** Stops all reading. */
  close(): void {
    this.#closed.abort();
  }

  #hold(task: Task, size: number): void {
    this.#absent.delete(task);
    this.#held.set(task.id, size);
    this.#heldBytes += size;
  }

  #drop(task: Task): void {
    this.#forget(task);
    task.request = null;
    this.#absent.add(task);
  }

  #forget(task: Task): void {
    this.#absent.delete(task);
    const size = this.#held.get(task.id);
    if (size === undefined) return;
    this.#held.delete(task.id);
    this.#heldBytes -= size;
    if (this.#ahead.delete(task)) this.#aheadBytes -= size;
  }

  // --- reading ahead ---------------------------------------------------------------------------------------------

  /** Decides after this turn of the event loop, in which many tasks may start. */
  #lookAhead(): void {
    if (this.#looking || this.#absent.size === 0 || this.#closed.signal.aborted) return;
    this.#looking = true;
    setImmediate(() => {
      this.#looking = false;
      this.#readAhead();
    });
  }

  #readAhead(): void {
    if (this.#closed.signal.aborted || !this.#parts.storeWorks()) return;
    const upcoming = this.#parts.upcoming();
    const wanted = upcoming.filter((task) => this.#absent.has(task) && !this.#reading.has(task));
    const room = this.#budget * AHEAD_SHARE;
    let passed: Task[] | undefined;
    for (const task of wanted) {
      // An upper bound, as the text is not in memory.
      const size = 2 * task.size;
      if (this.#aheadBytes + size > room) {
        passed ??= this.#passedOver(new Set(upcoming));
        while (this.#aheadBytes + size > room && passed.length > 0) this.#drop(passed.pop()!);
      }
      if (this.#aheadBytes + size <= room) void this.#readOneAhead(task, size);
    }
  }

  /** Drops requests that were read ahead for tasks that will not start soon any more. */
  #passedOver(upcoming: ReadonlySet<Task>): Task[] {
    return [...this.#ahead].filter((task) => !upcoming.has(task));
  }

  async #readOneAhead(task: Task, reserved: number): Promise<void> {
    this.#aheadBytes += reserved;
    const request = await this.#read(task).catch(() => null);
    this.#aheadBytes -= reserved;
    // It may have started or ended meanwhile, or have got its request otherwise.
    if (request === null || !this.#absent.has(task)) return;
    const size = heapBytesOf(request, task.size);
    task.request = request;
    this.#hold(task, size);
    this.#ahead.add(task);
    this.#aheadBytes += size;
  }

  // --- reading ---------------------------------------------------------------------------------------------------

  /** Repeats the read until it succeeds, until no task needs it, or until it can never succeed. */
  async #insist(task: Task): Promise<Request> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#read(task);
      } catch (error) {
        const isDamaged = tries >= TRIES && this.#parts.storeWorks();
        if (isDamaged || task.status !== "running" || this.#isOver) throw error;
        if (tries === 1) this.#log(task, error);
        await this.#pause();
      }
    }
  }

  get #isOver(): boolean {
    return this.#closed.signal.aborted || this.#parts.lost.aborted;
  }

  #read(task: Task): Promise<Request> {
    const underWay = this.#reading.get(task);
    if (underWay !== undefined) return underWay;
    const reading = this.#readNow(task).finally(() => this.#reading.delete(task));
    this.#reading.set(task, reading);
    return reading;
  }

  async #readNow({ id, seq }: Task): Promise<Request> {
    const request = await this.#parts.store.request(seq);
    if (request !== null) return request;
    throw new AltLasError("store_unavailable", `The text of task ${id} is not in the store any more.`);
  }

  #log({ id, gpuId }: Task, error: unknown): void {
    const message = "the text of a task could not be read; its slot is kept, and it is tried again";
    this.#parts.log.error({ task: id, gpu: gpuId, reason: messageOf(error) }, message);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, this.#parts.pause ?? PAUSE);
      const { signal } = this.#closed;
      signal.addEventListener("abort", done);
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      }
    });
  }
}
