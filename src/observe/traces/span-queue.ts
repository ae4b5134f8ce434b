/** Spans on their way: they wait for each other in memory, and go in batches, one batch at a time. */
import { setImmediate as turn } from "node:timers/promises";
import type { Logger } from "../../log/log.ts";
import type { Collector } from "./collector.ts";
import type { Envelope } from "./envelope.ts";
import type { BatchSettings } from "./settings.ts";
import { SpanBatch } from "./span-batch.ts";

/** Bytes of spans after which a batch is full, too, and that may wait in all: clients choose how long their paths and names are. */
const BATCH_BYTES = 2 ** 20;
const MOST_BYTES = 16 * 2 ** 20;
/** Milliseconds between two lines about spans that were lost since they come too fast. */
const BETWEEN_LINES = 60_000;

interface Around {
  readonly collector: Pick<Collector, "send">;
  readonly envelope: Envelope;
  readonly log: Logger;
}

export class SpanQueue {
  readonly #around: Around;
  readonly #settings: BatchSettings;
  /** The one that is written. */
  #open: SpanBatch;
  /** Those that are full, the oldest first, and one that is empty. */
  readonly #full: SpanBatch[] = [];
  #spare: SpanBatch | null = null;
  /** Spans in full ones, and their bytes. */
  #waiting = 0;
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #sending: Promise<void> | null = null;
  #isFailing = false;
  /** Spans for which there was no room since the last line about that, and when it was; milliseconds. */
  #dropped = 0;
  #toldAt = -Infinity;

  constructor(around: Around, settings: BatchSettings) {
    this.#around = around;
    this.#settings = settings;
    this.#open = new SpanBatch(around.envelope.size);
  }

  /** Where the next span is to be written; null: there is no room, and it is lost. */
  batch(): SpanBatch | null {
    const hasRoom = this.#waitingBytes + this.#open.size < MOST_BYTES;
    if (hasRoom && this.#waiting + this.#open.count < this.#settings.most) return this.#open;
    this.#dropped++;
    return null;
  }

  /** A span was written into the batch. */
  grown(): void {
    const { delay, size } = this.#settings;
    if (this.#open.count >= size || this.#open.size >= BATCH_BYTES) this.#close();
    if (this.#sending !== null) return;
    if (this.#full.length > 0) this.#send();
    else this.#timer ??= setTimeout(() => this.#send(), delay).unref();
  }

  /** Resolves when all that waits was sent, or is lost. */
  async flush(): Promise<void> {
    while (this.#sending !== null || this.#full.length > 0 || this.#open.count > 0) {
      this.#send();
      await this.#sending;
    }
  }

  #close(): void {
    this.#full.push(this.#open);
    this.#waiting += this.#open.count;
    this.#waitingBytes += this.#open.size;
    this.#open = this.#spare ?? new SpanBatch(this.#around.envelope.size);
    this.#spare = null;
  }

  #send(): void {
    clearTimeout(this.#timer ?? undefined);
    this.#timer = null;
    this.#sending ??= this.#sendAll();
  }

  /** Sends one batch, and others while they are full. */
  async #sendAll(): Promise<void> {
    const { collector, envelope } = this.#around;
    do {
      // The caller that has told of the last span is in the midst of its own work, and so may others be between two batches.
      await turn();
      if (this.#full.length === 0) this.#close();
      const batch = this.#full.shift()!;
      this.#waiting -= batch.count;
      this.#waitingBytes -= batch.size;
      const failure = await collector.send(envelope.around(batch.all));
      this.#tell(failure);
      if (failure !== null) continue;
      // Of one that failed, the system may still have its memory.
      batch.empty();
      this.#spare = batch;
    } while (this.#full.length > 0);
    this.#sending = null;
    if (this.#open.count > 0) this.#timer ??= setTimeout(() => this.#send(), this.#settings.delay).unref();
  }

  /** A collector that is away is told of once, and once more when it takes spans again: each batch would else be a line. */
  #tell(failure: string | null): void {
    const { log } = this.#around;
    if (failure !== null) {
      if (!this.#isFailing) log.warn(`Spans cannot be sent, and are lost until they can: ${failure}`);
      this.#dropped = 0;
    } else if (this.#isFailing) log.info("Spans are sent again.");
    this.#isFailing = failure !== null;
    const now = performance.now();
    if (this.#dropped === 0 || now - this.#toldAt < BETWEEN_LINES) return;
    log.warn({ spans: this.#dropped }, "Spans come faster than they can be sent, and some are lost.");
    this.#dropped = 0;
    this.#toldAt = now;
  }
}
