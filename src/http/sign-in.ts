/** The way of a browser to the issuer and back, and the session that it has then. For the dashboard; programs send tokens. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Caller } from "../auth/credentials.ts";
import type { SignOn } from "../auth/oidc/sign-on.ts";
import { htmlText } from "../common/html-text.ts";
import type { Language } from "../words/language.ts";
import { inLanguage } from "../words/words.ts";
import { AltLasError } from "../errors.ts";
import { type CookieKind, cookieOf, setCookie, type Site } from "./cookies.ts";
import { isForeignPage, refuseForeignPages } from "./cross-origin.ts";
import type { Proxies } from "./proxies.ts";
import { languageOf } from "./reader-language.ts";
import type { ServerParts } from "./server-parts.ts";
import { originOf } from "./target.ts";

/** No other site's page can have a browser send it. */
const SESSION: CookieKind = { name: "session", sameSite: "Strict" };
/** The issuer leads the browser here, so another site's page has to be able to. */
const SIGN_IN: CookieKind = { name: "sign-in", sameSite: "Lax" };
/** Seconds for a sign-in. */
const PATIENCE = 600;

const HIDDEN = { schema: { hide: true } };

/** Nothing, where the configuration has no client at an issuer. */
export function signInRoutes(app: FastifyInstance, { config, credentials }: ServerParts, proxies: Proxies): void {
  const { signOn } = credentials;
  if (signOn === null || signOn.name === null) return;
  const site = siteOf(config);
  const back = (request: FastifyRequest): string =>
    config.auth.oidc.redirect_url ?? `${request.protocol}://${request.host}${request.prefix}/auth/callback`;

  app.get("/auth/sign_in", HIDDEN, async (request, reply) =>
    orPage(reply, async () => {
      const { url, secret } = await signOn.depart(back(request));
      setCookie(reply, SIGN_IN, site, { value: secret, seconds: PATIENCE });
      return url;
    }),
  );
  app.get("/auth/callback", HIDDEN, async (request, reply) =>
    orPage(reply, async () => {
      const secret = cookieOf(request, SIGN_IN, site);
      setCookie(reply, SIGN_IN, site, { value: null });
      const arriving = arrive(signOn, request, secret, back(request));
      const session = await credentials.signedIn(arriving, ({ caller }) => caller, proxies.clientOf(request.raw));
      setCookie(reply, SESSION, site, { value: session.secret });
      return "../";
    }),
  );
  // A page that has a cookie cannot read it, and to find out by a refusal would be one each time.
  app.get("/auth/session", HIDDEN, (request) => {
    const secret = cookieOf(request, SESSION, site);
    return { user: secret === null ? null : (signOn.bySession(secret)?.name ?? null) };
  });
  app.post("/auth/sign_out", { ...HIDDEN, onRequest: refuseForeignPages(config) }, async (request, reply) => {
    const secret = cookieOf(request, SESSION, site);
    if (secret !== null) await signOn.end(secret);
    setCookie(reply, SESSION, site, { value: null });
    return { user: null };
  });
}

/** The session of a request; null: it has none. Foreign pages have none, even those that may call with a key of their own. */
export function sessionOf(
  request: FastifyRequest,
  { config, credentials }: Pick<ServerParts, "config" | "credentials">,
): Caller | null {
  if (request.headers.cookie === undefined || credentials.signOn === null) return null;
  const secret = cookieOf(request, SESSION, siteOf(config));
  return secret === null || isForeignPage(request, []) ? null : credentials.bySession(secret);
}

function siteOf({ server, auth }: ServerParts["config"]): Site {
  return { port: server.port, isSecure: auth.oidc.redirect_url?.startsWith("https:") === true };
}

async function arrive(signOn: SignOn, request: FastifyRequest, secret: string | null, back: string) {
  if (secret === null) {
    const sentence = "This browser has begun no sign-in in the last ten minutes, or keeps no cookies. Begin again.";
    throw new AltLasError("unauthorized", sentence);
  }
  const { originalUrl } = request;
  const { searchParams: parameters } = new URL(originalUrl.slice(originOf(originalUrl).length), "http://localhost");
  return signOn.arrive({ parameters, secret, back });
}

/** Sends the browser on; where that fails, a person has to read why. */
async function orPage(reply: FastifyReply, next: () => Promise<string>): Promise<FastifyReply> {
  try {
    return reply.redirect(await next(), 303);
  } catch (error) {
    if (!(error instanceof AltLasError)) throw error;
    reply.request.refusal = error.code;
    reply.header("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    if (error.retryAfter !== undefined) reply.header("retry-after", String(Math.ceil(error.retryAfter)));
    return reply
      .code(error.status)
      .type("text/html; charset=utf-8")
      .send(pageOf(languageOf(reply.request), error.message));
  }
}

function pageOf(language: Language, sentence: string): string {
  const said = (words: string): string => htmlText(inLanguage(language, words));
  return `<!doctype html>
<html lang="${language}">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>ALT_LAS</title>
<h1>${said("Nobody is signed in")}</h1>
<p>${said(sentence)}</p>
<p><a href="../">${said("Back to the dashboard")}</a></p>
</html>
`;
}
