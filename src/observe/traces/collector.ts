/** The way to a collector: OTLP over HTTP, in protocol buffers, tried again as the protocol has it. */
import type { Agent as HttpAgent, IncomingMessage } from "node:http";
import https from "node:https";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { http } from "../../common/node-http.ts";
import { retryAfterIn } from "../../common/network-words.ts";
import { VERSION } from "../../common/version.ts";
import { messageOf } from "../../errors.ts";
import type { CollectorSettings } from "./settings.ts";

/** Those that the protocol lets a client try again. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** Milliseconds before the second try; each pause is longer than the one before by that factor, and differs at random by that share. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 5000;
const FACTOR = 1.5;
const JITTER = 0.2;
/** Bytes of an answer that are read; then the connection is cut. */
const MOST_ANSWER = 2 ** 20;

const zipped = promisify(gzip);

/** The outcome of one try. */
interface Tried {
  /** Why it was in vain; null: it was not. */
  readonly failure: string | null;
  /** Milliseconds until another try has sense, as the collector says; undefined: it says nothing; null: none has. */
  readonly again?: number | undefined | null;
}

export class Collector {
  readonly #settings: CollectorSettings;
  readonly #agent: HttpAgent;
  readonly #request: typeof http.request;
  readonly #headers: Readonly<Record<string, string>>;
  /** Aborts when nothing is to be tried again. */
  readonly #patience = new AbortController();

  constructor(settings: CollectorSettings) {
    this.#settings = settings;
    const isSecure = settings.url.protocol === "https:";
    this.#request = isSecure ? https.request : http.request;
    this.#agent = isSecure
      ? new https.Agent({ keepAlive: true, ...settings.tls })
      : new http.Agent({ keepAlive: true });
    this.#headers = {
      "user-agent": `alt-las/${VERSION}`,
      ...settings.headers,
      "content-type": "application/x-protobuf",
      ...(settings.gzip && { "content-encoding": "gzip" }),
    };
  }

  /** @param message an `ExportTraceServiceRequest` @returns why it was not taken; null: it was. Never rejects */
  async send(message: Uint8Array): Promise<string | null> {
    const until = performance.now() + this.#settings.timeout;
    const body = this.#settings.gzip ? await zipped(message) : message;
    for (let usual = FIRST_PAUSE; ; usual *= FACTOR) {
      const { failure, again } = await this.#try(body, until - performance.now());
      if (failure === null || again === null) return failure;
      const wait = again ?? Math.min(usual, LONGEST_PAUSE) * (1 + JITTER * (2 * Math.random() - 1));
      if (performance.now() + wait > until || this.#patience.signal.aborted) return failure;
      await pause(wait, undefined, { signal: this.#patience.signal, ref: false }).catch(() => undefined);
    }
  }

  /** A message that has failed is not waited for any more. */
  hurry(): void {
    this.#patience.abort();
  }

  /** Cuts what is under way. */
  close(): void {
    this.#agent.destroy();
  }

  async #try(body: Uint8Array, timeout: number): Promise<Tried> {
    try {
      const answer = await this.#post(body, AbortSignal.timeout(Math.max(0, Math.ceil(timeout))));
      const { statusCode: status = 0, headers } = answer;
      if (status >= 200 && status < 300) return { failure: null };
      const failure = `the collector answered ${status}`;
      if (!RETRYABLE.has(status)) return { failure, again: null };
      const seconds = retryAfterIn(headers);
      return { failure, again: seconds === undefined ? undefined : seconds * 1000 };
    } catch (error) {
      return { failure: messageOf(error) };
    }
  }

  /** Resolves when all of the answer is here, as the connection is used again. */
  #post(body: Uint8Array, signal: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const headers = { ...this.#headers, "content-length": body.length };
    const request = this.#request(this.#settings.url, { method: "POST", agent: this.#agent, headers, signal });
    request.once("error", reject).once("response", (answer) => {
      let size = 0;
      answer.on("data", (piece: Buffer) => {
        size += piece.length;
        if (size > MOST_ANSWER) answer.destroy(new Error("its answer has no end"));
      });
      answer.once("error", reject).once("end", () => {
        // An answer may come before all was sent, and the memory of what is left is needed until then.
        if (request.writableFinished) resolve(answer);
        else request.once("finish", () => resolve(answer));
      });
    });
    request.end(body);
    return promise;
  }
}
