/**
 * The live tasks, which have not ended or whose end is not on disk yet, and the requests that wait for their ends. A client is told nothing
 * that a power cut would undo.
 */
import { InFlight } from "../common/in-flight.ts";
import { AltLasError } from "../errors.ts";
import type { Store } from "../store/store.ts";
import { isFinal, type Task } from "../task.ts";
import type { TaskSnapshot } from "./task-api.ts";
import { Waiters } from "./waiters.ts";

/** Seconds that a client waits for an end to reach the disk before it gets the state before that end. */
export const COMMIT_PATIENCE = 1;

export class LiveTasks {
  readonly #store: Pick<Store, "tasks" | "lost">;
  readonly #byId = new InFlight<string, Task>();
  readonly #waiters = new Waiters();
  #closed = false;

  constructor(store: Pick<Store, "tasks" | "lost">) {
    this.#store = store;
  }

  /** Whether the server has stopped, after which nothing happens to the tasks. */
  get closed(): boolean {
    return this.#closed;
  }

  get all(): Iterable<Task> {
    return this.#byId.values();
  }

  find(id: string): Task | undefined {
    return this.#byId.get(id);
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  add(task: Task): void {
    this.#byId.set(task.id, task);
  }

  /** The end of a task is on disk, or the task was refused after all. @returns whether it was live */
  remove(task: Task): boolean {
    const was = this.#byId.delete(task.id);
    this.#waiters.wake(task.id);
    return was;
  }

  /** A task, whoever it belongs to. A final status is shown only once it is on disk. */
  async get(id: string): Promise<TaskSnapshot | null> {
    const task = this.#byId.get(id);
    if (task === undefined) return this.#store.tasks.get(id);
    if (isFinal(task.status) && !this.#closed) await this.#waiters.until([id], COMMIT_PATIENCE);
    return this.#durable(task);
  }

  /** As `get`, but held until the task has ended, `seconds` are over, the signal aborts or the server stops. */
  async wait(id: string, seconds: number, signal: AbortSignal): Promise<TaskSnapshot | null> {
    const task = this.#byId.get(id);
    if (task === undefined) return this.#store.tasks.get(id);
    if (!this.#closed && !signal.aborted) await this.#waiters.until([id], seconds, signal);
    return this.#durable(task);
  }

  /**
   * A task that has ended, once its end is on disk. @param what the action that needs an ended task @throws {AltLasError} `conflict`,
   * `not_found`
   */
  async ended(id: string, what: string): Promise<TaskSnapshot> {
    const task = await this.get(id);
    if (task === null) throw unknown(id);
    if (isFinal(task.status)) return task;
    const sentence = `Task ${id} is ${task.status}; only a task that has ended ${what}.`;
    throw new AltLasError("conflict", sentence, { details: { status: task.status } });
  }

  /** Resolves when none of the tasks is live any more, when `seconds` are over, or when the server stops. */
  until(tasks: readonly Task[], seconds: number): Promise<void> {
    return this.#waiters.until(
      tasks.map(({ id }) => id),
      seconds,
    );
  }

  /** Whether somebody waits for its end. */
  isAwaited(task: Task): boolean {
    return this.#waiters.has(task.id);
  }

  /** Ends every wait. */
  wakeAll(): void {
    this.#waiters.wakeAll();
  }

  /** Ends every wait, also those that would begin from now on. */
  close(): void {
    this.#closed = true;
    this.#waiters.wakeAll();
  }

  /** A task as a power cut would leave it: an end that is not on disk has not happened yet. */
  #durable(task: Task): TaskSnapshot {
    this.#store.lost.throwIfAborted();
    if (!this.#byId.has(task.id) || !isFinal(task.status)) return task;
    const status = task.startedAt === null ? "queued" : "running";
    return { ...task, status, finishedAt: null, result: null, error: null };
  }
}

export function unknown(id: string): AltLasError {
  return new AltLasError("not_found", `There is no task ${id}.`);
}
