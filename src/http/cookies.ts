/** Cookies of the dashboard's sign-in. */
import type { FastifyReply, FastifyRequest } from "fastify";

/** The mark in the names of all of them. */
const MARK = "altlas-";

export interface CookieKind {
  readonly name: "session" | "sign-in";
  /** Whether it is sent when another site leads a browser here. */
  readonly sameSite: "Strict" | "Lax";
}

/** Facts about the site, which are the same for all of them. */
export interface Site {
  /** `server.port` */
  readonly port: number;
  /** Whether browsers reach the dashboard by TLS, whatever the connection here says. */
  readonly isSecure: boolean;
}

/**
 * Its name. Browsers keep those that begin with `__Host-` from anybody but this host, and only send them over TLS. Cookies know no ports, so the
 * port tells two servers of one host apart, and the path below which clients see it, two behind one proxy.
 */
function nameOf(request: FastifyRequest, { name }: CookieKind, site: Site): string {
  const place = `${site.port}${request.prefix.replaceAll("/", ".")}`;
  return `${isSecure(request, site) ? "__Host-" : ""}${MARK}${name}-${place}`;
}

/** Behind a trusted proxy, as that says. */
function isSecure({ protocol }: FastifyRequest, site: Site): boolean {
  return protocol === "https" || site.isSecure;
}

/** null: it has none. */
export function cookieOf(request: FastifyRequest, kind: CookieKind, site: Site): string | null {
  const { cookie } = request.headers;
  if (cookie === undefined) return null;
  const start = `${nameOf(request, kind, site)}=`;
  const found = cookie.split(";").find((part) => part.trimStart().startsWith(start));
  return found?.trimStart().slice(start.length).trimEnd() || null;
}

/** Whether a browser sends any of ours, valid or not. */
export function hasCookie({ headers: { cookie } }: FastifyRequest): boolean {
  return cookie?.includes(MARK) === true;
}

/** @param value null: the browser is to forget it. @param seconds for how long it keeps it; left out: until it is closed */
export function setCookie(
  reply: FastifyReply,
  kind: CookieKind,
  site: Site,
  { value, seconds }: { readonly value: string | null; readonly seconds?: number },
): void {
  const { request } = reply;
  const age = value === null ? 0 : seconds;
  const parts = [
    `${nameOf(request, kind, site)}=${value ?? ""}`,
    "Path=/",
    "HttpOnly",
    `SameSite=${kind.sameSite}`,
    ...(isSecure(request, site) ? ["Secure"] : []),
    ...(age === undefined ? [] : [`Max-Age=${age}`]),
  ];
  // Beside others of the same answer.
  const before = [reply.getHeader("set-cookie") ?? []].flat().map(String);
  reply.removeHeader("set-cookie");
  reply.header("set-cookie", [...before, parts.join("; ")]);
}
