/**
 * Keeps connections from taking the file descriptors that everything else here needs.
 *
 *  1. Of one address only so many connections may be open that have shown no valid credentials.
 *  2. One that has shown them counts for that caller, who has a share. All callers leave a few to those who have shown none yet.
 *  3. All together leave some descriptors to the store, the workers, webhooks and the log.
 *  4. When connections run short, one on which no request is under way is closed for one that is new: the one idle longest.
 *  5. One over which another server of the cluster passes requests on counts for nobody, and stays: that one would send its next request into it.
 *
 * A connection over a bound is closed at once, with an answer where that costs nothing; the log says so once a minute.
 */
import type { IncomingMessage, Server } from "node:http";
import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import { AltLasError } from "../errors.ts";
import type { CallerLimit } from "../config/caller-limits.ts";
import type { Config } from "../config/config.ts";
import type { Logger } from "../log/log.ts";
import type { Watcher } from "./pipelines.ts";
import { type Proxies, subscriberOf } from "./proxies.ts";
import { endWith } from "./raw-answer.ts";

const MINUTE = 60_000;
/** Seconds. */
const RETRY_AFTER = "5";

export interface ConnectionLimits {
  /** Connections of one address without credentials. */
  readonly ofAddress: number;
  /** Connections on which one caller has shown its credentials last. */
  readonly ofCaller: number;
  /** Connections of all callers together; what remains is for those that have shown nothing yet, like health checks. */
  readonly ofCallers: number;
  /** Connections in all; Infinity: nobody knows how many descriptors there are. */
  readonly inAll: number;
}

/** Connections that callers leave to others: an eighth of all, and never more than this. */
const MOST_LEFT = 64;

/** @param room connections that the process can have, by its descriptors */
export function limitsWithin(room: number, { limits, auth }: Config): ConnectionLimits {
  const half = Math.max(1, Math.floor(room / 2));
  return {
    ofAddress: Math.min(limits.unauthenticated_connections, half),
    // Without credentials all are one caller.
    ofCaller: auth.enabled ? half : room,
    ofCallers: Math.max(1, room - Math.min(MOST_LEFT, Math.floor(room / 8))),
    inAll: room,
  };
}

interface Options {
  readonly limits: ConnectionLimits;
  /** The connections that a caller may have, beside its share; null, absent: it has no such limit. */
  readonly limitOf?: (caller: string) => CallerLimit | null;
  readonly proxies: Proxies;
  readonly log: Logger;
  readonly newRequestId: () => string;
}

interface Connection {
  /** With TLS first the bare one, and after the handshake the one that requests come on. */
  socket: Socket;
  /** Under which it counts as without credentials; null: it does not, or no more. */
  address: string | null;
  /** The caller that showed credentials on it last. */
  caller: string | null;
  /** Whether another server passes requests on over it. */
  isPassage: boolean;
}

export class Connections implements Watcher {
  readonly #options: Options;
  readonly #known = new WeakMap<Socket, Connection>();
  /** Of TLS: those whose handshake is not over, by what both objects of a connection have in common. */
  readonly #handshakes = new Map<string, Connection>();
  /** Those on which no request is under way, the longest first. */
  readonly #quiet = new Set<Connection>();
  readonly #ofAddress = new Map<string, number>();
  readonly #ofCaller = new Map<string, number>();
  #ofCallers = 0;
  #inAll = 0;
  /** When the log told of what last. */
  readonly #told = new Map<string, number>();
  readonly #encrypted: boolean;

  constructor(server: Server, options: Options) {
    this.#options = options;
    this.#encrypted = server instanceof TlsServer;
    const { inAll } = options.limits;
    if (Number.isFinite(inAll)) server.maxConnections = inAll;
    server.on("drop", () => this.#tellDrop());
    server.prependListener("connection", (socket: Socket) => this.#opened(socket));
    if (this.#encrypted) server.prependListener("secureConnection", (socket: Socket) => this.#encryptedBy(socket));
  }

  /**
   * To be called when a request showed valid credentials. If its caller has its share of connections, the one idle longest is closed.
   * @throws {AltLasError} `rate_limited`, `overloaded`: requests are under way on all of them
   */
  proven({ socket }: IncomingMessage, caller: string): void {
    const connection = this.#known.get(socket);
    if (connection === undefined || connection.isPassage || connection.caller === caller) return;
    const { ofCaller, ofCallers } = this.#options.limits;
    const { most, why } = this.#mostOf(caller, ofCaller);
    if ((this.#ofCaller.get(caller) ?? 0) >= most && !this.#closeIdle((idle) => idle.caller === caller)) {
      const sentence = `${caller} has requests under way on ${most} connections, which is ${why}. Try again when some have ended.`;
      throw new AltLasError("rate_limited", sentence);
    }
    if (
      connection.caller === null &&
      this.#ofCallers >= ofCallers &&
      !this.#closeIdle((idle) => idle.caller !== null)
    ) {
      const sentence = `Requests are under way on ${ofCallers} connections, and the server can have no more. Try again when some have ended.`;
      throw new AltLasError("overloaded", sentence);
    }
    this.#release(connection);
    connection.caller = caller;
    this.#ofCallers++;
    add(this.#ofCaller, caller, 1);
  }

  #mostOf(caller: string, share: number): { readonly most: number; readonly why: string } {
    const own = this.#options.limitOf?.(caller) ?? null;
    if (own === null || own.most >= share) return { most: share, why: "one caller's share" };
    return { most: own.most, why: `all that ${own.setIn} allows` };
  }

  /** Another server passes the requests of many clients on over it. */
  passesOn({ socket }: IncomingMessage): void {
    const connection = this.#known.get(socket);
    if (connection === undefined || connection.isPassage) return;
    connection.isPassage = true;
    this.#release(connection);
  }

  busy(socket: Socket): void {
    const connection = this.#known.get(socket);
    if (connection !== undefined) this.#quiet.delete(connection);
  }

  quiet(socket: Socket): void {
    const connection = this.#known.get(socket);
    if (connection !== undefined && !connection.isPassage && !socket.destroyed) this.#quiet.add(connection);
  }

  flooded({ remoteAddress = "" }: Socket): void {
    const about = { address: subscriberOf(remoteAddress) };
    this.#tell("flood", about, "a connection is cut that sends too many requests ahead of their answers");
  }

  #opened(socket: Socket): void {
    const { remoteAddress } = socket;
    // The bound of the system's own is for each address that the server listens on.
    if (this.#inAll >= this.#options.limits.inAll) {
      this.#tellDrop();
      return void socket.destroy();
    }
    // A proxy has many clients on one address. On a Unix socket there is none, and whoever connects may do so by the file's mode.
    const isFree = remoteAddress === undefined || this.#options.proxies.trusts(remoteAddress);
    const address = isFree ? null : subscriberOf(remoteAddress);
    if (address !== null && (this.#ofAddress.get(address) ?? 0) >= this.#options.limits.ofAddress) {
      return this.#refuse(socket, address);
    }
    const connection: Connection = { socket, address, caller: null, isPassage: false };
    this.#known.set(socket, connection);
    if (address !== null) add(this.#ofAddress, address, 1);
    this.#inAll++;
    const name = nameOf(socket);
    if (this.#encrypted && remoteAddress !== undefined) this.#handshakes.set(name, connection);
    socket.once("close", () => {
      if (this.#encrypted) this.#handshakes.delete(name);
      this.#quiet.delete(connection);
      this.#release(connection);
      this.#inAll--;
    });
    // The last one that fits makes room for the next, which would be dropped before we hear of it.
    if (this.#inAll >= this.#options.limits.inAll) this.#closeIdle(() => true);
    this.#quiet.add(connection);
  }

  #encryptedBy(socket: Socket): void {
    const connection = this.#handshakes.get(nameOf(socket));
    // Over the Unix socket there is no handshake.
    if (connection === undefined) return "encrypted" in socket ? undefined : this.#opened(socket);
    this.#handshakes.delete(nameOf(socket));
    connection.socket = socket;
    this.#known.set(socket, connection);
  }

  /** Closes the connection that has been idle longest of those that suit. Between two requests that does a client no harm. */
  #closeIdle(suits: (connection: Connection) => boolean): boolean {
    for (const connection of this.#quiet) {
      if (!suits(connection)) continue;
      const about = { address: connection.socket.remoteAddress, user: connection.caller ?? undefined };
      this.#tell("idle", about, "idle connections are closed: file descriptors run short");
      // Its `close` comes later.
      this.#quiet.delete(connection);
      this.#release(connection);
      connection.socket.destroy();
      return true;
    }
    return false;
  }

  #refuse(socket: Socket, address: string): void {
    const { limits, newRequestId } = this.#options;
    const about = { address, open: limits.ofAddress };
    this.#tell(address, about, "connections without credentials are refused (limits.unauthenticated_connections)");
    // A handshake would cost more than the word is worth.
    if (this.#encrypted) return void socket.destroy();
    const sentence = `Too many connections from this address have shown no credentials; ${limits.ofAddress} may be open.`;
    const headers = { "Retry-After": RETRY_AFTER };
    endWith(socket, new AltLasError("rate_limited", sentence), { requestId: newRequestId(), headers });
    // Not when the client has closed its end: it may take its time.
    socket.destroySoon();
  }

  /** It no longer counts for any caller. */
  #release(connection: Connection): void {
    if (connection.address !== null) add(this.#ofAddress, connection.address, -1);
    if (connection.caller !== null) {
      add(this.#ofCaller, connection.caller, -1);
      this.#ofCallers--;
    }
    connection.address = null;
    connection.caller = null;
  }

  #tellDrop(): void {
    const { inAll } = this.#options.limits;
    this.#tell("all", { open: inAll }, "connections are refused: file descriptors run short");
  }

  #tell(what: string, about: object, sentence: string): void {
    const now = performance.now();
    if (now - (this.#told.get(what) ?? -Infinity) < MINUTE) return;
    for (const [name, at] of this.#told) if (now - at >= MINUTE) this.#told.delete(name);
    this.#told.set(what, now);
    this.#options.log.warn(about, sentence);
  }
}

function add(counts: Map<string, number>, name: string, change: number): void {
  const count = (counts.get(name) ?? 0) + change;
  if (count === 0) counts.delete(name);
  else counts.set(name, count);
}

/** Of TLS there are two objects for one connection, which have this in common. */
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
