import { type Task, type TaskStatus } from "../task.ts";

/** A task without its prompt: a list of a thousand would else be a gigabyte at worst. */
export type ListedTask = Omit<Task, "text">;

/** Which tasks to list. */
export interface TaskFilter {
  /** Only this user's; undefined: everybody's. */
  readonly user: string | undefined;
  readonly status: TaskStatus | undefined;
  readonly limit: number;
  readonly offset: number;
}

/**
 * Where tasks outlive the process.
 *
 * Promises every implementation keeps (test/store-conformance.test.ts):
 *  1. When `save` resolves, the state its tasks had when it was called (or a later one) survives a power cut.
 *  2. The tasks of one `save` are written together or not at all. New tasks and changed ones may be mixed.
 *  3. Saves take effect in the order of the calls. Calls made while a write is under way are written together by the next one.
 *  4. When `save` rejects (`AltLasError` with `store_unavailable`), nothing of that call is on disk, and the caller may save again.
 *  5. `get` and `list` see everything whose `save` has resolved.
 *  6. Nothing here blocks the caller's thread on a disk.
 */
export interface Store {
  /**
   * Opens or creates the store.
   * @returns the tasks that have not ended, in submission order, and the highest `seq` ever given (0: none)
   */
  open(): Promise<{ readonly live: Task[]; readonly lastSeq: number }>;
  /** Writes the present state of these tasks. */
  save(tasks: readonly Task[]): Promise<void>;
  get(id: string): Promise<Task | null>;
  /** Newest first. `total` says how many match, whatever the limit. */
  list(filter: TaskFilter): Promise<{ readonly tasks: ListedTask[]; readonly total: number }>;
  /** Writes what is pending and closes. Calling it twice is harmless. */
  close(): Promise<void>;
}
