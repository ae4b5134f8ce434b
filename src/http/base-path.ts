/**
 * The path below which clients see the server: `server.base_path`, or what a trusted proxy says in X-Forwarded-Prefix. Proxies differ in
 * whether they pass such a path on or take it away, so requests are answered with it and without it.
 */
import type { IncomingMessage } from "node:http";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Config } from "../config/config.ts";
import type { Proxies } from "./proxies.ts";
import { originOf } from "./target.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The path before those of the server's own, as its client has to write it, like `/alt-las`; empty: none. */
    readonly prefix: string;
  }
}

/** As the configuration may have it. One that began with two slashes would be another host's name. */
const PREFIX = /^(?:\/[A-Za-z0-9._~-]+)+$/;
const DOTS = /\/\.\.?(?:\/|$)/;
const LONGEST = 200;

/** `server.base_path` without the slash that may be at its end. */
export function basePathOf({ base_path: path }: Pick<Config["server"], "base_path">): string {
  return path.replace(/\/$/, "");
}

/** A target as the router knows it: without the base path, if that is there. */
export function withoutBase(target: string, base: string): string {
  if (base === "") return target;
  const at = target.startsWith("/") ? 0 : originOf(target).length;
  if (!isBelow(target, base, at)) return target;
  const rest = target.slice(at + base.length);
  return target.slice(0, at) + (rest.startsWith("/") ? rest : `/${rest}`);
}

function isBelow(target: string, base: string, at: number): boolean {
  return target.startsWith(base, at) && /^[/?#]?$/.test(target.charAt(at + base.length));
}

/** Gives requests their `prefix`. */
export function tellPrefixes(app: FastifyInstance, base: string, proxies: Proxies): void {
  app.decorateRequest("prefix", {
    getter(this: FastifyRequest) {
      return prefixOf(this, base, proxies);
    },
  });
}

/**
 *  1. The part that has been taken away from the path, as a trusted proxy says.
 *  2. Behind it the base path, unless the proxy has taken that away, or names the whole although it has not.
 *  3. Where no proxy says anything, the base path, which one may have taken away in silence.
 */
function prefixOf({ raw, originalUrl }: FastifyRequest, base: string, proxies: Proxies): string {
  const said = forwardedPrefix(raw, proxies);
  if (said === "") return base;
  const isThere = withoutBase(originalUrl, base) !== originalUrl;
  return isThere && !said.endsWith(base) ? said + base : said;
}

/** Each of several proxies adds what it has taken away behind what was taken before. */
function forwardedPrefix({ socket, headers }: IncomingMessage, proxies: Proxies): string {
  const header = headers["x-forwarded-prefix"];
  if (header === undefined || !proxies.trusts(socket.remoteAddress ?? "")) return "";
  const path = [header]
    .flat()
    .join(",")
    .split(",")
    .map((part) => part.trim().replace(/\/$/, ""))
    .join("");
  return path.length <= LONGEST && PREFIX.test(path) && !DOTS.test(path) ? path : "";
}

/** Whether a page at the base path was asked for without the slash at its end, behind which its files are. */
export function lacksSlash({ originalUrl }: FastifyRequest, base: string): boolean {
  const path = originalUrl.slice(originOf(originalUrl).length).split(/[?#]/, 1)[0]!;
  return base !== "" && path === base;
}
