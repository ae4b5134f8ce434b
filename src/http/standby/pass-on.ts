/**
 * Passes requests on to the server that leads, as they come: bodies, answers and streams in both directions, at the pace of whoever takes them.
 *
 *  1. The client's own credentials go with its request, and its address. So does its `Host`, by which the leader knows foreign pages.
 *  2. A client that leaves takes its request to the leader with it, and a leader that dies the answer to its client.
 *  3. Only what may be repeated is sent again, and only when a connection that was kept open turns out to be closed. A client is asked to repeat
 *     only what the leader cannot have done, or what may be done twice.
 *  4. A request that was passed on already is refused: none goes round.
 *  5. Events of a task go on when another server leads (relayed-stream.ts).
 */
import http, { type ClientRequest, type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { TextReader } from "../../cluster/text-reader.ts";
import { type AltLasError, messageOf } from "../../errors.ts";
import { codeOf, SAID_OF } from "../../common/network-words.ts";
import { inviteBody } from "../bodies.ts";
import { onHalfClose } from "../disconnects.ts";
import { heedsKeys } from "../idempotency.ts";
import { PASSED_ON, passedOn, type Proxies } from "../proxies.ts";
import { TaskFailure } from "../task-failure.ts";
import { pathOf } from "../target.ts";
import type { Tls } from "../tls.ts";
import { nobodyLeads } from "./leading.ts";
import { RELAY } from "./relay.ts";
import { relayedFrom, RelayedStream } from "./relayed-stream.ts";

/** A server that leads, as another one reaches it. */
export interface LeadingServer {
  readonly id: string;
  readonly url: string;
  /** By which it believes this one. */
  readonly secret: string;
}

type Certificate = Pick<Tls, "cert" | "key"> | null;

/** RFC 9110, section 7.6.1: of the connection, and not of the request. */
const OF_CONNECTION: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  // Node refuses it where no trailers can come. Those that do come go on without it.
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** Without one of these it would be another request, or somebody else's: they stay, also where `Connection` names them. */
const OF_MESSAGE =
  /^(?:host|content-.*|authorization|x-api-key|cookie|idempotency-key|origin|referer|sec-.*|forwarded|x-forwarded-.*)$/;
/** Said to the next server anew. */
const OF_REQUEST: ReadonlySet<string> = new Set(["content-length", "expect", "x-request-id", PASSED_ON]);
/** Of a submission that is streamed, and not of the question what has become of it. */
const OF_FIRST = /^(?:content-.*|last-event-id|idempotency-key|prefer)$/;
/** Of these Node would say that a body comes. */
const WITH_BODY: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);
/** By which proxies say whom they ask for. */
const OF_PROXIES = /^(?:forwarded|x-forwarded-.*)$/;
const MOST_IDLE = 64;
/** Milliseconds for a connection to the leader to come about. */
const CONNECTING = 5000;

export interface PassOnParts {
  readonly proxies: Proxies;
  /** Of this server, which another one may ask for; it may be renewed. */
  readonly certificate: () => Certificate;
  /** The server that leads now; null: none does. */
  readonly leader: () => LeadingServer | null;
  /** Whether this server could ask the database, which knows that, when it last tried. */
  readonly seesDatabase: () => boolean;
  /** Reads the text of running tasks where they run. */
  readonly texts: TextReader;
}

interface UnderWay {
  /** The server that has it. */
  readonly at: string;
  /** Whether it is answered with a stream that goes on when another server leads. */
  goesOn: boolean;
}

/** The rest of the answer, which is asked for instead of what the client did. */
interface Rest {
  readonly id: string;
  readonly pass: string | null;
  /** The id of the last event that the client has; null: none. */
  readonly after: string | null;
  readonly relays: boolean;
}

export class PassOn {
  readonly #http = new http.Agent({ keepAlive: true, maxFreeSockets: MOST_IDLE });
  readonly #https = new https.Agent({ keepAlive: true, maxFreeSockets: MOST_IDLE });
  readonly #parts: PassOnParts;
  /** The certificate that connections to the leader show. */
  #shown: Certificate = null;
  #told = "";
  readonly #under = new Map<ClientRequest, UnderWay>();

  #isClosed = false;

  constructor(parts: PassOnParts) {
    this.#parts = parts;
  }

  /**
   * Ends what another server than this one has under way: it leads no more, and may never answer. A stream waits for the next one: where none is
   * known, this server may only have lost its database, and a submission that ends would cancel its task.
   */
  cut(leader: string | null): void {
    for (const [asked, { at, goesOn }] of this.#under)
      if (at !== leader && !(leader === null && goesOn)) asked.destroy();
  }

  close(): void {
    this.#isClosed = true;
    for (const asked of this.#under.keys()) asked.destroy();
    this.#http.destroy();
    this.#https.destroy();
  }

  /** @throws {AltLasError} `not_ready`: it cannot be reached; `internal_error`: nobody knows whether it has done what was asked */
  async pass(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const leader = this.#parts.leader();
    if (leader === null || request.headers[PASSED_ON] !== undefined) throw this.#nobodyLeads();
    const answer = await this.#answerOf(request, reply, leader);
    reply.hijack();
    sendHead(answer, reply.raw);
    const from = relayedFrom(answer);
    if (from === null) return sendBack(answer, reply.raw);
    const { texts } = this.#parts;
    const isSubmission = request.method !== "GET";
    const ask = (after: string | null, relays: boolean) => this.#askForRest(request, { ...from, after, relays });
    new RelayedStream({ reply, ...from, isSubmission, ask, texts, isClosed: () => this.#isClosed }, answer).start();
  }

  /** Asks for what follows in a stream, as its client might. */
  async #askForRest(request: FastifyRequest, rest: Rest): Promise<IncomingMessage | null> {
    const leader = this.#parts.leader();
    if (leader === null) return null;
    const asked = this.#ask(request, leader, rest);
    connecting(asked);
    const { promise, resolve } = Promise.withResolvers<IncomingMessage | null>();
    asked.once("response", resolve);
    asked.on("error", () => resolve(null));
    asked.once("close", () => resolve(null));
    asked.end();
    return promise;
  }

  async #answerOf(request: FastifyRequest, reply: FastifyReply, leader: LeadingServer): Promise<IncomingMessage> {
    for (let tries = 1; ; tries++) {
      const asked = this.#ask(request, leader);
      const isThere = connecting(asked);
      try {
        return await answerOf(asked, request, reply);
      } catch (error) {
        const { method, raw, log } = request;
        const isRead = method === "GET" || method === "HEAD";
        if (asked.reusedSocket && isRead && !hasBody(raw) && tries < 3 && !raw.socket.destroyed) continue;
        log.debug({ err: error, request_id: request.id }, "a request cannot be passed on");
        this.#noteMisfit(error as Error, leader, log);
        throw isRead || isMadeOnce(request) || !isThere() ? this.#nobodyLeads() : nobodyKnows(request);
      }
    }
  }

  #nobodyLeads(): AltLasError {
    return nobodyLeads(this.#parts.seesDatabase());
  }

  /** Tells the operator of a misfit that stays until it is mended: once, as each request fails by it. */
  #noteMisfit(error: Error, { url }: LeadingServer, log: FastifyRequest["log"]): void {
    const code = codeOf(error);
    // Other failures pass by themselves.
    const said = /CERT|TLS|SSL|VERIFY/.test(code) ? (SAID_OF[code] ?? messageOf(error)) : undefined;
    if (said === undefined || this.#told === `${url} ${said}`) return;
    this.#told = `${url} ${said}`;
    log.error(`No request can be passed on to the server that leads, at ${url} (its cluster.address): ${said}.`);
  }

  #ask(request: FastifyRequest, { id, url, secret }: LeadingServer, rest?: Rest): ClientRequest {
    const isEncrypted = url.startsWith("https:");
    const target = new URL(url);
    const asked = (isEncrypted ? https : http).request({
      host: target.hostname.replace(/^\[|\]$/g, ""),
      port: target.port || (isEncrypted ? 443 : 80),
      // Host is the client's: it says nothing of whose certificate is wanted.
      ...(isEncrypted && { servername: nameOf(target) }),
      agent: isEncrypted ? this.#encrypted() : this.#http,
      method: rest === undefined ? request.method : "GET",
      // A ticket stands in the URL.
      path: rest === undefined || request.method === "GET" ? request.originalUrl : `/api/v1/task/${rest.id}/events`,
      headers: this.#headersOf(request, secret, rest),
      setHost: false,
    });
    const underWay = { at: id, goesOn: false };
    this.#under.set(asked, underWay);
    asked.once("response", (answer) => (underWay.goesOn = rest !== undefined || relayedFrom(answer) !== null));
    asked.once("close", () => this.#under.delete(asked));
    return asked;
  }

  /** Connections that have shown a certificate which was renewed since are used no more: by its options Node knows those that it may use. */
  #encrypted(): https.Agent {
    const now = this.#parts.certificate();
    if (now === this.#shown) return this.#https;
    this.#shown = now;
    Object.assign(this.#https.options, now === null ? {} : { cert: now.cert, key: now.key });
    for (const socket of Object.values(this.#https.freeSockets).flat()) socket?.destroy();
    return this.#https;
  }

  #headersOf({ raw, id }: FastifyRequest, secret: string, rest?: Rest): string[] {
    const { proxies, texts } = this.#parts;
    // Headers that a proxy has written are believed where that proxy is.
    const isProxied = proxies.trusts(raw.socket.remoteAddress ?? "");
    const isOurs = (name: string): boolean =>
      OF_REQUEST.has(name) || (!isProxied && OF_PROXIES.test(name)) || (rest !== undefined && OF_FIRST.test(name));
    const { after = null, relays = true, pass = null } = rest ?? {};
    const client = proxies.clientOf(raw);
    return [
      ...carried(raw, isOurs),
      PASSED_ON,
      passedOn(secret, { client, relays: relays && texts.isUp, isForRest: rest !== undefined, pass }),
      "X-Request-Id",
      String(id),
      ...(rest === undefined ? framingOf(raw) : []),
      ...(after === null ? [] : ["Last-Event-ID", after]),
    ];
  }
}

/** Whether it does nothing twice, however often it is sent. */
function isMadeOnce({ method, headers, url }: FastifyRequest): boolean {
  return headers["idempotency-key"] !== undefined && heedsKeys(method, pathOf(url));
}

/** Not `not_ready`, upon which clients send a task again that may be there. */
function nobodyKnows({ id }: FastifyRequest): TaskFailure {
  const sentence = `The server that leads the cluster did not answer, so nobody knows whether it did what was asked. Look before you ask again (request id ${id}).`;
  return new TaskFailure("internal_error", sentence);
}

/** Gives up a connection that does not come about. @returns whether it is there, and with it perhaps the request at the leader */
function connecting(asked: ClientRequest): () => boolean {
  let isThere = false;
  const late = setTimeout(() => asked.destroy(new Error("no connection comes about")), CONNECTING);
  const there = (): void => {
    isThere = true;
    clearTimeout(late);
  };
  asked.once("close", () => clearTimeout(late));
  asked.once("socket", (socket) => {
    if (asked.reusedSocket) there();
    else socket.once(asked.protocol === "https:" ? "secureConnect" : "connect", there);
  });
  return () => isThere;
}

/** A name is asked for by TLS; an address is none. */
function nameOf({ hostname }: URL): string {
  return /^[\d.]+$|^\[/.test(hostname) ? "" : hostname;
}

/** Where the body ends. Without it, Node would send the body of a GET such that the leader takes it for the next request. */
function framingOf({ method, headers }: IncomingMessage): readonly string[] {
  if (headers["transfer-encoding"] !== undefined) return ["Transfer-Encoding", "chunked"];
  const length = headers["content-length"] ?? (WITH_BODY.has(method!) ? "0" : null);
  return length === null ? [] : ["Content-Length", length];
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** The headers of a message that belong to what it says; names and values in turn. */
function carried({ rawHeaders, headers }: IncomingMessage, isOurs: (name: string) => boolean): string[] {
  const named = new Set((headers.connection ?? "").toLowerCase().split(/\s*,\s*/));
  const kept: string[] = [];
  for (let place = 0; place < rawHeaders.length; place += 2) {
    const name = rawHeaders[place]!.toLowerCase();
    const isDropped = OF_CONNECTION.has(name) || (named.has(name) && !OF_MESSAGE.test(name));
    if (isDropped || isOurs(name)) continue;
    kept.push(rawHeaders[place]!, rawHeaders[place + 1]!);
  }
  return kept;
}

/** Sends the body, and waits for the head of the answer. @throws the connection broke, or the client has left */
function answerOf(asked: ClientRequest, request: FastifyRequest, reply: FastifyReply): Promise<IncomingMessage> {
  const { raw } = request;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const ends = leaveTogether(asked, raw, reply.raw);
  asked.on("error", reject);
  asked.once("close", () => {
    for (const end of ends) end();
    raw.unpipe(asked);
    reject(new Error("the connection was closed"));
  });
  asked.once("response", resolve);
  // By which the leader finds out whether a client that sends no more is still there.
  asked.on("information", ({ statusCode }) => {
    if (statusCode === 102 && raw.httpVersion === "1.1" && !reply.raw.headersSent) reply.raw.writeProcessing();
  });
  if (!hasBody(raw)) asked.end();
  else {
    inviteBody(request);
    raw.once("end", () => asked.addTrailers(raw.trailers as Record<string, string>));
    raw.pipe(asked);
  }
  return promise;
}

/** Does to the connection with the leader what a client does to its own. @returns what ends that */
function leaveTogether(asked: ClientRequest, raw: IncomingMessage, answer: ServerResponse): readonly (() => void)[] {
  const { socket } = raw;
  const leave = (): void => void asked.destroy(new Error("the client has left"));
  const leaveBody = (): void => {
    if (!raw.complete) leave();
  };
  // It may yet wait for its answer: the leader sends it something from time to time, which one that has gone does not take.
  const sayNoMore = (): void => {
    if (raw.complete) asked.socket?.end();
    else leave();
  };
  let forget: (() => void) | null = null;
  asked.once("finish", () => (forget = onHalfClose(socket, sayNoMore)));
  // Of such a stream the leader writes next to nothing, by which it could find out: this server does.
  asked.once("response", (begun) => {
    if (relayedFrom(begun) !== null) forget?.();
  });
  raw.once("close", leaveBody);
  socket.once("close", leave);
  answer.once("close", leave);
  return [
    () => forget?.(),
    () => raw.off("close", leaveBody),
    () => socket.off("close", leave),
    () => answer.off("close", leave),
  ];
}

function sendHead(answer: IncomingMessage, to: ServerResponse): void {
  to.writeHead(
    answer.statusCode!,
    answer.statusMessage,
    carried(answer, (name) => name === RELAY),
  );
  // The head of a stream whose first event comes later.
  to.flushHeaders();
}

function sendBack(answer: IncomingMessage, to: ServerResponse): void {
  answer.pipe(to, { end: false });
  answer.once("end", () => {
    if (Object.keys(answer.trailers).length > 0) to.addTrailers(answer.trailers as Record<string, string>);
    to.end();
  });
  // Half an answer must not look like a whole one.
  answer.once("close", () => {
    if (!answer.complete) to.destroy();
  });
  answer.on("error", () => to.destroy());
}
