/** A client of server-sent events, and of other answers that come bit by bit. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type ClientRequest, type IncomingMessage } from "node:http";

export interface ServerEvent {
  readonly event: string;
  readonly id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** One block of a stream; null: it is only a comment. @throws {AssertionError} it is neither */
export function parseEvent(block: string): ServerEvent | null {
  if (block.startsWith(":")) return null;
  const [, event, id, data] = /^event: (\w+)\nid: (\S+)\ndata: (.*)$/.exec(block) ?? [];
  assert.ok(event !== undefined && id !== undefined && data !== undefined, `no event: ${JSON.stringify(block)}`);
  return { event, id, data: JSON.parse(data) };
}

/** All events of a whole stream. */
export function parseEvents(text: string): ServerEvent[] {
  assert.ok(text === "" || text.endsWith("\n\n"), "the stream breaks off within an event");
  const blocks = text.split("\n\n").slice(0, -1);
  return blocks.map(parseEvent).filter((event) => event !== null);
}

/** Short for assertions: what each event says, without its id. */
export function brief(events: readonly ServerEvent[]): string[] {
  return events.map(({ event, data }) => {
    if (event === "placed") return `placed ${String(data["attempt"])} on ${String(data["gpu_id"])}`;
    return event === "token" ? `token ${String(data["text"])}` : event;
  });
}

export interface OpenOptions {
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Reads only what a test asks for; the rest stays in the connection. */
export class LiveClient {
  readonly #request: ClientRequest;
  readonly #response: IncomingMessage;
  readonly #chunks: AsyncIterator<string>;
  #text = "";

  private constructor(sent: ClientRequest, response: IncomingMessage) {
    this.#request = sent;
    this.#response = response;
    this.#chunks = response.setEncoding("utf8")[Symbol.asyncIterator]();
  }

  /** Resolves when the headers of the answer are there. */
  static async open(port: number, path: string, { body, ...options }: OpenOptions): Promise<LiveClient> {
    const sent = request({ port, path, ...options }).on("error", () => {});
    sent.end(body);
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    return new LiveClient(
      sent,
      response.on("error", () => {}),
    );
  }

  get status(): number | undefined {
    return this.#response.statusCode;
  }

  get headers(): IncomingMessage["headers"] {
    return this.#response.headers;
  }

  /** What comes up to the next separator, without it; null: the answer has ended. */
  async until(separator: string): Promise<string | null> {
    while (!this.#text.includes(separator)) {
      const { value, done } = await this.#chunks.next();
      if (done === true) return null;
      this.#text += value;
    }
    const end = this.#text.indexOf(separator);
    const found = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + separator.length);
    return found;
  }

  /** The next event; null: the stream has ended. */
  async next(): Promise<ServerEvent | null> {
    const block = await this.until("\n\n");
    return block === null ? null : (parseEvent(block) ?? this.next());
  }

  /** All events up to the end. */
  async rest(): Promise<ServerEvent[]> {
    const events: ServerEvent[] = [];
    for (let event = await this.next(); event !== null; event = await this.next()) events.push(event);
    assert.equal(this.#text, "", "the stream breaks off within an event");
    return events;
  }

  leave(): void {
    this.#request.destroy();
  }
}
