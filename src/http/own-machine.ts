/** Which requests come from this machine itself: where the configuration names a user for those, they need no credentials. */
import type { FastifyRequest } from "fastify";
import ipaddr from "ipaddr.js";
import { isLoopback } from "../config/config.ts";
import { isForeignPage } from "./cross-origin.ts";

/**
 * Senders of one of these headers ask for somebody else: a proxy or a tunnel for its clients, under one of many names, and a server's
 * webhook for whoever has wished for it.
 */
const FOR_OTHERS =
  /^(forwarded|via|webhook-id|x-real-ip|x-(original-)?forwarded(-.*)?|x-original-(host|uri|url)|.*-client-ip|.*-connecting-ip)$/;

/**
 *  1. The connection is from a loopback address.
 *  2. No proxy has passed it on, whether it is a trusted one or not: its clients may be anywhere. Nor is it a webhook, whose address is a
 *     user's.
 *  3. It is addressed to this machine by a name that is nobody else's: a page could call under a name of its own that leads here.
 *  4. It is from no web page but those that the configuration names one by one.
 *
 * @param pages `server.cors_origins`
 */
export function isOfOwnMachine(request: FastifyRequest, pages: readonly string[]): boolean {
  const { socket, headers } = request.raw;
  return (
    isLoopbackPeer(socket.remoteAddress ?? "") &&
    !Object.keys(headers).some((name) => FOR_OTHERS.test(name)) &&
    foreignNameIn(request) === undefined &&
    !isForeignPage(request, pages)
  );
}

function isLoopbackPeer(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "loopback";
}

/**
 * A name that a request is addressed to and that may be anybody's. A proxy's header may only add to the suspicion, as a page may send it, too.
 * A host in the target takes precedence over the Host header (RFC 9112, 3.2.2), but a proxy in between may have used either.
 */
export function foreignNameIn({ hostname, headers, originalUrl }: FastifyRequest): string | undefined {
  const addressed = (headers.host ?? "").replace(/:\d*$/, "");
  const target = originalUrl.startsWith("/") ? undefined : URL.parse(originalUrl)?.hostname;
  return [addressed, hostname, target ?? addressed].find((name) => !isLoopback(name.replace(/^\[|\]$/g, "")));
}
