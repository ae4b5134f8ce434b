/** HTTP: credentials, failures, and trying again. */
import { AltLasError } from "./errors.ts";
import { Patience } from "./patience.ts";

/** The oldest server that this client can use. */
export const OLDEST_SERVER = "0.2.0";

/** Seconds in which an answer to one try has to come. */
const ANSWER_SECONDS = 120;
/** Failures that an older server may answer to what it does not know. */
const MAYBE_TOO_OLD = new Set([400, 404, 405]);
const TEMPORARY = new Set([408, 429, 502, 503, 504]);

export interface TransportOptions {
  readonly url: string;
  readonly apiKey: string;
  readonly retrySeconds: number;
  readonly fetch: typeof fetch;
}

export interface Call {
  readonly method?: string;
  /** Below /api/v1. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Seconds in which the answer to one try has to begin. */
  readonly seconds?: number;
  /** Called when the server may have done what a try asked for, and its answer is lost. What it throws ends the call. */
  readonly onLost?: (failure: AltLasError) => void;
}

export class Transport {
  readonly url: string;
  readonly retrySeconds: number;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #fetch: typeof fetch;
  #isNewEnough = false;

  /** @throws {TypeError} the address is none of HTTP, or the key cannot be one */
  constructor({ url, apiKey, retrySeconds, fetch: send }: TransportOptions) {
    if (!/^https?:\/\/[^/]/.test(url))
      throw new TypeError(
        `url must begin with http:// or https://, like http://127.0.0.1:8642; got ${JSON.stringify(url)}.`,
      );
    // A key of a file ends with its line. One that was copied from where it is shortened ends with an ellipsis.
    const key = String(apiKey).trim();
    if (/[^\x20-\x7e]/.test(key))
      throw new TypeError("apiKey must be printable ASCII characters; got others, as of a key that was shortened.");
    this.url = url.replace(/\/+$/, "");
    this.retrySeconds = retrySeconds;
    this.#headers = { authorization: `Bearer ${key}` };
    // Called as a method of something else, a browser's own would refuse.
    this.#fetch = (...args) => send(...args);
  }

  /** The JSON that answers a call, which is sent until it is answered. @throws {AltLasError} */
  async json<Answer>(call: Call): Promise<Answer> {
    const patience = new Patience(this.retrySeconds, call.signal);
    for (;;) {
      try {
        return await this.once<Answer>(call);
      } catch (error) {
        if (isLost(error)) call.onLost?.(error);
        await patience.after(error);
      }
    }
  }

  /** The JSON that answers a single try. @throws {AltLasError} */
  async once<Answer>(call: Call): Promise<Answer> {
    const response = await this.open(call);
    const text = await this.#read(response, call.signal);
    return this.#parsed(text, response) as Answer;
  }

  /** A successful answer to a single try, whose body is not read yet. @throws {AltLasError} */
  async open(call: Call): Promise<Response> {
    const response = await this.#send(`${this.url}/api/v1${call.path}`, call);
    if (response.ok) return response;
    const failure = await this.#failureOf(response, call.signal);
    if (MAYBE_TOO_OLD.has(response.status)) await this.#refuseOld(failure, call.signal);
    throw failure;
  }

  async #send(
    url: string,
    { method = "GET", body, headers, signal, seconds = ANSWER_SECONDS }: Call,
  ): Promise<Response> {
    const request = {
      method,
      headers: { ...this.#headers, ...(body !== undefined && { "content-type": "application/json" }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    };
    // A request that cannot be made is the program's mistake, which no other try mends; fetch would tell it like a cut connection.
    void new Request(url, request);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`no answer within ${seconds} seconds`)), seconds * 1000);
    try {
      return await this.#fetch(url, {
        ...request,
        signal: signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]),
        redirect: "manual",
      });
    } catch (cause) {
      throw this.#cut(cause, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(response: Response, signal: AbortSignal | undefined): Promise<string> {
    try {
      return await response.text();
    } catch (cause) {
      throw this.#cut(cause, signal);
    }
  }

  #cut(cause: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted === true) return signal.reason;
    const sentence = `No server answers at ${this.url}: ${reasonOf(cause)}.`;
    return new AltLasError("no_connection", sentence, { isTemporary: true, cause });
  }

  #parsed(text: string, { headers }: Response): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      // A few routes have tables, too.
      const isTable = headers.get("content-type")?.startsWith("text/csv") === true;
      const why = isTable ? "sends text/csv, and this client reads JSON alone" : "is not ALT_LAS";
      throw new AltLasError("not_alt_las", `What answers at ${this.url} ${why}.`, { cause });
    }
  }

  async #failureOf(response: Response, signal: AbortSignal | undefined): Promise<AltLasError> {
    const { status, headers } = response;
    const text = await this.#read(response, signal);
    const said = failureIn(text);
    const retryAfter = secondsIn(headers.get("retry-after"));
    const facts = {
      status,
      ...(retryAfter !== null && { retryAfter }),
      ...(headers.has("x-request-id") && { requestId: headers.get("x-request-id")! }),
    };
    if (said === null) {
      const sentence = `What answers at ${this.url} is not ALT_LAS: it says ${status}.`;
      return new AltLasError("not_alt_las", sentence, { ...facts, isTemporary: TEMPORARY.has(status) });
    }
    return new AltLasError(said.code, said.error, {
      ...facts,
      ...(said.status !== undefined && { conflictStatus: said.status }),
      isTemporary: status === 429 || status === 503,
    });
  }

  /** @throws {AltLasError} `server_too_old` */
  async #refuseOld(cause: AltLasError, signal: AbortSignal | undefined): Promise<void> {
    if (this.#isNewEnough) return;
    const version = await this.version(signal).catch(() => null);
    signal?.throwIfAborted();
    this.#isNewEnough = version !== null && !isOlder(version, OLDEST_SERVER);
    if (this.#isNewEnough || version === null) return;
    const sentence = `This client needs ALT_LAS ${OLDEST_SERVER} or later; the server at ${this.url} is ${version}.`;
    throw new AltLasError("server_too_old", sentence, { cause });
  }

  /** The server's version. @throws {AltLasError} */
  async version(signal?: AbortSignal): Promise<string> {
    const response = await this.#send(`${this.url}/healthz`, { path: "", signal });
    // A server that is not ready says its version, too.
    const said = this.#parsed(await this.#read(response, signal), response);
    const { version } = Object(said) as { readonly version?: unknown };
    if (typeof version === "string") return version;
    throw new AltLasError("not_alt_las", `What answers at ${this.url} is not ALT_LAS.`);
  }
}

/** Whether a try may have done what it asked for: the server itself has not refused it. */
function isLost(error: unknown): error is AltLasError {
  return error instanceof AltLasError && (error.code === "no_connection" || error.code === "not_alt_las");
}

interface SaidFailure {
  readonly error: string;
  readonly code: string;
  readonly status?: string;
}

function failureIn(text: string): SaidFailure | null {
  try {
    const said = Object(JSON.parse(text)) as Partial<SaidFailure>;
    return typeof said.error === "string" && typeof said.code === "string" ? (said as SaidFailure) : null;
  } catch {
    return null;
  }
}

/** Seconds, or a date (RFC 9110). */
function secondsIn(header: string | null): number | null {
  if (header === null) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(0, seconds);
}

/** What fetch says is "fetch failed"; why, its cause says. */
function reasonOf(thrown: unknown): string {
  const { cause } = Object(thrown) as { readonly cause?: unknown };
  const told = cause instanceof Error && cause.message !== "" ? cause : thrown;
  return told instanceof Error ? told.message : String(told);
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((one) => one.split(/[.+-]/).slice(0, 3).map(Number));
  const at = a!.findIndex((part, index) => part !== b![index]);
  return at !== -1 && a![at]! < b![at]!;
}
