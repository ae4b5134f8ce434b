/**
 * Begins and ends to listen, and says why it cannot be done.
 *
 * There is one HTTP server, which listens on the first address itself. Each further one has a listener that hands its connections to it, so
 * that all bounds count them together. Data over `server.socket` is never encrypted: it has not left this machine.
 */
import { once } from "node:events";
import { lookup } from "node:dns/promises";
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import type { FastifyInstance } from "fastify";
import { bindSocket } from "../common/unix-socket.ts";
import { type Config, hostsOf, isExposed } from "../config/config.ts";
import { AltLasError, messageOf } from "../errors.ts";
import type { Logger } from "../log/log.ts";
import { basePathOf } from "./base-path.ts";

type App = Pick<FastifyInstance, "listen" | "ready" | "server" | "close">;
type Settings = Config["server"];

/** Where a server listens. */
export interface Listening {
  /** The first address, like `http://127.0.0.1:8642`, or `unix:/run/alt-las.sock`. */
  readonly url: string;
  /** All of them. */
  readonly addresses: readonly string[];
}

/** Advice for the system's codes. */
const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there; choose another port with --port",
  EACCES: "this user may not; choose a port from 1024 on with --port",
  EADDRNOTAVAIL: "this machine has no such address; choose another with --host",
  ENOTFOUND: "no address is known for that name; choose another with --host",
};
const WHY_NO_SOCKET: Readonly<Record<string, string>> = {
  EACCES: "this user may not write into its folder",
  ENOENT: "its folder does not exist",
};

/** The listeners of a server beside the address that it listens on itself. */
class Further {
  /** Has the requests of their connections. */
  app: App;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** Undone when all are closed. */
  readonly undo: (() => void)[] = [];

  constructor(app: App) {
    this.app = app;
  }

  /** @param how as `net.Server` takes it */
  async listen(how: { host: string; port: number; ipv6Only?: boolean } | { path: string }): Promise<Server> {
    const isEncrypted = this.app.server instanceof TlsServer;
    // As Node's own servers do for connections that are not encrypted.
    const allowHalfOpen = !isEncrypted || "path" in how;
    const server = createServer({ noDelay: true, allowHalfOpen }, (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      // An HTTPS server takes for decrypted what comes by this event.
      this.app.server.emit(isEncrypted && "path" in how ? "secureConnection" : "connection", socket);
    });
    server.listen(how);
    await once(server, "listening");
    this.#servers.push(server);
    return server;
  }

  /** Takes no more connections; resolves when all have ended. */
  async close(): Promise<void> {
    const closed = this.#servers.map((server) => once(server, "close"));
    for (const server of this.#servers) server.close();
    await Promise.all(closed);
    for (const undo of this.undo) undo();
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

const FURTHER = new WeakMap<object, Further>();

/**
 * @param isHandedOn another app may have the connections later (`handOn`)
 * @throws {AltLasError} `bad_config`, saying where it cannot listen, why not and what to do
 */
export async function listen(app: App, settings: Settings, log: Logger, isHandedOn = false): Promise<Listening> {
  if (isHandedOn) await prepare(app);
  const further = new Further(app);
  FURTHER.set(app.server, further);
  const addresses: string[] = [];
  let { port } = settings;
  for (const host of hostsOf(settings)) {
    const bound = await listenOnHost(
      { app, further, isFirst: !isHandedOn && addresses.length === 0 },
      host,
      port,
      settings,
    );
    ({ port } = bound);
    addresses.push(...bound.addresses);
  }
  if (settings.socket !== undefined) {
    const isFirst = !isHandedOn && addresses.length === 0;
    addresses.push(await listenOnSocket({ app, further, isFirst }, settings.socket, settings));
  }
  log.info({ addresses }, "listening");
  if (isExposed(settings))
    log.warn(
      { addresses },
      "listening beyond this machine without TLS: keys, prompts and answers cross the network in clear text (server.tls, or a proxy with TLS in server.trust_proxy)",
    );
  return { url: addresses[0]!, addresses };
}

/** From now on another app has the requests of all connections that come. Those that are open stay where they are. */
export async function handOn(from: App, to: App): Promise<void> {
  await prepare(to);
  const further = FURTHER.get(from.server)!;
  FURTHER.delete(from.server);
  FURTHER.set(to.server, further);
  further.app = to;
}

/** Has an app take requests without an address of its own. Node begins to look for connections that take too long when a server listens. */
async function prepare(app: App): Promise<void> {
  await app.ready();
  app.server.emit("listening");
}

interface Place {
  readonly app: App;
  readonly further: Further;
  /** Whether the HTTP server listens there itself. */
  readonly isFirst: boolean;
}

/** All have the same port, also when any will do. */
async function listenOnHost(
  { app, further, isFirst }: Place,
  host: string,
  port: number,
  settings: Settings,
): Promise<{ readonly port: number; readonly addresses: readonly string[] }> {
  const isEncrypted = settings.tls.cert !== undefined;
  // One of both families would else take the port of the other.
  const ipv6Only = hostsOf(settings).includes("0.0.0.0");
  const urls: string[] = [];
  const tell = (server: { address(): AddressInfo | string | null }): void => {
    const address = server.address() as AddressInfo;
    ({ port } = address);
    urls.push(urlOf(address, isEncrypted) + basePathOf(settings));
  };
  for (const [index, address] of (await addressesOf(host)).entries()) {
    try {
      if (isFirst && index === 0) {
        await app.listen({ host: address, port, ipv6Only });
        tell(app.server);
      } else tell(await further.listen({ host: address, port, ipv6Only }));
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      // The hosts file names an address of IPv6 for localhost also where there is no IPv6.
      if (index > 0 && code === "EADDRNOTAVAIL") continue;
      const why = WHY[code] ?? messageOf(error);
      const named = isIPv6(host) ? `[${host}]` : host;
      throw new AltLasError("bad_config", `Cannot listen on ${named}:${port}: ${why}.`, { cause: error });
    }
  }
  return { port, addresses: urls };
}

/** `localhost` stands for an address of each family; of another name the system chooses one. */
async function addressesOf(host: string): Promise<readonly string[]> {
  if (host !== "localhost") return [host];
  const found = await lookup(host, { all: true }).catch(() => [{ address: "127.0.0.1" }]);
  return [...new Set(found.map(({ address }) => address))];
}

async function listenOnSocket({ app, further, isFirst }: Place, path: string, settings: Settings): Promise<string> {
  try {
    const remove = await bindSocket(path, Number.parseInt(settings.socket_mode, 8), (first) =>
      isFirst ? app.listen({ path: first }) : further.listen({ path: first }),
    );
    further.undo.push(remove);
  } catch (error) {
    if (error instanceof AltLasError) throw error;
    const why = WHY_NO_SOCKET[(error as NodeJS.ErrnoException).code ?? ""] ?? messageOf(error);
    throw new AltLasError("bad_config", `Cannot listen on the socket ${path}: ${why}.`, { cause: error });
  }
  return `unix:${path}`;
}

/** Milliseconds that connections have to take their last answers. */
const LAST_ANSWERS = 1000;

/** By now every request has its answer; a connection on which none has come must not keep the server from ending. */
export async function close(app: Pick<FastifyInstance, "close" | "server">): Promise<void> {
  const further = FURTHER.get(app.server);
  const cut = setTimeout(() => {
    app.server.closeAllConnections();
    further?.cut();
  }, LAST_ANSWERS);
  await Promise.all([app.close(), further?.close()]);
  clearTimeout(cut);
}

function urlOf({ address, family, port }: AddressInfo, isEncrypted: boolean): string {
  const everywhere = address === "0.0.0.0" || address === "::";
  const host = everywhere ? "127.0.0.1" : family === "IPv6" ? `[${address}]` : address;
  return `${isEncrypted ? "https" : "http"}://${host}:${port}`;
}
