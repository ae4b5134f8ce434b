/**
 * Bounds what the stored tasks of one user take. The store says what that is, as of a second ago at most, and what was accepted since is
 * added. Answers count when they are written, so those of the tasks under way may go beyond the limit.
 */
import { atLeast, shownSize } from "../common/sizes.ts";
import { AltLasError } from "../errors.ts";
import type { StoredBytes, TaskStore } from "../store/tasks.ts";
import type { Task } from "../task.ts";

/** Bytes, and where they are set, like `callers.users.bob.max_stored_bytes`. */
export interface StoredLimit {
  readonly bytes: number;
  readonly setIn: string;
}

/** Milliseconds after which the store is asked again. */
const FRESH = 1000;
/** Seconds: stored tasks go by hand or by age, so soon after is of no use. */
const RETRY_AFTER = 300;

export class StoredRoom {
  readonly #store: Pick<TaskStore, "storedBytes">;
  readonly #limitOf: (user: string) => StoredLimit | null;
  #stored: ReadonlyMap<string, number> = new Map();
  /** Accepted since the store was asked. */
  #since = new Map<string, number>();
  #askedAt = -Infinity;

  /** @param store is open @param limitOf null: it has none */
  constructor(store: Pick<TaskStore, "storedBytes">, limitOf: (user: string) => StoredLimit | null) {
    this.#store = store;
    this.#limitOf = limitOf;
    this.ask();
  }

  /** Takes room for new tasks of one user. @throws {AltLasError} as `refuseOver` */
  take(tasks: readonly Task[]): void {
    const bytes = this.refuseOver(tasks);
    const { user } = tasks[0]!;
    if (bytes > 0) this.#since.set(user, (this.#since.get(user) ?? 0) + bytes);
  }

  /** @returns bytes of the tasks, where they are limited @throws {AltLasError} `rate_limited`: its user's tasks would take too many */
  refuseOver(tasks: readonly Task[]): number {
    const { user } = tasks[0]!;
    const limit = this.#limitOf(user);
    if (limit === null) return 0;
    if (performance.now() - this.#askedAt > FRESH) this.ask();
    const bytes = tasks.reduce((sum, { size }) => sum + size, 0);
    const own = (this.#stored.get(user) ?? 0) + (this.#since.get(user) ?? 0);
    if (own + bytes <= limit.bytes) return bytes;
    const sentence = `The stored tasks of ${user} have ${shownSize(own)} of text, and ${atLeast(bytes)} more would be over the ${shownSize(limit.bytes)} of ${limit.setIn}. Remove some, or wait until they are old enough to go (tasks.retention).`;
    throw new AltLasError("rate_limited", sentence, { retryAfter: RETRY_AFTER });
  }

  /** Has the store say what there is. A store that cannot read takes no tasks either. */
  ask(): void {
    this.#askedAt = performance.now();
    const before = this.#since;
    this.#since = new Map(before);
    this.#store
      .storedBytes()
      .then((stored) => this.#told(stored, before))
      .catch(() => undefined);
  }

  /** @param before what was accepted before it was asked: that is on disk, or on its way there, and the next answer has it */
  #told(stored: readonly StoredBytes[], before: ReadonlyMap<string, number>): void {
    this.#stored = new Map(stored.map(({ user, bytes }) => [user, bytes]));
    for (const [user, bytes] of before) this.#lessen(user, bytes);
  }

  #lessen(user: string, bytes: number): void {
    const left = (this.#since.get(user) ?? 0) - bytes;
    if (left > 0) this.#since.set(user, left);
    else this.#since.delete(user);
  }
}
