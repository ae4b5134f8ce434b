/** Writes that batches have ended, and tells it to their webhooks. */
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { messageOf } from "../errors.ts";
import type { Delivery } from "../store/outbox.ts";
import type { Store, StoreRecord } from "../store/store.ts";
import type { BatchState } from "../store/tasks.ts";
import type { Batch } from "../task.ts";
import type { TaskBookParts } from "./task-book-parts.ts";
import type { Writer } from "./writer.ts";

/** Milliseconds between two tries to read how a batch has ended. */
const PAUSE = 1000;

export interface BatchEndsParts {
  readonly store: Pick<Store, "tasks" | "lost">;
  readonly webhooks: TaskBookParts["webhooks"];
  readonly writer: Pick<Writer, "record">;
  readonly log: Logger;
}

export class BatchEnds {
  readonly #parts: BatchEndsParts;
  readonly #closed = new AbortController();

  constructor(parts: BatchEndsParts) {
    this.#parts = parts;
  }

  /** Resolves when it is written, however often that takes. An end that is not is told by the next start of the server. */
  async tell(batch: Batch): Promise<void> {
    const { webhooks, writer } = this.#parts;
    if (batch.webhook === null) return writer.record([{ kind: "batch", batch }]);
    const state = await this.#read(batch);
    if (state === null) return;
    const deliveries = webhooks.ofBatch({ ...state, batch });
    await writer.record([{ kind: "batch", batch }, ...deliveries.map(asEvent)]);
    webhooks.wake();
  }

  /** Ends the tries. */
  close(): void {
    this.#closed.abort();
  }

  /** null: it is gone, or the server stops before it can be read. */
  async #read({ id }: Batch): Promise<BatchState | null> {
    const { store, log } = this.#parts;
    for (let tries = 1; ; tries++) {
      try {
        return await store.tasks.batch(id);
      } catch (error) {
        const about = { batch: id, reason: messageOf(error) };
        if (tries === 1) log.error(about, "a batch has ended, which cannot be told now; it is tried again");
        if (store.lost.aborted || this.#closed.signal.aborted) return null;
        await pause(PAUSE, undefined, { signal: this.#closed.signal }).catch(() => undefined);
      }
    }
  }
}

export function asEvent(delivery: Delivery): StoreRecord {
  return { kind: "event", delivery };
}
