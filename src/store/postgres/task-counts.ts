/*
 * The numbers of stored tasks by owner and status. They are counted when somebody asks first, and not by the opening: to count them takes a
 * second for a million tasks, in which a server that takes over would answer nothing. Tasks are written and removed meanwhile.
 */
import { type CountChange, Counts } from "../thread/counts.ts";
import type { Readers } from "./readers.ts";
import { countsOf } from "./tasks.ts";
import type { Writer } from "./writer.ts";

/** The result of writes, and how they have changed the numbers of tasks. */
export interface WithCounts<T> {
  readonly value: T;
  readonly changes: readonly CountChange[];
}

export class TaskCounts {
  readonly #readers: Readers;
  readonly #writer: Writer;
  /** null: nobody has asked yet. */
  #counts: Counts | null = null;
  #counting: Promise<Counts> | null = null;
  /** Changes that were committed since the moment as of which tasks are being counted; null: none are. */
  #since: CountChange[] | null = null;

  constructor(readers: Readers, writer: Writer) {
    this.#readers = readers;
    this.#writer = writer;
  }

  /** Takes what a transaction has changed; to be called when it is committed, before the next one begins. */
  apply(changes: readonly CountChange[]): void {
    if (this.#counts !== null) this.#counts.apply(changes);
    else this.#since?.push(...changes);
  }

  /** The numbers after all that is committed by now. @throws as `Readers.read`; the next call counts anew */
  async get(): Promise<Counts> {
    if (this.#counts !== null) return this.#counts;
    this.#counting ??= this.#count().finally(() => {
      this.#counting = null;
      this.#since = null;
    });
    return this.#counting;
  }

  #count(): Promise<Counts> {
    return this.#readers.read(async (session) => {
      try {
        await this.#writer.between(async () => {
          await session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
          // The first statement makes the moment: what is committed by now is counted, and `apply` is told of all else.
          await session.rows("SELECT 1");
          this.#since = [];
        });
        const counts = await countsOf(session);
        counts.apply(this.#since!);
        this.#counts = counts;
        return counts;
      } finally {
        await session.run("ROLLBACK").catch(() => undefined);
      }
    });
  }
}
