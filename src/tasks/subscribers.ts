/**
 * The subscribers of tasks, which read the output while it is generated. They are called when something happens, and no text is kept for
 * them.
 */
import type { AnyPool, Elsewhere } from "../gpu/any-pool.ts";
import { InFlight } from "../common/in-flight.ts";
import { deltasOf, type Delta, lengthOf, type Output } from "../output.ts";
import { attemptNumber, isFinal, type Task } from "../task.ts";
import type { Following, Listener, Place } from "./task-api.ts";

const NOTHING: readonly Delta[] = [];

/** The machines that have the output of their runs. */
export type Machines = Pick<AnyPool, "watch" | "elsewhere">;

/** The runs of one task. */
interface Runs {
  /** The attempt that is on disk; 0: none. A reader hears of an attempt only then, because a power cut would undo it. */
  onDisk: number;
  /** The text of the last attempt; null: it ran under another server. */
  output: Output | null;
}

export class Subscribers {
  /** By the ids of their tasks. */
  readonly #listeners = new InFlight<string, Set<Listener>>();
  /** Of live tasks that have run, by their ids. */
  readonly #runs = new InFlight<string, Runs>();
  readonly #machines: (() => Machines) | null;

  /** @param machines told when the first subscriber of a task has come that reads, and when the last one has left; null: all output is here */
  constructor(machines: (() => Machines) | null = null) {
    this.#machines = machines;
  }

  follow(task: Task, listener: Listener): Following {
    const listeners = this.#listeners.get(task.id);
    if (listeners === undefined) this.#listeners.set(task.id, new Set([listener]));
    else listeners.add(listener);
    // One that leaves at once reads nothing.
    if (this.#machines !== null && !listener.readsElsewhere) queueMicrotask(() => this.#watchIfRead(task));
    const { createdAt } = task;
    const where = (): Place | null => (this.#isPlaced(task) ? placeOf(task) : null);
    const elsewhere = (): Elsewhere | null => this.#machines?.().elsewhere?.(task) ?? null;
    return { createdAt, where, elsewhere, now: () => this.#now(task), stop: () => this.#remove(task, listener) };
  }

  /** Whether somebody reads along. */
  has(task: Task): boolean {
    return this.#listeners.has(task.id);
  }

  /** A run of a task has begun. */
  begun(task: Task, output: Output): void {
    const runs = this.#runs.get(task.id);
    if (runs === undefined) this.#runs.set(task.id, { onDisk: 0, output });
    else runs.output = output;
    this.#watchIfRead(task);
  }

  /** A start is on disk. */
  started(task: Task, attempt: number): void {
    const runs = this.#runs.get(task.id);
    if (runs === undefined) this.#runs.set(task.id, { onDisk: attempt, output: null });
    else if (attempt > runs.onDisk) runs.onDisk = attempt;
    else return;
    for (const listener of this.#listeners.get(task.id) ?? []) listener.started?.();
    this.#tellNow(task);
  }

  /** The output of a run is whole that was not. */
  caughtUp(task: Task): void {
    this.#tellNow(task);
  }

  #tellNow(task: Task): void {
    if (!this.#listeners.has(task.id)) return;
    const now = this.#now(task);
    if (now === null) return;
    for (const listener of this.#listeners.get(task.id) ?? []) {
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
    const listeners = this.#listeners.get(task.id);
    if (listeners === undefined) return;
    const runs = this.#runs.get(task.id);
    // Events that come before its start is on disk, and its output whole, are told when they are.
    if (!isOnDisk(task, runs) || runs?.output?.isWhole === false) return;
    for (const listener of listeners) listener.delta(delta, before);
  }

  /** A task was withdrawn, and nobody reads along. */
  forget(task: Task): void {
    this.#runs.delete(task.id);
  }

  /** An end is on disk. */
  ended(task: Task): void {
    for (const listener of this.#take(task)) listener.ended(task);
    this.#runs.delete(task.id);
  }

  /** Tells all subscribers that nothing more will come. */
  close(): void {
    const all = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const listeners of all) for (const listener of listeners) listener.closed();
  }

  #take(task: Task): Iterable<Listener> {
    const listeners = this.#listeners.get(task.id) ?? [];
    this.#listeners.delete(task.id);
    return listeners;
  }

  #isPlaced(task: Task): boolean {
    // An end that is not on disk yet leaves the task as it was.
    return (
      task.status !== "queued" &&
      task.gpuId !== null &&
      task.attempts.length > 0 &&
      isOnDisk(task, this.#runs.get(task.id))
    );
  }

  #isWhole(task: Task): boolean {
    return this.#runs.get(task.id)?.output?.isWhole ?? true;
  }

  #now(task: Task): ReturnType<Following["now"]> {
    if (!this.#isPlaced(task)) return null;
    if (!isFinal(task.status) && !this.#isWhole(task)) return null;
    return { ...placeOf(task), output: this.#outputOf(task) };
  }

  #outputOf(task: Task): readonly Delta[] {
    if (!isFinal(task.status)) return this.#runs.get(task.id)?.output?.deltas ?? NOTHING;
    return task.result === null ? NOTHING : deltasOf(task.result);
  }

  #remove(task: Task, listener: Listener): void {
    const listeners = this.#listeners.get(task.id);
    if (listeners?.delete(listener) !== true) return;
    if (listeners.size === 0) this.#listeners.delete(task.id);
    if (this.#machines !== null && !this.#isRead(task)) this.#machines().watch?.(task, false);
  }

  #watchIfRead(task: Task): void {
    if (this.#machines !== null && this.#isRead(task)) this.#machines().watch?.(task, true);
  }

  #isRead(task: Task): boolean {
    for (const listener of this.#listeners.get(task.id) ?? []) if (!listener.readsElsewhere) return true;
    return false;
  }
}

/** @param task that a GPU has */
function placeOf(task: Task): Place {
  return { attempt: attemptNumber(task), gpuId: task.gpuId!, model: task.ranModel };
}

/** Of a task whose end is on disk, no run is kept. */
function isOnDisk(task: Task, runs: Runs | undefined): boolean {
  return runs === undefined ? isFinal(task.status) : runs.onDisk === attemptNumber(task);
}
