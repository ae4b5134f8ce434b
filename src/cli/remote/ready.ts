/** `alt-las ready`: whether a server is ready, for containers, scripts and people. */
import { once } from "node:events";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import { AltLasError, messageOf } from "../../errors.ts";
import { isObject, valueIn } from "../../common/json-values.ts";
import { legible } from "../../common/legible.ts";

/** Milliseconds to wait for an answer: less than the image's HEALTHCHECK waits for this command. */
const PATIENCE = 5000;

/**
 * Asks a server's `/readyz`, without a key.
 * @param url where it is, like `http://127.0.0.1:8642`
 * @returns the sentence that says so
 * @throws {AltLasError} `not_ready`: it is not ready, and why; `bad_config`: no ALT_LAS server answers there
 */
export async function readyCommand(url: string): Promise<string> {
  const { status, reason } = await readinessAt(url);
  if (status === "ready") return `The server at ${url} is ready.`;
  throw new AltLasError("not_ready", `The server at ${url} is not ready: ${String(legible(reason))}`);
}

async function readinessAt(url: string): Promise<Record<string, unknown>> {
  let body: string;
  try {
    body = await bodyOf(new URL("readyz", `${url.replace(/\/+$/, "")}/`));
  } catch (error) {
    throw new AltLasError("bad_config", `No ALT_LAS server answers at ${url}: ${messageOf(error)}.`, { cause: error });
  }
  const said = valueIn(body);
  if (isObject(said) && (said["status"] === "ready" || said["status"] === "not ready")) return said;
  throw new AltLasError("bad_config", `No ALT_LAS server answers at ${url}.`);
}

/** A certificate is made for the name that clients use, not for a loopback address; nothing that is secret is sent or believed here. */
async function bodyOf(url: URL): Promise<string> {
  const options = { signal: AbortSignal.timeout(PATIENCE), agent: false } as const;
  const asked =
    url.protocol === "https:"
      ? requestHttps(url, { ...options, rejectUnauthorized: false })
      : requestHttp(url, options);
  const answered = once(asked, "response") as Promise<[IncomingMessage]>;
  asked.end();
  const [response] = await answered;
  return text(response);
}
