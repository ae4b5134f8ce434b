/** Strict-Transport-Security (RFC 6797): browsers that have come by HTTPS come by nothing else afterwards. */
import { isIP } from "node:net";
import type { FastifyInstance } from "fastify";
import { type Config, isLoopback } from "../config/config.ts";

/**
 * Only where TLS is the server's own: what a proxy in front promises is its own affair. Browsers take the promise for every port of a host,
 * so none is made for this machine's own names, under which other programs answer, nor for addresses, for which it means nothing.
 */
export function promiseTls(app: FastifyInstance, { cert, hsts }: Config["server"]["tls"]): void {
  if (cert === undefined || hsts === 0) return;
  const header = `max-age=${hsts}`;
  app.addHook("onRequest", ({ raw, hostname }, reply, done) => {
    const host = hostname.replace(/^\[|\]$/g, "");
    if ("encrypted" in raw.socket && !isLoopback(host) && isIP(host) === 0)
      reply.header("strict-transport-security", header);
    done();
  });
}
