/* How the bytes of the texts of each user's tasks change with new tasks and with ends: what the table `stored_bytes` has of them. */
import { isFinal, type TaskStatus } from "../../task.ts";
import type { Row, Value } from "./columns.ts";
import { IN_CHANGED, IN_NEW } from "./rows.ts";

type Places = Readonly<Record<"result_text" | "logprobs" | "embeddings", number>>;

/** Those of one transaction. */
export class ByteSums {
  readonly byUser = new Map<string, { tasks: number; bytes: number }>();
  /** Of a text as it is stored. */
  readonly #bytesOf: (text: string) => number;

  constructor(bytesOf: (text: string) => number) {
    this.#bytesOf = bytesOf;
  }

  /** @param row of a new task */
  inserted(row: Row): void {
    const texts = row[IN_NEW.texts];
    const ofRequest = texts === "never" || texts === "removed" ? 0 : (row[IN_NEW.size] as number);
    this.#add(row[IN_NEW.user] as string, 1, ofRequest + this.#ofResult(row, IN_NEW));
  }

  /** @param row of a change @param before bytes of the result that the task has had; an end may be written again (`isAgain`) */
  changed(row: Row, before: number): void {
    const difference = this.#ofResult(row, IN_CHANGED) - before;
    if (difference !== 0) this.#add(row[IN_CHANGED.user] as string, 0, difference);
  }

  #add(user: string, tasks: number, bytes: number): void {
    const sums = this.byUser.get(user);
    if (sums === undefined) this.byUser.set(user, { tasks, bytes });
    else {
      sums.tasks += tasks;
      sums.bytes += bytes;
    }
  }

  #ofResult(row: Row, { result_text, logprobs, embeddings }: Places): number {
    return this.#of(row[result_text]) + this.#of(row[logprobs]) + this.#of(row[embeddings]);
  }

  /** A row of a live task has no such columns. */
  #of(value: Value | undefined): number {
    return typeof value === "string" ? this.#bytesOf(value) : 0;
  }
}

/** Whether the task of a change has had an end before, and maybe a result. */
export function isAgain(row: Row): boolean {
  return isFinal(row[IN_CHANGED.was] as TaskStatus);
}
