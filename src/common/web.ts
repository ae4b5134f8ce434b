/**
 * The HTTP client of fetches: proxies of the environment, the certificates of the system, redirects, and no wait without end.
 *
 * A key is sent to the host that was asked, and to no other one after a redirect: hubs send their clients on to storage of somebody else.
 */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { getCACertificates } from "node:tls";
import { buildConnector, EnvHttpProxyAgent, request } from "undici";
import { codeOf, retryAfterIn, SAID_OF, UNREACHED } from "./network-words.ts";
import { VERSION } from "./version.ts";
import { AltLasError, messageOf } from "../errors.ts";

/** How long to wait for servers, in milliseconds, and how often to ask them again. */
export interface Patience {
  /** For a connection, and for the first byte of an answer. */
  readonly answer: number;
  /** For the next byte of an answer. A server that is only slow is waited for. */
  readonly stall: number;
  /** For all of an answer that is read as a whole; its server is not asked again. */
  readonly document: number;
  /** Before a request is sent again; each pause is twice the one before. */
  readonly pause: number;
  /** For a server that asks with `Retry-After` to be left alone; one that asks for longer has failed. */
  readonly longestPause: number;
  /** How often a request is sent again when nothing has come since the last time. */
  readonly tries: number;
}

export const PATIENCE: Patience = {
  answer: 30_000,
  stall: 60_000,
  document: 120_000,
  pause: 1000,
  longestPause: 300_000,
  tries: 5,
};

/** Where no connection came about at all, few tries tell as much as many. */
const TRIES_UNREACHED = 2;
const MAX_REDIRECTS = 10;
/** Bytes of an answer that is read as a whole, and parsed while everything else waits. */
const MAX_DOCUMENT = 16 * 2 ** 20;

/** A failure that may be gone the next time. */
export class Setback extends Error {
  /** Milliseconds that the server asked to be left alone; undefined: it said nothing. */
  readonly retryAfter: number | undefined;
  /** Whether there was no way to the server at all. */
  readonly unreached: boolean;

  constructor(sentence: string, options: { retryAfter?: number | undefined; unreached?: boolean; cause?: unknown }) {
    super(sentence, { cause: options.cause });
    this.name = "Setback";
    this.retryAfter = options.retryAfter;
    this.unreached = options.unreached ?? false;
  }
}

export interface WebRequest {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The value of `Authorization`, for the host of `url` alone; null: none. */
  readonly authorization: string | null;
  readonly signal: AbortSignal;
}

/** An answer whose body has not been read yet. */
export interface WebAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Awaited<ReturnType<typeof request>>["body"];
  /** After redirects. */
  readonly url: string;
}

export class Web implements AsyncDisposable {
  readonly patience: Patience;
  readonly #agent: EnvHttpProxyAgent;

  /**
   * @param environment where proxies are named: `https_proxy`, `http_proxy`, `no_proxy`, in small letters or capitals
   * @param believed the path of a file with further certificates to believe; null: none
   */
  constructor(environment: NodeJS.ProcessEnv, patience = PATIENCE, believed: string | null = null) {
    this.patience = patience;
    const [httpProxy, httpsProxy, noProxy] = ["http_proxy", "https_proxy", "no_proxy"].map(
      (name) => environment[name] ?? environment[name.toUpperCase()] ?? "",
    );
    const timeout = patience.answer;
    const hasProxy = httpProxy !== "" || httpsProxy !== "";
    const tls = hasProxy && { ca: certificates(believed), timeout };
    const options = {
      httpProxy: httpProxy!,
      httpsProxy: httpsProxy!,
      noProxy: noProxy!,
      connect: connector(timeout, believed),
      ...(tls && { requestTls: tls, proxyTls: tls }),
      headersTimeout: patience.answer,
      bodyTimeout: patience.stall,
    };
    try {
      this.#agent = new EnvHttpProxyAgent(options);
    } catch (error) {
      // The value may have a password in it.
      const sentence = `http_proxy and https_proxy must be URLs like http://10.0.0.1:3128: ${messageOf(error)}.`;
      throw new AltLasError("bad_config", sentence, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Closing would wait for answers that nobody reads any more.
    await this.#agent.destroy();
  }

  /**
   * Asks once, and follows redirects.
   * @throws {Setback} there was no answer, or one that says "later"; the reason of `signal` when that aborts
   */
  async get({ url, headers, authorization, signal }: WebRequest): Promise<WebAnswer> {
    const { origin } = new URL(url);
    let at = new URL(url);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const answer = await this.#ask(at, signal, {
        "user-agent": `alt-las/${VERSION}`,
        // Ranges count bytes of what is sent.
        "accept-encoding": "identity",
        ...headers,
        ...(authorization !== null && at.origin === origin && { authorization }),
      });
      const { location } = answer.headers;
      if (answer.status < 300 || answer.status >= 400 || typeof location !== "string") return answer;
      await answer.body.dump();
      const next = URL.parse(location, at.href);
      if (next === null || !isFollowed(at, next)) {
        throw new AltLasError("model_fetch_failed", `${at.host} sent a redirect that is not followed.`);
      }
      at = next;
    }
    throw new AltLasError("model_fetch_failed", `${new URL(url).host} sent more than ${MAX_REDIRECTS} redirects.`);
  }

  /** A small answer as a whole, asked for again while that may help. @throws {AltLasError} `model_fetch_failed` */
  async text(what: WebRequest): Promise<{ readonly answer: WebAnswer; readonly text: string }> {
    return this.persist(what.signal, async () => {
      const tooLate = AbortSignal.timeout(this.patience.document);
      try {
        const answer = await this.get({ ...what, signal: AbortSignal.any([what.signal, tooLate]) });
        return { answer, text: await textOf(answer, what.signal) };
      } catch (error) {
        what.signal.throwIfAborted();
        if (!tooLate.aborted) throw error;
        const sentence = `${new URL(what.url).host} has not sent its answer within ${this.patience.document / 1000} s.`;
        throw new AltLasError("model_fetch_failed", sentence, { cause: error });
      }
    });
  }

  /**
   * Does something until it works, with pauses between the tries.
   * @param work throws a `Setback` where another try may help; `began` counts the tries anew, because something came
   * @throws {AltLasError} `model_fetch_failed` with the last setback, or whatever else `work` throws
   */
  async persist<T>(signal: AbortSignal, work: (began: () => void) => Promise<T>): Promise<T> {
    let tries = 0;
    for (;;) {
      try {
        return await work(() => (tries = 0));
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof Setback)) throw error;
        const wait = error.retryAfter ?? this.patience.pause * 2 ** tries;
        const most = error.unreached ? Math.min(TRIES_UNREACHED, this.patience.tries) : this.patience.tries;
        if (tries >= most || wait > this.patience.longestPause) {
          throw new AltLasError("model_fetch_failed", error.message, { cause: error });
        }
        tries += 1;
        await pause(wait, undefined, { signal });
      }
    }
  }

  async #ask(url: URL, signal: AbortSignal, headers: Readonly<Record<string, string>>): Promise<WebAnswer> {
    let answer: Awaited<ReturnType<typeof request>>;
    try {
      answer = await request(url, { dispatcher: this.#agent, signal, headers });
    } catch (error) {
      throw setbackOf(error, url, signal);
    }
    const { statusCode: status, body } = answer;
    // Where nobody reads it to its end, its failure is nobody's.
    body.on("error", () => {});
    if (status === 408 || status === 429 || status >= 500) {
      await body.dump();
      const seconds = retryAfterIn(answer.headers);
      const later = seconds === undefined ? "" : ` It asks to be left alone for ${Math.ceil(seconds)} s.`;
      throw new Setback(`${url.host} answers ${status}.${later}`, {
        retryAfter: seconds === undefined ? undefined : seconds * 1000,
      });
    }
    return { status, headers: answer.headers, body, url: url.href };
  }
}

async function textOf({ body, url }: WebAnswer, signal: AbortSignal): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > MAX_DOCUMENT)
        throw new AltLasError("model_fetch_failed", `${shownUrl(url)} sends more than ${MAX_DOCUMENT / 2 ** 20} MiB.`);
    }
  } catch (error) {
    throw setbackOf(error, new URL(url), signal);
  }
  return Buffer.concat(pieces).toString();
}

/** A company's own authority is known to the system, not to Node. There are hundreds of them, so they are read for those who need them. */
export function certificates(believed: string | null): string[] {
  const more = believed === null ? [] : [readFileSync(believed, "utf8")];
  return [...getCACertificates("default"), ...getCACertificates("system"), ...more];
}

function connector(timeout: number, believed: string | null): buildConnector.connector {
  const plain = buildConnector({ timeout });
  let secure: buildConnector.connector | undefined;
  return (options, done) => {
    if (options.protocol !== "https:") return plain(options, done);
    secure ??= buildConnector({ timeout, ca: certificates(believed) });
    return secure(options, done);
  };
}

/** An address without its name and password, and the value of `Authorization` that they make; null: it has none. */
export function splitLogin(address: string): Pick<WebRequest, "url" | "authorization"> {
  const url = new URL(address);
  const { username, password } = url;
  url.username = url.password = "";
  if (username === "") return { url: url.href, authorization: null };
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  return { url: url.href, authorization: `Basic ${login}` };
}

/** An address as it may be shown: its query may have a signature in it. */
export function shownUrl(address: string): string {
  const { origin, pathname } = new URL(address);
  return origin + pathname;
}

/** From HTTPS to a page that everybody on the way could change, nobody is sent. */
function isFollowed(from: URL, to: URL): boolean {
  return to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:");
}

/** The setback of an error that a request threw, or that came while its answer was read. */
export function setbackOf(error: unknown, url: URL, signal: AbortSignal): unknown {
  signal.throwIfAborted();
  if (error instanceof AltLasError || !(error instanceof Error)) return error;
  const code = codeOf(error);
  const said =
    code.startsWith("UND_ERR_HEADERS_T") || code.startsWith("UND_ERR_BODY_T") ? "it sends nothing" : undefined;
  const words = said ?? SAID_OF[code] ?? messageOf(error);
  const unreached =
    UNREACHED.has(code) || /CERT|TLS|SSL|SIGNATURE/.test(code) || error.message.startsWith("Proxy response");
  return new Setback(`${url.host} could not be asked: ${words}.`, { unreached, cause: error });
}
