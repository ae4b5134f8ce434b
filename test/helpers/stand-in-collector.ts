/** A collector on loopback that takes OTLP over HTTP in protocol buffers, and keeps the spans. */
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { type TestContext } from "node:test";
import { gunzipSync } from "node:zlib";
import { type KeptSpan, spansIn } from "./otlp.ts";

export interface Collector {
  readonly url: string;
  readonly spans: KeptSpan[];
  /** Bodies as text: all strings are in them as they are. */
  readonly bodies: string[];
  readonly requests: IncomingMessage[];
  /** Of the last one. */
  resource: Readonly<Record<string, unknown>>;
  /** Emits `spans` when it has taken some. */
  readonly came: EventEmitter;
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
    came: new EventEmitter(),
    resource: {},
    answer: undefined,
    named: (name) => collector.spans.filter((span) => span.name === name),
  };
  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = await buffer(request);
    collector.requests.push(request);
    if (collector.answer !== undefined) return collector.answer(response);
    const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
    collector.bodies.push(String(body));
    const { resource, spans } = spansIn(body);
    collector.resource = resource;
    collector.spans.push(...spans);
    collector.came.emit("spans");
    response.end();
  }
  return collector;
}
