/** Begins and ends to listen, and says why it cannot be done. */
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { Config } from "../config/config.ts";
import { basePathOf } from "./base-path.ts";
import { AltLasError, messageOf } from "../errors.ts";

/** Advice for the system's codes. */
const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there; choose another port with --port",
  EACCES: "this user may not; choose a port from 1024 on with --port",
  EADDRNOTAVAIL: "this machine has no such address; choose another with --host",
  ENOTFOUND: "no address is known for that name; choose another with --host",
};

/** @returns where, like `http://127.0.0.1:8642` @throws {AltLasError} `bad_config`, saying why not and what to do */
export async function listen(
  app: Pick<FastifyInstance, "listen" | "server">,
  { host, port, tls, ...rest }: Pick<Config["server"], "host" | "port" | "tls" | "base_path">,
): Promise<string> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const why = WHY[(error as NodeJS.ErrnoException).code ?? ""] ?? messageOf(error);
    const address = host.includes(":") ? `[${host}]` : host;
    throw new AltLasError("bad_config", `Cannot listen on ${address}:${port}: ${why}.`, { cause: error });
  }
  return urlOf(app.server.address() as AddressInfo, tls.cert !== undefined) + basePathOf(rest);
}

/** Milliseconds that connections have to take their last answers. */
const LAST_ANSWERS = 1000;

/** By now every request has its answer; a connection on which none has come must not keep the server from ending. */
export async function close(app: Pick<FastifyInstance, "close" | "server">): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), LAST_ANSWERS);
  await app.close();
  clearTimeout(cut);
}

function urlOf({ address, family, port }: AddressInfo, isEncrypted: boolean): string {
  const everywhere = address === "0.0.0.0" || address === "::";
  const host = everywhere ? "127.0.0.1" : family === "IPv6" ? `[${address}]` : address;
  return `${isEncrypted ? "https" : "http"}://${host}:${port}`;
}
