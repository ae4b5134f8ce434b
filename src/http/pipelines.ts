/**
 * Answers the requests of one connection one after another.
 *
 * Node parses all that a client has sent at once, hands out every request of it, and keeps the answers until the one before is taken.
 * So one client could fill the memory with answers it never reads, and hold up everybody with one packet of small requests.
 *
 *  1. A request is handed on when the answer before it has been taken by the system. Until then it waits.
 *  2. Between two requests that were sent ahead, on whatever connection, everybody else is served.
 *  3. A connection that sends more ahead than may wait is cut. RFC 9112, section 9.3.2, lets a client expect that.
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import { onceClosed } from "./closing.ts";

/** Requests of one connection that may wait for the answers before them. */
export const MOST_AHEAD = 32;
/** Of all connections together: each takes some KiB, and up to 64 KiB with a body. */
const MOST_AHEAD_IN_ALL = 1024;

/** Hears what connections do. */
export interface Watcher {
  /** A request is about to be answered. */
  busy(socket: Socket): void;
  /** The last answer is out, and no request waits. */
  quiet(socket: Socket): void;
  /** The connection is cut, as it sent too many requests ahead. */
  flooded(socket: Socket): void;
}

interface Pending {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

interface Line {
  busy: boolean;
  readonly waiting: Pending[];
}

/** The part of Node's parser that hands out requests; it has no public name. */
interface Parser {
  onIncoming?: ((request: IncomingMessage, keepAlive: boolean) => number) | null;
}

/** The value that onIncoming returns when the parser must not read on. */
const NO_MORE = 2;

/** Puts itself between the server and those who listen for its requests. */
export function answerInTurn(server: Server, watcher: Watcher): void {
  const handlers = server.listeners("request") as RequestListener[];
  server.removeAllListeners("request");
  const lines = new Lines(handlers, watcher);
  server.on("request", (request, response) => lines.take(request, response));
  server.on(server instanceof HttpsServer ? "secureConnection" : "connection", parseNothingOnceDestroyed);
}

/** The requests of all connections that wait for the answers before them. */
class Lines {
  readonly #handlers: readonly RequestListener[];
  readonly #watcher: Watcher;
  readonly #lines = new WeakMap<Socket, Line>();
  /** Those whose next request may be handed on. */
  readonly #ready: Line[] = [];
  #waiting = 0;

  constructor(handlers: readonly RequestListener[], watcher: Watcher) {
    this.#handlers = handlers;
    this.#watcher = watcher;
  }

  take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    // No answer could follow the one that has ended the connection, of which only the rest is taken (linger.ts).
    if (socket.writableEnded) return;
    const line = this.#lines.get(socket) ?? this.#newLine(socket);
    if (!line.busy) return this.#handle(line, request, response);
    if (line.waiting.length < MOST_AHEAD && this.#waiting < MOST_AHEAD_IN_ALL) {
      line.waiting.push({ request, response });
      this.#waiting++;
      return;
    }
    this.#watcher.flooded(socket);
    socket.destroy();
  }

  #handle(line: Line, request: IncomingMessage, response: ServerResponse): void {
    line.busy = true;
    const { socket } = request;
    this.#watcher.busy(socket);
    onceClosed(response, () => this.#answered(line, socket));
    for (const handler of this.#handlers) handler(request, response);
  }

  #answered(line: Line, socket: Socket): void {
    if (line.waiting.length === 0) {
      line.busy = false;
      return this.#watcher.quiet(socket);
    }
    // One in each round of the event loop, in which libuv also accepts only one connection: new ones would wait for seconds.
    if (this.#ready.push(line) === 1) setImmediate(() => this.#handNextOn());
  }

  #handNextOn(): void {
    const line = this.#ready.shift()!;
    if (this.#ready.length > 0) setImmediate(() => this.#handNextOn());
    const pending = line.waiting.shift();
    // The connection was closed meanwhile.
    if (pending === undefined) return;
    this.#waiting--;
    this.#handle(line, pending.request, pending.response);
  }

  #newLine(socket: Socket): Line {
    const line: Line = { busy: false, waiting: [] };
    this.#lines.set(socket, line);
    socket.once("close", () => {
      this.#waiting -= line.waiting.length;
      line.waiting.length = 0;
    });
    return line;
  }
}

/** One packet holds a thousand requests, and Node would make objects for each after the connection was cut. */
function parseNothingOnceDestroyed(socket: Socket): void {
  const parser = Reflect.get(socket, "parser") as Parser | null | undefined;
  const onIncoming = parser?.onIncoming;
  if (!parser || !onIncoming) return;
  parser.onIncoming = (request, keepAlive) => (socket.destroyed ? NO_MORE : onIncoming(request, keepAlive));
}
