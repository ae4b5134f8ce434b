/**
 * The HTTP client of engines that ask a server: answers as a whole, and answers that stream as server-sent events.
 *
 * It keeps connections and uses them again, one request at a time on each, unless it is told not to; it follows no redirects, and waits
 * for nothing without end. It does not try again by itself: who asks knows what may be asked twice.
 */
import { getCACertificates } from "node:tls";
import type * as Undici from "undici";
import { codeOf, retryAfterIn, SAID_OF, UNREACHED } from "../../common/network-words.ts";
import { messageOf } from "../../errors.ts";
import { AnswerReader, BoundedText, MAX_ANSWER, MAX_REFUSAL, refuseCompressed } from "./answer-reader.ts";
import type { Patience } from "../engine.ts";
import type { Describing, ExchangeParts, UpstreamHeaders } from "./exchange-parts.ts";
import { LARGE, Pace } from "./pace.ts";
import { SpareConnection } from "./spare-connection.ts";
import { taskHeaders } from "./task-headers.ts";
import { buildConnector, Client, Pool } from "./undici.ts";
import { UpstreamError } from "./upstream-error.ts";
import { codeIn, saidOfParser, wordsIn } from "./upstream-words.ts";

export { sentenceOf, UpstreamError } from "./upstream-error.ts";
export { type UpstreamHeaders } from "./exchange-parts.ts";

/** Where a server is, and what every request to it carries. */
export interface UpstreamAddress {
  /** Like `http://10.0.0.5:8000`; a path in it stands before that of every request. */
  readonly url: string;
  /** Path of the Unix socket it listens on; null: the URL's host and port. */
  readonly socketPath: string | null;
  /** The value of `authorization` is kept out of every sentence. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface AskOptions {
  readonly signal?: AbortSignal;
  /** Seconds until the answer has to be there as a whole; else `patience.firstByte`. */
  readonly timeout?: number;
}

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
   * the patience until the next one is not renewed. An error thrown by it ends the stream, and `stream` rejects with it.
   */
  readonly onData: (data: string, event: string | undefined) => boolean | void;
  /** Whether the answer is complete: then the rest has a short grace in all. Asked behind each event; absent: that never shows. */
  readonly isComplete?: () => boolean;
  /**
   * Whether nothing more is wanted, so that `stream` resolves; asked behind each event. "ended": what still comes is passed over, and the
   * connection is used again behind it; "cut": the request is broken off. Absent: all is wanted.
   */
  readonly enough?: () => "ended" | "cut" | null;
}

/** Seconds that a stream has for what comes behind a complete answer: the figures of its tokens, and its end. */
const GRACE = 2;

/** Seconds that connecting may take. */
const CONNECT_TIMEOUT = 10;

/** Connections that are kept where each costs the server a thread. */
const FEW_CONNECTIONS = 2;

/** Characters of a server's words that a sentence has room for. */
const MAX_WORDS = 300;

export class Upstream {
  readonly #origin: string;
  readonly #connection: Undici.Client.Options & { readonly connect: Undici.buildConnector.BuildOptions };
  #pool: Undici.Pool;
  /** The connections that have one stream each; null: streams too use those of the pool, again and again. */
  #streams: Set<Undici.Client> | null = null;
  /** The connection of the next stream; null: there is none before it is needed. */
  #spare: SpareConnection | null = null;
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #patience: Patience;
  readonly #secrets: readonly string[];
  readonly #pace = new Pace();
  #isClosed = false;

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
   * Asks with POST for a stream of events; resolves when it has ended. An answer as one object in JSON is taken for one event.
   * @throws {UpstreamError} when it is refused, breaks off, or takes longer to its first event or between two events than the patience
   *   allows, or does not end in time behind a complete answer; the reason of `signal`, when that aborts, at once
   */
  async stream(path: string, body: unknown, { signal, onData, isComplete, enough }: StreamOptions): Promise<void> {
    const refusal = new BoundedText(MAX_REFUSAL);
    let head: Omit<UpstreamAnswer, "body"> | undefined;
    let exchange: Exchange | undefined;
    const reader = new AnswerReader((data, event) => {
      // A request that one event aborted must not hear the next, which may have come with it.
      if (exchange!.hasFailed || exchange!.isLeft) return true;
      const isWork = onData(data, event) !== false;
      if (isComplete?.() === true) exchange!.isOnlyToEnd();
      else if (isWork) exchange!.gotOn();
      const end = enough?.() ?? null;
      if (end !== null) exchange!.leave(end === "cut");
      return isWork;
    });
    exchange = this.#start("POST", path, body, {
      isStream: true,
      signal,
      patience: this.#patience,
      onStart: (status, headers) => {
        head = { status, headers };
        refuseCompressed(headers["content-encoding"]);
        // Not before: the server has work to do for this one.
        this.#spare?.prepare();
      },
      onChunk: (chunk) => {
        const isAnswer = head!.status === 200;
        if (isAnswer ? reader.add(chunk) : refusal.add(chunk)) return;
        throw this.refusal({ ...head!, body: isAnswer ? reader.text : refusal.toString() });
      },
    });
    await exchange.ended;
    if (exchange.isLeft) return;
    if (head!.status !== 200) throw this.refusal({ ...head!, body: refusal.toString() });
    try {
      if (reader.end()) return;
    } catch (error) {
      throw this.#cleaned(error as Error);
    }
    throw this.refusal({ ...head!, body: reader.text });
  }

  /** The message of an answer that is not the expected one. */
  refusal({ status, headers, body }: UpstreamAnswer): UpstreamError {
    const location = headers.location;
    const redirects = status >= 300 && status < 400 && location !== undefined;
    const words = redirects ? `it redirects to ${String(location)}, which is not followed` : wordsIn(body);
    return new UpstreamError(status, this.#clean(words), { code: codeIn(body), retryAfter: retryAfterIn(headers) });
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

  /** Whether `close` was called: what fails now fails for that. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Ends everything that is going on. Calling it twice is harmless. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#spare?.close();
    await Promise.all([...(this.#streams ?? [])].map((client) => client.destroy()));
    if (!this.#pool.destroyed) await this.#pool.destroy();
  }

  async #exchange(method: "GET" | "POST", path: string, body: unknown, parts: ExchangeParts): Promise<void> {
    await this.#start(method, path, body, parts).ended;
  }

  #start(method: "GET" | "POST", path: string, body: unknown, parts: ExchangeParts): Exchange {
    const exchange = new Exchange(parts, {
      ofConnection: (error) => this.#failure(error),
      ofAnswer: (error) => this.#cleaned(error),
      pace: this.#pace,
    });
    const json = body !== undefined && { "content-type": "application/json" };
    const headers = { ...taskHeaders(), ...this.#headers, ...json };
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

  #dispatchAlone(clients: Set<Undici.Client>, request: Undici.Dispatcher.DispatchOptions, exchange: Exchange): void {
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

  /** An answer's failure, in words that can be told. */
  #cleaned(error: Error): Error {
    if (!(error instanceof UpstreamError)) return error;
    const { status, words, ...options } = error;
    return new UpstreamError(status, this.#clean(words), options);
  }

  /** Shortened to what a sentence has room for, in one line, without what must not be told. */
  #clean(words: string): string {
    const line = words.replace(/[\s\p{Cc}]+/gu, " ").trim();
    const clean = this.#secrets.reduce((text, secret) => text.replaceAll(secret, "…"), line);
    return clean.length > MAX_WORDS ? `${clean.slice(0, MAX_WORDS)}…` : clean;
  }
}

/** One request and its answer, with the time it may take. It ends once, and at once when it is aborted. */
class Exchange implements Undici.Dispatcher.DispatchHandler {
  /** Resolves with the end of the answer. */
  readonly ended: Promise<void>;
  readonly #settled = Promise.withResolvers<void>();
  readonly #parts: ExchangeParts;
  readonly #describe: Describing;
  readonly #abort = (): void => this.#fail(this.#parts.signal!.reason as Error);
  #controller: Undici.Dispatcher.DispatchController | undefined;
  #timer: NodeJS.Timeout;
  #accepted = false;
  #gotOn = false;
  #isOnlyToEnd = false;
  #hasEnded = false;
  /** Nobody wants what still comes. */
  isLeft = false;
  /** Why it ended before its end. */
  #failure: Error | undefined;

  constructor(parts: ExchangeParts, describing: Describing) {
    const { signal, patience } = parts;
    this.#parts = parts;
    this.#describe = describing;
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
    // The last event of an answer may be read behind its end.
    if (this.#hasEnded) return;
    if (this.#gotOn) return void this.#timer.refresh();
    this.#gotOn = true;
    clearTimeout(this.#timer);
    const { token } = this.#parts.patience;
    this.#timer = setTimeout(() => this.#tooLate("the next piece of its answer", token), token * 1000);
  }

  /** The answer is complete. Nothing that comes now gives it more time. */
  isOnlyToEnd(): void {
    if (this.#hasEnded || this.#isOnlyToEnd) return;
    this.#isOnlyToEnd = true;
    clearTimeout(this.#timer);
    const grace = Math.min(GRACE, this.#parts.patience.token);
    this.#timer = setTimeout(() => this.#tooLate("the end of its answer", grace), grace * 1000);
  }

  /** Resolves `ended`. @param cut whether the rest is broken off; else it has the grace of what is only to end */
  leave(cut: boolean): void {
    this.isLeft = true;
    this.#settled.resolve();
    if (cut) this.#fail(new UpstreamError(null, "nothing more of its answer is wanted"));
    else this.isOnlyToEnd();
  }

  onRequestStart(controller: Undici.Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#failure !== undefined) controller.abort(this.#failure);
  }

  onResponseStart(_controller: Undici.Dispatcher.DispatchController, status: number, headers: UpstreamHeaders): void {
    this.#accepted = status === 200;
    if (status >= 200) this.#try(() => this.#parts.onStart(status, headers));
  }

  onResponseData(controller: Undici.Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.hasFailed) return;
    if (chunk.length < LARGE) this.#try(() => this.#parts.onChunk(chunk));
    else this.#describe.pace.take(controller, () => this.#try(() => this.#parts.onChunk(chunk)));
  }

  onResponseEnd(): void {
    this.#release();
    this.#settled.resolve();
  }

  onResponseError(_controller: Undici.Dispatcher.DispatchController, error: Error): void {
    this.#release();
    this.#settled.reject(this.#failure ?? this.#describe.ofConnection(error));
  }

  /** An error thrown inside undici's own calls would be lost there. */
  #try(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#fail(this.#describe.ofAnswer(error as Error));
    }
  }

  #tooLate(what: string, seconds: number): void {
    const isLate = this.#accepted && !this.#gotOn && !this.#isOnlyToEnd;
    this.#fail(new UpstreamError(null, `it did not send ${what} within ${seconds} s`, { isLate }));
  }

  /** Waiting readers are told at once, however long the connection takes to close. */
  #fail(error: Error): void {
    if (this.hasFailed) return;
    this.#failure = error;
    this.#release();
    this.#settled.reject(error);
    this.#controller?.abort(error);
  }

  #release(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#parts.signal?.removeEventListener("abort", this.#abort);
  }
}
