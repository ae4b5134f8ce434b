/** The control socket: what commands on this machine may ask a running server. Access to the data directory is the right to ask. */
import { once } from "node:events";
import { rmSync } from "node:fs";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { json } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { http } from "../common/node-http.ts";
import { isLive } from "../common/unix-socket.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import { ALT_LAS } from "../common/paste.ts";
import { nameSocket, type SocketName, SOCKET_NAME } from "./socket.ts";

/**
 * Answers one kind of request.
 * @param body what the command sent, as JSON has it: to be checked by the route; undefined: nothing
 * @param signal aborted when the command has gone, or the server stops
 * @returns an object, sent as JSON; or bytes, sent as they come
 * @throws {AltLasError} is sent as it is
 */
export type ControlRoute = (body: unknown, signal: AbortSignal) => Promise<object | Readable>;

/** Routes by method and path. */
export type ControlRoutes = Readonly<Record<`POST /${string}`, ControlRoute>>;

/** Bytes that a request may have. */
const MAX_BODY = 65_536;

export class ControlServer {
  readonly #routes: ControlRoutes;
  readonly #log: Logger;
  readonly #name: SocketName;
  readonly #server: Server;
  readonly #stopping = new AbortController();

  private constructor(routes: ControlRoutes, name: SocketName, log: Logger) {
    this.#routes = routes;
    this.#log = log;
    this.#name = name;
    this.#server = http.createServer((request, response) => void this.#serve(request, response));
  }

  /**
   * Listens in a data directory. Call it when the task database is open: its lock says whose the folder is.
   * A server without a control socket still serves, so failures are logged and not thrown.
   * @returns null: there is no socket, and the log says why
   */
  static async listen(dataDir: string, routes: ControlRoutes, log: Logger): Promise<ControlServer | null> {
    let name: SocketName | undefined;
    try {
      name = nameSocket(dataDir);
      const control = new ControlServer(routes, name, log);
      await control.#listen();
      return control;
    } catch (error) {
      name?.close();
      log.warn(
        { reason: messageOf(error) },
        `no control socket: ${ALT_LAS} backup works only while this server is stopped`,
      );
      return null;
    }
  }

  /** Ends what is being answered, and removes the socket. */
  async close(): Promise<void> {
    this.#stopping.abort();
    const closed = once(this.#server, "close");
    // This removes the socket, by its name in the folder that was opened.
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    this.#name.close();
  }

  async #listen(): Promise<void> {
    const { path } = this.#name;
    try {
      await bind(this.#server, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      // A server with its database elsewhere may live in the same folder.
      if (await isLive(path)) throw new Error(`another server listens at ${SOCKET_NAME}`, { cause: error });
      rmSync(path);
      await bind(this.#server, path);
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, this.#stopping.signal]);
    try {
      const route = this.#routeOf(request);
      const answer = await route(await bodyOf(request), signal);
      if (answer instanceof Readable) await pipeline(answer, response, { signal });
      else send(response, 200, answer);
    } catch (error) {
      this.#fail(response, error, signal);
    }
  }

  #routeOf({ method, url }: IncomingMessage): ControlRoute {
    const name = `${method} ${url}` as `POST /${string}`;
    const route = Object.hasOwn(this.#routes, name) ? this.#routes[name] : undefined;
    if (route !== undefined) return route;
    const sentence = `The running server cannot do this: there is no ${name}. It may be of another version; restart it.`;
    throw new AltLasError("not_found", sentence);
  }

  #fail(response: ServerResponse, error: unknown, signal: AbortSignal): void {
    if (!(error instanceof AltLasError) && !signal.aborted) this.#log.error({ err: error }, "a command failed");
    const { status, code, message } =
      error instanceof AltLasError ? error : new AltLasError("internal_error", messageOf(error));
    // Bytes that have begun can only be cut; the command sees that the end is missing.
    if (response.headersSent) response.destroy();
    else send(response, status, { error: message, code });
  }
}

/** Binds with no rights for others from the first moment on: a later chmod would leave a gap. */
async function bind(server: Server, path: string): Promise<void> {
  const before = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(before);
  }
  // Rejects with the first error.
  await once(server, "listening");
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const length = Number(request.headers["content-length"] ?? 0);
  if (length === 0) return undefined;
  if (length > MAX_BODY) throw new AltLasError("body_too_large", `The body must be at most ${MAX_BODY} bytes.`);
  return json(request);
}

function send(response: ServerResponse, status: number, answer: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
}
