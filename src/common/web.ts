/** Asking servers of others for files: through the proxies of the environment, and without handing a key to another host. */
import { readFileSync } from "node:fs";
import { getCACertificates } from "node:tls";
import { type Dispatcher, EnvHttpProxyAgent, fetch, type Response } from "undici";
import { messageOf } from "../errors.ts";

/** How servers are asked. Close it, or its idle connections keep the process for some seconds. */
export type Web = Dispatcher;

/** Milliseconds in which the next piece of an answer has to come. */
const PATIENCE = 60_000;

/**
 * @param environment HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in capitals or small letters
 * @param certificates a file of certificates to believe beside Node's own; null: none
 */
export function openWeb(environment: NodeJS.ProcessEnv, certificates: string | null = null): Web {
  const value = (name: string): string => environment[name.toLowerCase()] || environment[name] || "";
  const tls =
    certificates === null ? {} : { ca: [...getCACertificates("default"), readFileSync(certificates, "utf8")] };
  return new EnvHttpProxyAgent({
    httpProxy: value("HTTP_PROXY"),
    httpsProxy: value("HTTPS_PROXY"),
    noProxy: value("NO_PROXY"),
    headersTimeout: PATIENCE,
    bodyTimeout: PATIENCE,
    connect: tls,
    requestTls: tls,
    proxyTls: tls,
  });
}

/**
 * Asks for an address; redirects are followed. Credentials in the address are sent to its own host alone.
 * @throws {Error} one sentence: there is no answer. An answer of any status is one
 */
export async function ask(
  web: Web,
  address: string,
  { headers = {}, signal }: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal } = {},
): Promise<Response> {
  const url = new URL(address);
  const { username, password } = url;
  url.username = "";
  url.password = "";
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64");
  const credentials: Record<string, string> = username === "" ? {} : { authorization: `Basic ${login}` };
  try {
    return await fetch(url, {
      dispatcher: web,
      // Lengths and ranges count what is stored.
      headers: { "accept-encoding": "identity", ...credentials, ...headers },
      signal: signal ?? null,
    });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new Error(`${url.host} does not answer: ${whyOf(error)}.`, { cause: error });
  }
}

/** fetch says "fetch failed", and its cause says why. */
export function whyOf(error: unknown): string {
  const { cause } = error as { readonly cause?: unknown };
  return messageOf(cause ?? error).replace(/\.$/, "");
}

/** An address as it may be shown. */
export function shownUrl(address: string): string {
  const url = new URL(address);
  url.username = "";
  url.password = "";
  return url.href;
}
