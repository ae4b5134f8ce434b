/**
 * The subscribers of tasks, which read the output while it is generated. They are called when something happens, and no text is kept for
 * them.
 */
import { deltasOf, type Delta, lengthOf, type Output } from "../output.ts";
import { attemptNumber, isFinal, type Task } from "../task.ts";
import { type Following, type Listener } from "./task-api.ts";

const NOTHING: readonly Delta[] = [];

/** The runs of one task. */
interface Runs {
  /** The attempt that is on disk; 0: none. A reader hears of an attempt only then, because a power cut would undo it. */
  onDisk: number;
  /** The text of the last attempt; null: it ran under another server. */
  output: Output | null;
}

export class Subscribers {
  readonly #listeners = new Map<Task, Set<Listener>>();
  /** Of live tasks that have run. */
  readonly #runs = new WeakMap<Task, Runs>();

  follow(task: Task, listener: Listener): Following {
    const listeners = this.#listeners.get(task);
    if (listeners === undefined) this.#listeners.set(task, new Set([listener]));
    else listeners.add(listener);
    return { createdAt: task.createdAt, now: () => this.#now(task), stop: () => this.#remove(task, listener) };
  }

  /** Whether somebody reads along. */
  has(task: Task): boolean {
    return this.#listeners.has(task);
  }

  /** A run of a task has begun. */
  begun(task: Task, output: Output): void {
    const runs = this.#runs.get(task);
    if (runs === undefined) this.#runs.set(task, { onDisk: 0, output });
    else runs.output = output;
  }

  /** A start is on disk. */
  started(task: Task, attempt: number): void {
    const runs = this.#runs.get(task);
    if (runs === undefined) this.#runs.set(task, { onDisk: attempt, output: null });
    else if (attempt > runs.onDisk) runs.onDisk = attempt;
    else return;
    if (!this.#listeners.has(task)) return;
    const now = this.#now(task);
    if (now === null) return;
    for (const listener of this.#listeners.get(task) ?? []) {
      listener.placed(now.attempt, now.gpuId);
      let before = 0;
      for (const delta of now.output) {
        listener.delta(delta, before);
        before += lengthOf(delta);
      }
    }
  }

  /** @param before the position where it begins in this run's output */
  delta(task: Task, delta: Delta, before: number): void {
    const listeners = this.#listeners.get(task);
    // Events that come before its start is on disk are told when it is.
    if (listeners === undefined || !this.#isOnDisk(task)) return;
    for (const listener of listeners) listener.delta(delta, before);
  }

  /** An end is on disk. */
  ended(task: Task): void {
    for (const listener of this.#take(task)) listener.ended(task);
  }

  /** Tells all subscribers that nothing more will come. */
  close(): void {
    for (const task of this.#listeners.keys()) for (const listener of this.#take(task)) listener.closed();
  }

  #take(task: Task): Iterable<Listener> {
    const listeners = this.#listeners.get(task) ?? [];
    this.#listeners.delete(task);
    return listeners;
  }

  #isOnDisk(task: Task): boolean {
    return this.#runs.get(task)?.onDisk === attemptNumber(task);
  }

  #now(task: Task): ReturnType<Following["now"]> {
    // An end that is not on disk yet leaves the task as it was.
    if (task.status === "queued" || task.gpuId === null || task.attempts.length === 0 || !this.#isOnDisk(task))
      return null;
    return {
      attempt: attemptNumber(task),
      gpuId: task.gpuId,
      model: task.ranModel,
      output: this.#outputOf(task),
    };
  }

  #outputOf(task: Task): readonly Delta[] {
    if (!isFinal(task.status)) return this.#runs.get(task)?.output?.deltas ?? NOTHING;
    return task.result === null ? NOTHING : deltasOf(task.result);
  }

  #remove(task: Task, listener: Listener): void {
    const listeners = this.#listeners.get(task);
    listeners?.delete(listener);
    if (listeners?.size === 0) this.#listeners.delete(task);
  }
}
