/** Brings the states of live tasks to disk, in an order that cannot lie: a task's admission first, its end last. */
import { type Logger } from "pino";
import { messageOf } from "../errors.ts";
import { type Store } from "../store/store.ts";
import { isFinal, type Task } from "../task.ts";

/** Milliseconds until what could not be written is tried again. */
const RETRY_MS = 1000;
/** Milliseconds after a failed write during which the next one is not expected to do better. */
const RECOVERY_MS = 5000;

export class Saving {
  readonly #store: Store;
  readonly #log: Logger;
  /** Called when a task's final status is on disk. */
  readonly #ended: (task: Task) => void;
  /** Tasks whose admission is being written, and whether they have changed since it began. */
  readonly #admitting = new Map<Task, boolean>();
  /** Tasks that were refused after all, because they could not be written: nothing of them may reach the disk. */
  readonly #withdrawn = new WeakSet<Task>();
  /** What has to be tried again. */
  readonly #failed = new Set<Task>();
  #retry: NodeJS.Timeout | null = null;
  #closing = false;
  /** Milliseconds on the monotonic clock of the last failed write. */
  #failedAt = -Infinity;

  constructor(store: Store, log: Logger, ended: (task: Task) => void) {
    this.#store = store;
    this.#log = log;
    this.#ended = ended;
  }

  /** Whether a task sent now could be written. */
  get works(): boolean {
    return this.#failed.size === 0 && performance.now() - this.#failedAt > RECOVERY_MS;
  }

  /**
   * Writes new tasks, together or not at all. What happens to them meanwhile is written after them: a later write that overtook a
   * failing admission would leave a task on disk that its client was refused.
   * @throws {AltLasError} `store_unavailable`
   */
  async admit(tasks: readonly Task[]): Promise<void> {
    for (const task of tasks) this.#admitting.set(task, false);
    try {
      await this.#store.save(tasks);
    } catch (error) {
      this.#failedAt = performance.now();
      for (const task of tasks) this.#withdraw(task);
      throw error;
    }
    for (const task of tasks) {
      const changed = this.#admitting.get(task);
      this.#admitting.delete(task);
      if (changed === true) this.#write(task);
    }
  }

  /** Writes a task's present state, however often that takes. */
  changed(task: Task): void {
    if (this.#withdrawn.has(task)) return;
    if (this.#admitting.has(task)) this.#admitting.set(task, true);
    else this.#write(task);
  }

  /** Tries once more what could not be written, and closes the store. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#writeFailed();
    await this.#store.close();
  }

  #withdraw(task: Task): void {
    this.#admitting.delete(task);
    this.#withdrawn.add(task);
  }

  #write(task: Task): void {
    // Asked before the write: a task may end while it is written that it runs, and that end is not on disk then.
    const ended = isFinal(task.status);
    this.#store.save([task]).then(
      () => ended && this.#ended(task),
      (error: unknown) => this.#writeLater(task, error),
    );
  }

  /** One timer and one line for all that failed: on a full disk that is everything. */
  #writeLater(task: Task, error: unknown): void {
    this.#failed.add(task);
    this.#failedAt = performance.now();
    if (this.#retry !== null || this.#closing) return;
    this.#retry = setTimeout(() => {
      this.#log.error(
        { tasks: this.#failed.size, reason: messageOf(error) },
        "states of tasks could not be written; trying again",
      );
      this.#writeFailed();
    }, RETRY_MS);
  }

  #writeFailed(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    const tasks = [...this.#failed];
    this.#failed.clear();
    for (const task of tasks) this.#write(task);
  }
}
