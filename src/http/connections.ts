/**
 * Keeps connections from taking the file descriptors that everything else here needs.
 *
 *  1. Of one address only so many connections may be open that have shown no valid credentials. One that has counts no more.
 *  2. All together leave some descriptors to the store, the workers, webhooks and the log.
 *
 * What is over a bound is closed at once, with a word where that costs nothing, and the log tells of it once a minute.
 */
import { type IncomingMessage, type Server } from "node:http";
import { type Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import { AltLasError } from "../errors.ts";
import { type Config } from "../config.ts";
import { type Logger } from "../log.ts";
import { type Proxies, subscriberOf } from "./proxies.ts";
import { endWith } from "./raw-answer.ts";

const MINUTE = 60_000;
/** Seconds. */
const RETRY_AFTER = "5";

export interface ConnectionLimits {
  /** Connections of one address without credentials. */
  readonly ofAddress: number;
  /** Connections in all; Infinity: nobody knows how many descriptors there are. */
  readonly inAll: number;
}

/** @param room connections that the process can have, by its descriptors */
export function limitsWithin(room: number, { limits }: Config): ConnectionLimits {
  return { ofAddress: Math.min(limits.unauthenticated_connections, Math.max(1, Math.floor(room / 2))), inAll: room };
}

interface Options {
  readonly limits: ConnectionLimits;
  readonly proxies: Proxies;
  readonly log: Logger;
  readonly newRequestId: () => string;
}

export class Connections {
  readonly #options: Options;
  /** Those without credentials, by address; the members name the connection. */
  readonly #unproven = new Map<string, Set<string>>();
  readonly #proven = new WeakSet<Socket>();
  /** When the log told of what last. */
  readonly #told = new Map<string, number>();
  readonly #encrypted: boolean;

  constructor(server: Server, options: Options) {
    this.#options = options;
    this.#encrypted = server instanceof TlsServer;
    const { inAll } = options.limits;
    if (Number.isFinite(inAll)) server.maxConnections = inAll;
    server.on("drop", () => this.#tell("all", { open: inAll }, "connections are refused: file descriptors run short"));
    server.prependListener("connection", (socket: Socket) => this.#opened(socket));
  }

  /** To be called when a request showed valid credentials. */
  proven({ socket }: IncomingMessage): void {
    if (this.#proven.has(socket)) return;
    this.#proven.add(socket);
    this.#forget(subscriberOf(socket.remoteAddress ?? ""), nameOf(socket));
  }

  #opened(socket: Socket): void {
    const { remoteAddress } = socket;
    // A proxy has many clients on one address. On a Unix socket there is none, and whoever connects may do so by the file's mode.
    if (remoteAddress === undefined || this.#options.proxies.trusts(remoteAddress)) return;
    const address = subscriberOf(remoteAddress);
    const open = this.#unproven.get(address) ?? new Set();
    if (open.size >= this.#options.limits.ofAddress) return this.#refuse(socket, address);
    const name = nameOf(socket);
    this.#unproven.set(address, open.add(name));
    socket.once("close", () => this.#forget(address, name));
  }

  #refuse(socket: Socket, address: string): void {
    const { limits, newRequestId } = this.#options;
    const about = { address, open: limits.ofAddress };
    this.#tell(address, about, "connections without credentials are refused (limits.unauthenticated_connections)");
    // A handshake would cost more than the word is worth.
    if (this.#encrypted) return void socket.destroy();
    const sentence = `Too many connections from this address have shown no credentials; ${limits.ofAddress} may be open.`;
    endWith(socket, new AltLasError("rate_limited", sentence), newRequestId(), { "Retry-After": RETRY_AFTER });
    // Not when the client has closed its end: it may take its time.
    socket.destroySoon();
  }

  #forget(address: string, name: string): void {
    const open = this.#unproven.get(address);
    open?.delete(name);
    if (open?.size === 0) this.#unproven.delete(address);
  }

  #tell(what: string, about: object, sentence: string): void {
    const now = performance.now();
    if (now - (this.#told.get(what) ?? -Infinity) < MINUTE) return;
    for (const [name, at] of this.#told) if (now - at >= MINUTE) this.#told.delete(name);
    this.#told.set(what, now);
    this.#options.log.warn(about, sentence);
  }
}

/** Of TLS there are two objects for one connection, which have this in common. */
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
