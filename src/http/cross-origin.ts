/**
 * Keeps pages of other sites from changing anything. A page may send a POST without a body to any address, with what the browser knows
 * for it (an address that only this machine reaches, a password that was typed in once); CORS only keeps it from reading the answer.
 */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Config } from "../config/config.ts";
import { AltLasError } from "../errors.ts";
import { shown } from "../common/validation.ts";

type Hook = (request: FastifyRequest, reply: FastifyReply, done: () => void) => void;

const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

/** Refuses what would change something and comes from a foreign page; runs before anybody is asked for credentials. */
export function refuseForeignChanges(config: Config): Hook {
  const refuse = refuseForeignPages(config);
  return (request, reply, done) => (SAFE_METHODS.has(request.method) ? done() : refuse(request, reply, done));
}

/** As `refuseForeignChanges`, for routes that change something by a GET. */
export function refuseForeignPages({ server: { cors_origins: allowed } }: Config): Hook {
  return (request, _reply, done) => {
    if (!allowed.includes("*") && isForeignPage(request, allowed)) {
      throw new AltLasError(
        "forbidden",
        `${foreignPage(request)} may not change anything here: server.cors_origins lists the web pages that may, and does not have it.`,
      );
    }
    done();
  };
}

/** Whether a request is from a web page that is neither our own nor one of these. @param pages origins */
export function isForeignPage(request: FastifyRequest, pages: readonly string[]): boolean {
  return foreignPage(request) !== null && !pages.includes(originOf(request) ?? "");
}

/**
 * The name of the foreign page that a request comes from; null: it comes from our own, or from no browser.
 *
 *  1. A browser says in Sec-Fetch-Site what it knows best, and pages cannot write that header. `same-site` is foreign too: another port
 *     of this machine is somebody else's.
 *  2. Browsers say nothing there to plain HTTP beyond localhost, and old ones never; then the Origin has to be where the request went to.
 *  3. Without an Origin, as with a GET, the Referer says the same: pages cannot write that one either, only leave it out.
 *  4. Programs that are no browsers send none of them.
 */
function foreignPage(request: FastifyRequest): string | null {
  const site = request.headers["sec-fetch-site"];
  const origin = originOf(request);
  const page = origin === undefined || origin === "null" ? "A foreign web page" : `The web page ${shown(origin)}`;
  if (site !== undefined) return site === "same-origin" || site === "none" ? null : page;
  return origin === undefined || originsOf(request).includes(origin) ? null : page;
}

/** Where the page is from that asks, as its browser says; undefined: nothing is said. */
function originOf({ headers: { origin, referer } }: FastifyRequest): string | undefined {
  if (origin !== undefined || referer === undefined) return origin;
  return URL.parse(referer)?.origin ?? "null";
}

/** Origins of our own pages: the host that the request went to, and the host that a trusted proxy names. */
function originsOf({ host, protocol, raw }: FastifyRequest): string[] {
  const scheme = "encrypted" in raw.socket ? "https" : "http";
  const addressed = [`${scheme}://${raw.headers.host}`, `${protocol}://${host}`];
  return addressed.flatMap((text) => URL.parse(text)?.origin ?? []);
}
