/** A CLIENT span for each try to deliver a webhook, whose receiver is told of it. */
import { DELIVERY_BEGINS, DELIVERY_TRIED } from "../../topics.ts";
import type { SpanId } from "./ids.ts";
import { CLIENT, keyOf, moment } from "./span-batch.ts";
import type { TaskSpans } from "./task-spans.ts";
import { headersOf, type TraceContext } from "./trace-context.ts";
import type { Tracer } from "./tracer.ts";

/** Tries that are under way at most; the end of more is not told. */
const MOST = 10_000;

const METHOD = keyOf("http.request.method");
const SERVER_ADDRESS = keyOf("server.address");
const RESENT = keyOf("http.request.resend_count");
const EVENT = keyOf("altlas.webhook.event");
const TASK = keyOf("altlas.task.id");
const BATCH = keyOf("altlas.batch.id");
const STATUS = keyOf("http.response.status_code");
const ERROR_TYPE = keyOf("error.type");

interface Open {
  readonly delivery: Begins;
  readonly context: TraceContext;
  /** null: the trace of its task is not known any more. */
  readonly parentId: SpanId | null;
  readonly from: number;
}

export class WebhookSpans {
  readonly #tracer: Tracer;
  readonly #tasks: TaskSpans;
  /** By the ids of their deliveries. */
  readonly #open = new Map<string, Open>();
  readonly #ends: readonly (() => void)[];

  constructor(tracer: Tracer, tasks: TaskSpans) {
    this.#tracer = tracer;
    this.#tasks = tasks;
    this.#ends = [
      DELIVERY_BEGINS.subscribe((delivery) => this.#begin(delivery)),
      DELIVERY_TRIED.subscribe(({ deliveryId, status, isDelivered }) => {
        const open = this.#open.get(deliveryId);
        if (open === undefined) return;
        this.#open.delete(deliveryId);
        this.#end(open, status, isDelivered ? null : String(status ?? "no_answer"));
      }),
    ];
  }

  stop(): void {
    for (const end of this.#ends) end();
    for (const open of this.#open.values()) this.#end(open);
    this.#open.clear();
  }

  #begin(delivery: Begins): void {
    const { deliveryId, taskId, batchId } = delivery;
    const parent = this.#tasks.contextFor(taskId, batchId);
    const context = parent === null ? this.#tracer.enter(null) : this.#tracer.under(parent);
    for (const [name, value] of Object.entries(headersOf(context))) delivery.addHeader(name, value);
    // One that came to nothing, for want of room at its address.
    const unfinished = this.#open.get(deliveryId);
    if (unfinished !== undefined) this.#end(unfinished);
    if (this.#open.size < MOST)
      this.#open.set(deliveryId, { delivery, context, parentId: parent?.spanId ?? null, from: moment() });
  }

  /** @param error the kind of failure; null: there was none */
  #end({ delivery, context, parentId, from }: Open, status: number | null = null, error: string | null = null): void {
    const { taskId, batchId, event, host, attempt } = delivery;
    const { spanId } = context;
    const head = { context, spanId, parentId, name: `webhook ${event}`, kind: CLIENT, from, to: moment() };
    const span = this.#tracer.write(head);
    if (span === null) return;
    span.text(METHOD, "POST");
    span.text(SERVER_ADDRESS, host);
    if (attempt > 1) span.whole(RESENT, attempt - 1);
    span.text(EVENT, event);
    span.text(TASK, taskId);
    span.text(BATCH, batchId);
    span.whole(STATUS, status);
    span.text(ERROR_TYPE, error);
    this.#tracer.written(span, error !== null);
  }
}

type Begins = Parameters<Parameters<typeof DELIVERY_BEGINS.subscribe>[0]>[0];
