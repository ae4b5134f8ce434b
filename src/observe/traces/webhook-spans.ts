/** A CLIENT span for each try to deliver a webhook, whose receiver is told of it. */
import { ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, type Tracer } from "@opentelemetry/api";
import { DELIVERY_BEGINS, DELIVERY_TRIED } from "../../topics.ts";
import { type TaskSpans } from "./task-spans.ts";
import { headersOf } from "./trace-context.ts";

/** Tries that are under way at most; the end of more is not told. */
const MOST = 10_000;

export class WebhookSpans {
  readonly #tracer: Tracer;
  readonly #tasks: TaskSpans;
  /** By the ids of their deliveries. */
  readonly #open = new Map<string, Span>();
  readonly #ends: readonly (() => void)[];

  constructor(tracer: Tracer, tasks: TaskSpans) {
    this.#tracer = tracer;
    this.#tasks = tasks;
    this.#ends = [
      DELIVERY_BEGINS.subscribe((delivery) => this.#begin(delivery)),
      DELIVERY_TRIED.subscribe(({ deliveryId, status, isDelivered }) => this.#end(deliveryId, status, isDelivered)),
    ];
  }

  stop(): void {
    for (const end of this.#ends) end();
    for (const span of this.#open.values()) span.end();
    this.#open.clear();
  }

  #begin({ deliveryId, taskId, batchId, event, host, attempt, addHeader }: Begins): void {
    const attributes = {
      "http.request.method": "POST",
      "server.address": host,
      "http.request.resend_count": attempt > 1 ? attempt - 1 : undefined,
      "altlas.webhook.event": event,
      "altlas.task.id": taskId ?? undefined,
      "altlas.batch.id": batchId ?? undefined,
    };
    const context = this.#tasks.contextFor(taskId ?? batchId ?? "") ?? ROOT_CONTEXT;
    const span = this.#tracer.startSpan(`webhook ${event}`, { kind: SpanKind.CLIENT, attributes }, context);
    for (const [name, value] of Object.entries(headersOf(span.spanContext()))) addHeader(name, value);
    // One that came to nothing, for want of room at its address.
    this.#open.get(deliveryId)?.end();
    if (this.#open.size < MOST) this.#open.set(deliveryId, span);
  }

  #end(deliveryId: string, status: number | null, isDelivered: boolean): void {
    const span = this.#open.get(deliveryId);
    if (span === undefined) return;
    this.#open.delete(deliveryId);
    if (status !== null) span.setAttribute("http.response.status_code", status);
    if (!isDelivered) {
      const type = status === null ? "no_answer" : String(status);
      span.setAttribute("error.type", type).setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
  }
}

type Begins = Parameters<Parameters<typeof DELIVERY_BEGINS.subscribe>[0]>[0];
