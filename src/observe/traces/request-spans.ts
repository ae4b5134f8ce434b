/** A SERVER span for each request, from its head to the end of its answer; a stream's lasts as long as the stream. */
import { type Context, type Span, SpanKind, SpanStatusCode, type Tracer } from "@opentelemetry/api";
import { REQUEST_BEGAN, REQUEST_ENDED } from "../../topics.ts";
import { contextIn, contextOf } from "./trace-context.ts";

/** Probes and scrapes come all the time, and nobody looks for them. */
const UNTOLD: ReadonlySet<string | undefined> = new Set(["/livez", "/readyz", "/healthz", "/metrics"]);

export class RequestSpans {
  readonly #tracer: Tracer;
  readonly #spans = new WeakMap<object, Span>();
  readonly #ends: readonly (() => void)[];

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
    this.#ends = [
      REQUEST_BEGAN.subscribe(({ request, route }) => {
        if (!UNTOLD.has(route)) this.#begin(request, route);
      }),
      REQUEST_ENDED.subscribe(({ request, status }) => this.#end(request, status)),
    ];
  }

  stop(): void {
    for (const end of this.#ends) end();
  }

  /** The trace of what a request causes; null: it has none. */
  contextFor(request: object): Context | null {
    const span = this.#spans.get(request);
    return span === undefined ? null : contextOf(span);
  }

  #begin(
    request: Parameters<Parameters<typeof REQUEST_BEGAN.subscribe>[0]>[0]["request"],
    route: string | undefined,
  ): void {
    const { method = "", headers, socket, url = "" } = request;
    const attributes = {
      "http.request.method": method,
      "url.scheme": "encrypted" in socket ? "https" : "http",
      // Never the query, which may have a ticket.
      "url.path": url.split("?", 1)[0]!,
      ...(route !== undefined && { "http.route": route }),
      ...(socket.remoteAddress !== undefined && { "client.address": socket.remoteAddress }),
      ...(headers["user-agent"] !== undefined && { "user_agent.original": headers["user-agent"] }),
    };
    const name = route === undefined ? method : `${method} ${route}`;
    this.#spans.set(request, this.#tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, contextIn(headers)));
  }

  #end(request: object, status: number): void {
    const span = this.#spans.get(request);
    if (span === undefined) return;
    span.setAttribute("http.response.status_code", status);
    // A client's mistake is no error of the server.
    if (status >= 500) span.setAttribute("error.type", String(status)).setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }
}
