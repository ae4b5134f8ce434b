/** Tells on a terminal why a task waits, while somebody looks on. */
import type { TaskView } from "../../http/schemas/tasks.ts";
import { ask, type Remote } from "./client.ts";
import type { TextWriter } from "./follow.ts";
import { legible } from "../../common/legible.ts";

/** Milliseconds between two questions: a task that starts at once is asked for none. */
const INTERVAL = 2000;

export class WaitNotes {
  readonly #remote: Remote;
  readonly #writer: TextWriter;
  #timer: NodeJS.Timeout | null = null;
  #told: string | null = null;

  constructor(remote: Remote, writer: TextWriter) {
    this.#remote = remote;
    this.#writer = writer;
  }

  start(id: string, interval = INTERVAL): void {
    this.#timer = setInterval(() => void this.#look(id), interval);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  async #look(id: string): Promise<void> {
    // The stream itself tells what is wrong with the server.
    const task = (await ask(this.#remote, `task/${id}`, "task_id").catch(() => null)) as TaskView | null;
    const waiting = task?.waiting;
    if (this.#timer === null || waiting === undefined || waiting.reason === this.#told) return;
    this.#told = waiting.reason;
    this.#writer.note(`Waits: ${legible(waiting.sentence)}`);
  }
}
