/** Makes spans, and hands them on to be sent. */
import { newSpanId, newTraceId } from "./ids.ts";
import type { Sampler } from "./sampling.ts";
import type { SpanBatch, SpanHead } from "./span-batch.ts";
import type { SpanQueue } from "./span-queue.ts";
import type { TraceContext } from "./trace-context.ts";

export class Tracer {
  readonly #sampler: Sampler;
  readonly #queue: SpanQueue;

  constructor(sampler: Sampler, queue: SpanQueue) {
    this.#sampler = sampler;
    this.#queue = queue;
  }

  /** A new span that begins a trace, or this server's part of one. @param caller the span of another program that caused it */
  enter(caller: TraceContext | null): TraceContext {
    const traceId = caller?.traceId ?? newTraceId();
    const isSampled = this.#sampler(traceId, caller?.isSampled ?? null);
    return { traceId, spanId: newSpanId(), isSampled, state: caller?.state ?? "" };
  }

  /** A new span within this server's part of a trace. */
  under({ traceId, isSampled, state }: TraceContext): TraceContext {
    return { traceId, spanId: newSpanId(), isSampled, state };
  }

  /** A span has ended: its attributes are to be written. null: it is not sampled, or there is no room for it. */
  write(head: SpanHead): SpanBatch | null {
    if (!head.context.isSampled) return null;
    const batch = this.#queue.batch();
    batch?.begin(head);
    return batch;
  }

  /** All of a span was written. @param hasFailed what it stands for is an error of this server */
  written(span: SpanBatch, hasFailed = false): void {
    span.end(hasFailed);
    this.#queue.grown();
  }
}
