/** Cookies of the dashboard's sign-in. */
import type { FastifyReply, FastifyRequest } from "fastify";

/** What the names of all of them have. */
const MARK = "altlas-";

export interface CookieKind {
  readonly name: "session" | "sign-in";
  /** Whether it is sent when another site leads a browser here. */
  readonly sameSite: "Strict" | "Lax";
}

/**
 * Its name. Browsers keep those that begin with `__Host-` from anybody but this host, and only send them over TLS. Cookies know no ports, so the
 * port tells two servers of one host apart, and the path below which clients see it, two behind one proxy.
 * @param port `server.port`
 */
function nameOf(request: FastifyRequest, { name }: CookieKind, port: number): string {
  const place = `${port}${request.prefix.replaceAll("/", ".")}`;
  return `${isSecure(request) ? "__Host-" : ""}${MARK}${name}-${place}`;
}

/** Behind a trusted proxy, as that says. */
function isSecure({ protocol }: FastifyRequest): boolean {
  return protocol === "https";
}

/** null: it has none. */
export function cookieOf(request: FastifyRequest, kind: CookieKind, port: number): string | null {
  const { cookie } = request.headers;
  if (cookie === undefined) return null;
  const start = `${nameOf(request, kind, port)}=`;
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
  port: number,
  { value, seconds }: { readonly value: string | null; readonly seconds?: number },
): void {
  const { request } = reply;
  const age = value === null ? 0 : seconds;
  const parts = [
    `${nameOf(request, kind, port)}=${value ?? ""}`,
    "Path=/",
    "HttpOnly",
    `SameSite=${kind.sameSite}`,
    ...(isSecure(request) ? ["Secure"] : []),
    ...(age === undefined ? [] : [`Max-Age=${age}`]),
  ];
  // Beside others of the same answer.
  const before = [reply.getHeader("set-cookie") ?? []].flat().map(String);
  reply.removeHeader("set-cookie");
  reply.header("set-cookie", [...before, parts.join("; ")]);
}
