/**
 * Reads the body of an answer as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), or as one object in
 * JSON, by what it is: servers and proxies name the type of either as they like.
 */
import { createParser, type EventSourceParser } from "eventsource-parser";
import { isObject, valueIn } from "../../common/json-values.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Bytes that are read of a refusal, and of an answer as a whole; one that is longer is no answer to anything that is asked here. */
export const MAX_REFUSAL = 64 * 1024;
export const MAX_ANSWER = 8 * 1024 * 1024;

/** UTF-16 units of one event at most. */
const MAX_EVENT = 1024 * 1024;

/** How the lines of a stream begin. An "error" is llama.cpp's, of older versions. */
const FIELDS = ["data", "event", "id", "retry", "error", ":"];
const LONGEST_FIELD = Math.max(...FIELDS.map(({ length }) => length));

/** @returns false: it was no piece of an answer */
type OnData = (data: string, event: string | undefined) => boolean;

export class AnswerReader {
  readonly #onData: OnData;
  readonly #decoder = new TextDecoder();
  readonly #parser: EventSourceParser;
  #isEvents: boolean | null = null;
  /** Of a body that is read as a whole, and of the first bytes of any. */
  #text = "";

  /** @param onData called for each event, and for the object of an answer that is one */
  constructor(onData: OnData) {
    this.#onData = onData;
    this.#parser = parserOf(onData);
  }

  /** The content so far of a body that is not made of events. */
  get text(): string {
    return this.#text;
  }

  /** @returns false: it is too long for what it is @throws {UpstreamError} an event is too long; what `onData` throws */
  add(chunk: Uint8Array): boolean {
    return this.#take(this.#decoder.decode(chunk, { stream: true }), false);
  }

  /**
   * The body has ended, with a last event that may lack the line behind it.
   * @returns false: it was neither events nor an object of an answer @throws what `onData` throws
   */
  end(): boolean {
    this.#take(this.#decoder.decode(), true);
    if (this.#isEvents === true) {
      this.#parser.feed("\n\n");
      return true;
    }
    if (this.#text.trim() === "") return true;
    return isObject(valueIn(this.#text)) && this.#onData(this.#text, undefined);
  }

  #take(text: string, isEnd: boolean): boolean {
    if (this.#isEvents === true) {
      this.#parser.feed(text);
      return true;
    }
    this.#text += text;
    if (this.#isEvents === null) {
      const start = this.#text.trimStart();
      if (!isEnd && start.length <= LONGEST_FIELD) return true;
      this.#isEvents = FIELDS.some((field) => start.startsWith(field));
      if (this.#isEvents) this.#parser.feed(this.#text);
      if (this.#isEvents) this.#text = "";
    }
    return this.#text.length <= (/^\s*\{/.test(this.#text) ? MAX_ANSWER : MAX_REFUSAL);
  }
}

function parserOf(onData: OnData): EventSourceParser {
  return createParser({
    onEvent: ({ data, event }) => void onData(data, event),
    onError: ({ type, field, value, line }) => {
      if (type === "max-buffer-size-exceeded")
        throw new UpstreamError(null, `it sent an event of more than ${MAX_EVENT} characters`);
      // The standard ignores both, but they say why no more comes.
      if (field === "error") onData(value ?? "", "error");
      else if (line !== undefined && line.startsWith("{") && isObject(valueIn(line))) onData(line, undefined);
    },
    maxBufferSize: MAX_EVENT,
  });
}

/** @param coding the value of `content-encoding` @throws {UpstreamError} the answer cannot be read */
export function refuseCompressed(coding: string | string[] | undefined): void {
  if (coding === undefined || String(coding).toLowerCase() === "identity") return;
  throw new UpstreamError(null, `it compressed its answer (${String(coding)}), for which it was not asked`);
}

/** Takes text in until it is too much. */
export class BoundedText {
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns whether there was room for it; what there was room for is kept either way */
  add(chunk: Buffer): boolean {
    const room = this.#limit - this.#bytes;
    this.#chunks.push(chunk.subarray(0, room));
    this.#bytes += Math.min(room, chunk.length);
    return chunk.length <= room;
  }

  toString(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
