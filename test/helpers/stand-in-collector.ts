/** A collector on loopback that takes OTLP over HTTP as JSON, and keeps the spans. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type TestContext } from "node:test";

interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
  readonly arrayValue?: { readonly values: readonly AnyValue[] };
}

interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}

interface SentSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly KeyValue[];
  readonly events: readonly { readonly name: string; readonly timeUnixNano: string }[];
  readonly status: { readonly code?: number };
}

interface Sent {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly KeyValue[] };
    readonly scopeSpans: readonly { readonly spans: readonly SentSpan[] }[];
  }[];
}

/** A span as it was sent, with its attributes as an object. */
export interface KeptSpan extends Omit<SentSpan, "attributes"> {
  readonly attributes: Readonly<Record<string, unknown>>;
}

export interface Collector {
  readonly url: string;
  readonly spans: KeptSpan[];
  /** Bodies as they came. */
  readonly bodies: string[];
  readonly requests: IncomingMessage[];
  /** Of the last one. */
  resource: Readonly<Record<string, unknown>>;
  /** What it answers with; undefined: 200. */
  answer: ((response: ServerResponse) => void) | undefined;
  /** The spans of that name. */
  named(name: string): readonly KeptSpan[];
}

export async function startCollector(t: TestContext): Promise<Collector> {
  const server = createServer((request, response) => void take(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const collector: Collector = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans: [],
    bodies: [],
    requests: [],
    resource: {},
    answer: undefined,
    named: (name) => collector.spans.filter((span) => span.name === name),
  };
  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    collector.requests.push(request);
    if (collector.answer !== undefined) return collector.answer(response);
    collector.bodies.push(body);
    for (const { resource, scopeSpans } of (JSON.parse(body) as Sent).resourceSpans) {
      collector.resource = objectOf(resource.attributes);
      for (const { spans } of scopeSpans)
        collector.spans.push(...spans.map((span) => ({ ...span, attributes: objectOf(span.attributes) })));
    }
    response.end("{}");
  }
  return collector;
}

function objectOf(list: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, valueOf(value)]));
}

function valueOf({ stringValue, intValue, doubleValue, boolValue, arrayValue }: AnyValue): unknown {
  if (arrayValue !== undefined) return arrayValue.values.map(valueOf);
  return stringValue ?? (intValue === undefined ? (doubleValue ?? boolValue) : Number(intValue));
}
