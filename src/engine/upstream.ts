/**
 * The HTTP client of engines that ask a server: answers as a whole, and answers that stream as server-sent events.
 *
 * It keeps connections and uses them again, one request at a time on each, unless it is told not to; it follows no redirects, and waits
 * for nothing without end. It does not try again by itself: who asks knows what may be asked twice.
 */
import { getCACertificates } from "node:tls";
import { createParser, type EventSourceParser } from "eventsource-parser";
import { buildConnector, Client, type Dispatcher, errors, Pool } from "undici";
import { wallTime } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { type Patience } from "./engine.ts";
import { SpareConnection } from "./spare-connection.ts";

/** Where a server is, and what every request to it carries. */
export interface UpstreamAddress {
  /** Like `http://10.0.0.5:8000`; a path in it stands before that of every request. */
  readonly url: string;
  /** Path of the Unix socket it listens on; null: the URL's host and port. */
  readonly socketPath: string | null;
  /** What `authorization` says is kept out of every sentence. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface AskOptions {
  readonly signal?: AbortSignal;
  /** Seconds until the answer has to be there as a whole; else `patience.firstByte`. */
  readonly timeout?: number;
}

export type UpstreamHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** An answer as it came, whatever its status. */
export interface UpstreamAnswer {
  readonly status: number;
  readonly headers: UpstreamHeaders;
  readonly body: string;
}

export interface StreamOptions {
  readonly signal: AbortSignal;
  /**
   * Called for each event at once, with its data and its name, if it has one. It may return `false`: that was no piece of the answer, so
   * the patience until the next one is not renewed. What it throws ends the stream, and is what `stream` rejects with.
   */
  readonly onData: (data: string, event: string | undefined) => boolean | void;
}

/** Why a server gave no answer, or not the one that was asked for. */
export class UpstreamError extends Error {
  /** That it answered with; null: it did not get that far, or broke off. */
  readonly status: number | null;
  /** Seconds, as it said itself. */
  readonly retryAfter: number | undefined;
  /** Its own words, or what went wrong; part of a sentence. */
  readonly words: string;
  /** Whether there was no way to it at all, so that it got to know of nothing. */
  readonly unreached: boolean;
  /** Whether it had begun its answer, and took too long with the first piece of it. */
  readonly isLate: boolean;

  constructor(
    status: number | null,
    words: string,
    options: { retryAfter?: number | undefined; unreached?: boolean; isLate?: boolean; cause?: unknown } = {},
  ) {
    super(status === null ? words : `HTTP ${status}: ${words}`, { cause: options.cause });
    this.name = "UpstreamError";
    this.status = status;
    this.retryAfter = options.retryAfter;
    this.words = words;
    this.unreached = options.unreached ?? false;
    this.isLate = options.isLate ?? false;
  }
}

/** A server's words, which may lack their full stop. */
export function sentenceOf(words: string): string {
  return /[.!?…]$/.test(words) ? words : `${words}.`;
}

/** Seconds that connecting may take. */
const CONNECT_TIMEOUT = 10;

/** Bytes that are read of a refusal, and of an answer as a whole; one that is longer is no answer to anything that is asked here. */
const MAX_REFUSAL = 64 * 1024;
const MAX_ANSWER = 8 * 1024 * 1024;

/** UTF-16 units of one event at most. */
const MAX_EVENT = 1024 * 1024;

/** Seconds for which a server may ask to be left alone. */
const LONGEST_PAUSE = 3600;

/** Connections that are kept where each costs the server a thread. */
const FEW_CONNECTIONS = 2;

/** Characters of a server's words that a sentence has room for. */
const MAX_WORDS = 300;

export class Upstream {
  readonly #origin: string;
  readonly #connection: Client.Options & { readonly connect: buildConnector.BuildOptions };
  #pool: Pool;
  /** The connections that have one stream each; null: streams too use those of the pool, again and again. */
  #streams: Set<Client> | null = null;
  /** The connection of the next stream; null: there is none before it is needed. */
  #spare: SpareConnection | null = null;
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #patience: Patience;
  readonly #secrets: readonly string[];

  /** @throws {TypeError} when the URL is not one for HTTP */
  constructor({ url, socketPath, headers }: UpstreamAddress, patience: Patience) {
    const { origin, pathname, protocol } = new URL(url);
    if (protocol !== "http:" && protocol !== "https:") throw new TypeError("only http and https can be spoken");
    this.#base = pathname.replace(/\/+$/, "");
    this.#headers = headers;
    this.#patience = patience;
    // The key of `Bearer key`.
    this.#secrets = Object.entries(headers)
      .filter(([name]) => name.toLowerCase() === "authorization")
      .map(([, value]) => value.split(" ").at(-1)!);
    this.#origin = origin;
    this.#connection = {
      connect: {
        timeout: Math.min(CONNECT_TIMEOUT, patience.firstByte) * 1000,
        ...(socketPath !== null && { socketPath }),
        // A company's own authority is known to the system, not to Node.
        ...(protocol === "https:" && { ca: [...getCACertificates("default"), ...getCACertificates("system")] }),
      },
      // Exchange counts the time itself: comments that only keep a connection alive are no progress.
      headersTimeout: 0,
      bodyTimeout: 0,
    };
    this.#pool = new Pool(origin, this.#connection);
  }

  /**
   * Asks for an answer as a whole. @param body sent as JSON; undefined: none
   * @throws {UpstreamError} when none came; the reason of `signal`, when that aborts
   */
  async ask(method: "GET" | "POST", path: string, body?: unknown, options: AskOptions = {}): Promise<UpstreamAnswer> {
    const text = new BoundedText(MAX_ANSWER);
    let answer: Omit<UpstreamAnswer, "body"> | undefined;
    await this.#exchange(method, path, body, {
      signal: options.signal,
      patience: options.timeout === undefined ? this.#patience : { ...this.#patience, firstByte: options.timeout },
      onStart: (status, headers) => void (answer = { status, headers }),
      onChunk: (chunk) => {
        if (!text.add(chunk)) throw new UpstreamError(null, `it answered with more than ${MAX_ANSWER} bytes`);
      },
    });
    return { ...answer!, body: text.toString() };
  }

  /**
   * Asks with POST for a stream of events; resolves when it has ended.
   * @throws {UpstreamError} when it is refused, breaks off, or takes longer to its first event or between two events than the patience
   *   allows; the reason of `signal`, when that aborts, at once
   */
  async stream(path: string, body: unknown, { signal, onData }: StreamOptions): Promise<void> {
    const refusal = new BoundedText(MAX_REFUSAL);
    let refused: Omit<UpstreamAnswer, "body"> | undefined;
    let exchange: Exchange | undefined;
    const parser = parserOf((data, event) => {
      // What was aborted by one event has no ear for the next, which may have come with it.
      if (!exchange!.hasFailed && onData(data, event) !== false) exchange!.gotOn();
    });
    const decoder = new TextDecoder();
    exchange = this.#start("POST", path, body, {
      isStream: true,
      signal,
      patience: this.#patience,
      onStart: (status, headers) => {
        if (status !== 200 || !isEventStream(headers)) refused = { status, headers };
        // Not before: the server has work to do for this one.
        this.#spare?.prepare();
      },
      onChunk: (chunk) => {
        if (refused === undefined) parser.feed(decoder.decode(chunk, { stream: true }));
        else if (!refusal.add(chunk)) throw this.refusal({ ...refused, body: refusal.toString() });
      },
    });
    await exchange.ended;
    if (refused !== undefined) throw this.refusal({ ...refused, body: refusal.toString() });
  }

  /** What an answer says that is not the one that was wanted. */
  refusal({ status, headers, body }: UpstreamAnswer): UpstreamError {
    const location = headers.location;
    const redirects = status >= 300 && status < 400 && location !== undefined;
    const words = redirects ? `it redirects to ${String(location)}, which is not followed` : wordsIn(body);
    return new UpstreamError(status, this.#clean(words), { retryAfter: secondsOf(headers["retry-after"]) });
  }

  /**
   * From now on each stream has a connection of its own, and few are kept for the rest. For servers that keep a thread waiting at each
   * connection, and close it behind a stream without having said so.
   * @param most streams; while there are some and fewer than that, the next one's connection is opened ahead. 0: none is
   */
  separateStreams(most = 0): void {
    void this.#pool.close();
    this.#pool = new Pool(this.#origin, { ...this.#connection, connections: FEW_CONNECTIONS });
    const streams = (this.#streams ??= new Set());
    if (most === 0) return;
    this.#spare = new SpareConnection(
      buildConnector(this.#connection.connect),
      () => streams.size > 0 && streams.size < most,
    );
  }

  /** Ends everything that is going on. Calling it twice is harmless. */
  async close(): Promise<void> {
    this.#spare?.close();
    await Promise.all([...(this.#streams ?? [])].map((client) => client.destroy()));
    if (!this.#pool.destroyed) await this.#pool.destroy();
  }

  async #exchange(method: "GET" | "POST", path: string, body: unknown, parts: ExchangeParts): Promise<void> {
    await this.#start(method, path, body, parts).ended;
  }

  #start(method: "GET" | "POST", path: string, body: unknown, parts: ExchangeParts): Exchange {
    const exchange = new Exchange(parts, (error) => this.#failure(error));
    const headers = { ...this.#headers, ...(body !== undefined && { "content-type": "application/json" }) };
    const request = {
      method,
      path: this.#base + path,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    };
    if (this.#streams === null || !parts.isStream) this.#pool.dispatch(request, exchange);
    else this.#dispatchAlone(this.#streams, request, exchange);
    return exchange;
  }

  #dispatchAlone(clients: Set<Client>, request: Dispatcher.DispatchOptions, exchange: Exchange): void {
    const spare = this.#spare;
    const client = new Client(this.#origin, { ...this.#connection, ...(spare !== null && { connect: spare.connect }) });
    const close = (): void => {
      clients.delete(client);
      void client.destroy();
      spare?.prepare();
    };
    clients.add(client);
    client.dispatch({ ...request, reset: true }, exchange);
    void exchange.ended.then(close, close);
  }

  #failure(error: Error): UpstreamError {
    const code = codeOf(error);
    const words = this.#clean(SAID_OF[code] ?? (saidOfParser(error) || messageOf(error)));
    return new UpstreamError(null, words, { unreached: UNREACHED.has(code), cause: error });
  }

  /** Shortened to what a sentence has room for, without what must not be told. */
  #clean(words: string): string {
    const clean = this.#secrets.reduce((text, secret) => text.replaceAll(secret, "…"), words);
    return clean.length > MAX_WORDS ? `${clean.slice(0, MAX_WORDS)}…` : clean;
  }
}

interface ExchangeParts {
  readonly isStream?: boolean;
  readonly signal: AbortSignal | undefined;
  readonly patience: Patience;
  readonly onStart: (status: number, headers: UpstreamHeaders) => void;
  readonly onChunk: (chunk: Buffer) => void;
}

/** One request and its answer, with the time it may take. It ends once, and at once when it is aborted. */
class Exchange implements Dispatcher.DispatchHandler {
  /** Resolves with the end of the answer. */
  readonly ended: Promise<void>;
  readonly #settled = Promise.withResolvers<void>();
  readonly #parts: ExchangeParts;
  readonly #describe: (error: Error) => UpstreamError;
  readonly #abort = (): void => this.#fail(this.#parts.signal!.reason as Error);
  #controller: Dispatcher.DispatchController | undefined;
  #timer: NodeJS.Timeout;
  #accepted = false;
  #gotOn = false;
  /** Why it ended before its end. */
  #failure: Error | undefined;

  constructor(parts: ExchangeParts, describeError: (error: Error) => UpstreamError) {
    const { signal, patience } = parts;
    this.#parts = parts;
    this.#describe = describeError;
    this.ended = this.#settled.promise;
    this.#timer = setTimeout(() => this.#tooLate("its answer", patience.firstByte), patience.firstByte * 1000);
    if (signal?.aborted) this.#abort();
    else signal?.addEventListener("abort", this.#abort, { once: true });
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** The answer has come a piece further; the next one has to come in time too. */
  gotOn(): void {
    if (this.hasFailed) return;
    if (this.#gotOn) return void this.#timer.refresh();
    this.#gotOn = true;
    clearTimeout(this.#timer);
    const { token } = this.#parts.patience;
    this.#timer = setTimeout(() => this.#tooLate("the next piece of its answer", token), token * 1000);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failure !== undefined) controller.abort(this.#failure);
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: UpstreamHeaders): void {
    this.#accepted = status === 200;
    if (status >= 200) this.#parts.onStart(status, headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.hasFailed) return;
    try {
      this.#parts.onChunk(chunk);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  onResponseEnd(): void {
    this.#release();
    this.#settled.resolve();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#release();
    this.#settled.reject(this.#failure ?? this.#describe(error));
  }

  #tooLate(what: string, seconds: number): void {
    const isLate = this.#accepted && !this.#gotOn;
    this.#fail(new UpstreamError(null, `it did not send ${what} within ${seconds} s`, { isLate }));
  }

  /** Whoever waits is told at once, however long the connection takes to close. */
  #fail(error: Error): void {
    if (this.hasFailed) return;
    this.#failure = error;
    this.#release();
    this.#settled.reject(error);
    this.#controller?.abort(error);
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#parts.signal?.removeEventListener("abort", this.#abort);
  }
}

/** Takes text in until it is too much. */
class BoundedText {
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

function parserOf(onData: (data: string, event: string | undefined) => void): EventSourceParser {
  return createParser({
    onEvent: ({ data, event }) => onData(data, event),
    onError: (error) => {
      if (error.type !== "max-buffer-size-exceeded") return;
      throw new UpstreamError(null, `it sent an event of more than ${MAX_EVENT} characters`);
    },
    maxBufferSize: MAX_EVENT,
  });
}

function isEventStream({ "content-type": type }: UpstreamHeaders): boolean {
  return String(type).toLowerCase().startsWith("text/event-stream");
}

/** What a body says to a person: the message of a JSON error, in any of the shapes that servers use, or the text of a page. */
function wordsIn(body: string): string {
  const said = messageIn(parsed(body)) ?? body.replace(/<(script|style)[^]*?<\/\1>|<[^>]*>/gi, " ");
  return said.replace(/\s+/g, " ").trim() || "nothing";
}

/** OpenAI, vLLM and llama-server: `error.message`; TGI, Ollama and ALT_LAS: `error`; FastAPI: `detail`; others: `message`. */
function messageIn(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((one) => messageIn(one) ?? "").join("; ");
  if (value === null || typeof value !== "object") return undefined;
  const { error, message, detail, msg } = value as Record<string, unknown>;
  return messageIn(error ?? message ?? detail ?? msg);
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

/** `Retry-After` in seconds from now, an hour at most; it may also be a date (RFC 9110, 10.2.3). */
function secondsOf(value: string | string[] | undefined): number | undefined {
  if (value === undefined) return undefined;
  const text = String(value).trim();
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : (Date.parse(text) - wallTime()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(0, seconds), LONGEST_PAUSE);
}

/** What the system says, or undici; "" when neither has a code for it. */
function codeOf(error: Error): string {
  // Of a name with several addresses.
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0] as Error);
  return String((error as NodeJS.ErrnoException).code ?? "");
}

const UNREACHED = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/** "": it is not the parser's. */
function saidOfParser(error: Error): string {
  if (!(error instanceof errors.HTTPParserError)) return "";
  // Nothing came that it could have stumbled over: the end came too early.
  return "data" in error && error.data === "" ? SAID_OF.ECONNRESET! : "what it sends is not HTTP";
}

const SAID_OF: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  EHOSTUNREACH: "there is no way to that host",
  ENETUNREACH: "there is no way to that network",
  ENOENT: "its socket is not there",
  ENOTFOUND: "the name of its host is not known",
  EAI_AGAIN: "the name of its host could not be looked up",
  UND_ERR_CONNECT_TIMEOUT: "no connection came about in time",
  ECONNRESET: "it closed the connection",
  EPIPE: "it closed the connection",
  UND_ERR_SOCKET: "it closed the connection",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is signed by nobody who is trusted here",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is signed by nobody who is trusted here",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is signed by nobody who is trusted here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is signed by nobody who is trusted here",
  CERT_HAS_EXPIRED: "its certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak HTTPS",
};
