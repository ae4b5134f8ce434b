/** Makes a trace of one's own history. It has lengths, times and what began alike; no text, no name of a caller, and no date. */
import { hash, randomBytes } from "node:crypto";
import type { Chain } from "../request.ts";
import { TO_THE_END } from "../request.ts";
import type { PastTask } from "../store/tasks.ts";
import { PLAIN_TYPE, type TraceRequest } from "./trace.ts";

/** Bytes of a text for each token, where nobody has counted them; about. */
const BYTES_PER_TOKEN = 4;

export class Exported {
  /** Tasks of which it is not known how long their answers were: they wait, run, or have failed. */
  leftOut = 0;
  tasks = 0;
  readonly #types: ReadonlySet<string>;
  readonly #callers = new Pseudonyms("caller");
  readonly #otherTypes = new Pseudonyms("type");
  /** Of this one export: nobody can tell by trying what a prompt began with, nor compare two exports. */
  readonly #secret = randomBytes(32).toString("hex");
  /** When the first task came, and the last one; milliseconds. */
  #first = 0;
  #last = 0;

  /** @param types that the configuration names; others may be words of clients */
  constructor(types: Iterable<string>) {
    this.#types = new Set([PLAIN_TYPE, ...types]);
  }

  /** @returns null: it is left out */
  requestOf(task: PastTask): TraceRequest | null {
    if (task.completionTokens === null) {
      this.leftOut++;
      return null;
    }
    if (this.tasks++ === 0) this.#first = this.#last = task.createdClock;
    // Restored from a backup of another machine, tasks may have been made by an earlier clock.
    this.#last = Math.max(this.#last, task.createdClock);
    return {
      at: (this.#last - this.#first) / 1000,
      caller: this.#callers.of(task.user),
      promptTokens: task.promptTokens ?? Math.ceil(task.size / BYTES_PER_TOKEN),
      outputTokens: task.completionTokens,
      maxTokens: task.maxTokens === TO_THE_END ? null : task.maxTokens,
      prefix: this.#hidden(task.prefix),
      model: task.model,
      taskType: this.#types.has(task.taskType) ? task.taskType : this.#otherTypes.of(task.taskType),
      priority: task.priority,
    };
  }

  #hidden(prefix: Chain): Chain {
    return prefix.map((block) => Number.parseInt(hash("sha256", `${this.#secret}${block}`).slice(0, 8), 16) | 0);
  }
}

/** Names in the order in which they are first used. */
class Pseudonyms {
  readonly #kind: string;
  readonly #names = new Map<string, string>();

  constructor(kind: string) {
    this.#kind = kind;
  }

  of(name: string): string {
    let known = this.#names.get(name);
    if (known === undefined) this.#names.set(name, (known = `${this.#kind}${this.#names.size + 1}`));
    return known;
  }
}
