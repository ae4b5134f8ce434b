/** A SERVER span for each request, from its head to the end of its answer; a stream's lasts as long as the stream. */
import type { IncomingMessage } from "node:http";
import { REQUEST_BEGAN, REQUEST_ENDED } from "../../topics.ts";
import type { SpanId } from "./ids.ts";
import { Common } from "./common-attributes.ts";
import { keyOf, moment, SERVER } from "./span-batch.ts";
import { contextIn, type TraceContext } from "./trace-context.ts";
import type { Tracer } from "./tracer.ts";

/** Probes and scrapes come all the time, and nobody looks for them. */
const UNTOLD: ReadonlySet<string | undefined> = new Set(["/livez", "/readyz", "/healthz", "/metrics"]);

const METHOD = keyOf("http.request.method");
const SCHEME = keyOf("url.scheme");
const PATH = keyOf("url.path");
const ROUTE = keyOf("http.route");
const ADDRESS = keyOf("client.address");
const AGENT = keyOf("user_agent.original");
const STATUS = keyOf("http.response.status_code");
const ERROR_TYPE = keyOf("error.type");

interface Open {
  readonly context: TraceContext;
  /** The caller's span; null: the trace begins here. */
  readonly callerId: SpanId | null;
  readonly from: number;
  /** Its connection may be gone at the end, and does not know it any more. */
  readonly address: string | undefined;
}

/** Where a request has its span: a WeakMap costs each request several times as much, and each garbage collection as well. */
const SPAN = Symbol("span");

interface Traced {
  [SPAN]?: Open;
}

export class RequestSpans {
  readonly #tracer: Tracer;
  readonly #ends: readonly (() => void)[];

  constructor(tracer: Tracer) {
    this.#tracer = tracer;
    this.#ends = [
      REQUEST_BEGAN.subscribe(({ request, route }) => {
        if (!UNTOLD.has(route)) this.#begin(request);
      }),
      REQUEST_ENDED.subscribe(({ request, route, status }) => this.#end(request, route, status)),
    ];
  }

  stop(): void {
    for (const end of this.#ends) end();
  }

  /** The span of a request, which what it causes belongs to; null: it has none. */
  contextFor(request: object): TraceContext | null {
    return (request as Traced)[SPAN]?.context ?? null;
  }

  #begin(request: IncomingMessage & Traced): void {
    const caller = contextIn(request.headers);
    const context = this.#tracer.enter(caller);
    const callerId = caller?.spanId ?? null;
    request[SPAN] = { context, callerId, from: moment(), address: request.socket.remoteAddress };
  }

  #end(request: IncomingMessage & Traced, route: string | undefined, status: number): void {
    const open = request[SPAN];
    if (open === undefined) return;
    const { context, callerId: parentId, from, address } = open;
    const { method = "", headers, socket, url = "" } = request;
    const span = this.#tracer.write({
      context,
      spanId: context.spanId,
      parentId,
      isRemote: parentId !== null,
      name: route === undefined ? method : `${method} ${route}`,
      kind: SERVER,
      from,
      to: moment(),
    });
    if (span === null) return;
    CLIENT.write(span, "encrypted" in socket ? "https" : "http", address, headers["user-agent"]);
    TARGET.write(span, method, url, route);
    span.whole(STATUS, status);
    // A client's mistake is no error of the server.
    const hasFailed = status >= 500;
    if (hasFailed) span.text(ERROR_TYPE, String(status));
    this.#tracer.written(span, hasFailed);
  }
}

const CLIENT = new Common((span, scheme: string, address: string | undefined, agent: string | undefined) => {
  span.text(SCHEME, scheme);
  span.text(ADDRESS, address);
  span.text(AGENT, agent);
});

const TARGET = new Common((span, method: string, url: string, route: string | undefined) => {
  span.text(METHOD, method);
  span.text(PATH, pathOf(url));
  span.text(ROUTE, route);
});

/** Never the query, which may have a ticket. */
function pathOf(url: string): string {
  const query = url.indexOf("?");
  return query === -1 ? url : url.slice(0, query);
}
