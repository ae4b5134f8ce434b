/* Turns the rows of live tasks into tasks as they arrive. Together, the rows of a long queue would take as much memory as its tasks. */
import type { Task, Webhook } from "../../task.ts";
import type { Row } from "./columns.ts";
import { taskOf } from "./rows.ts";

/** Distinct strings that are looked up; beyond them each task keeps its own. */
const MOST_STRINGS = 10_000;

/** Collects tasks. They share equal values, as tasks do that were submitted together. */
export class Restoring {
  #tasks: Task[] = [];
  /** Of the first row that could not be understood. */
  #problem: { readonly error: unknown } | null = null;
  readonly #strings = new Map<string, string>();
  #webhook: { readonly json: string; readonly webhook: Webhook } | null = null;

  add(rows: readonly Row[]): void {
    try {
      for (const row of rows) this.#tasks.push(this.#restored(taskOf(row)));
    } catch (error) {
      // An error thrown here, in the event of a message, would reach no caller.
      this.#problem ??= { error };
    }
  }

  /** The rows so far are void. */
  clear(): void {
    this.#tasks = [];
    this.#problem = null;
  }

  /** @throws what a row that cannot be understood has thrown */
  get tasks(): Task[] {
    if (this.#problem !== null) throw this.#problem.error;
    return this.#tasks;
  }

  #restored(task: Task): Task {
    const { user, strategy, taskType, priority, status, batchId, webhook } = task;
    return Object.assign(task, {
      user: this.#shared(user),
      strategy: this.#shared(strategy),
      taskType: this.#shared(taskType),
      priority: this.#shared(priority),
      status: this.#shared(status),
      batchId: batchId && this.#shared(batchId),
      webhook: webhook && this.#sharedWebhook(webhook),
    });
  }

  #shared<Text extends string>(text: Text): Text {
    const known = this.#strings.get(text);
    if (known !== undefined) return known as Text;
    if (this.#strings.size < MOST_STRINGS) this.#strings.set(text, text);
    return text;
  }

  /** The tasks of a batch follow each other. */
  #sharedWebhook(webhook: Webhook): Webhook {
    const json = JSON.stringify(webhook);
    if (this.#webhook?.json !== json) this.#webhook = { json, webhook };
    return this.#webhook.webhook;
  }
}
