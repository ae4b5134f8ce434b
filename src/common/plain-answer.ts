/** Asks a server for what needs no credentials, and believes nothing secret of the answer. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import type { ClientCertificate } from "./client-certificate.ts";
import { http } from "./node-http.ts";
import { socketIn, urlOfServer } from "./server-address.ts";

/** Milliseconds to wait for an answer: less than the image's HEALTHCHECK waits for the command that asks. */
const PATIENCE = 5000;

/**
 * The body of an answer, whatever its status. A certificate is made for the name that clients use, not for a loopback address, so any will do.
 * @param address of a server, as `socketIn` takes it @param path like `readyz`
 * @param certificate shown to a server that wants one of its clients, as PEM; absent: there is none
 * @throws what the system says: nobody answers, or not in time
 */
export async function plainAnswer(address: string, path: string, certificate?: ClientCertificate): Promise<string> {
  const url = new URL(path, `${urlOfServer(address).replace(/\/+$/, "")}/`);
  const socketPath = socketIn(address) ?? undefined;
  const options = { signal: AbortSignal.timeout(PATIENCE), agent: false, socketPath } as const;
  const asked =
    url.protocol === "https:"
      ? requestHttps(url, { ...options, ...certificate, rejectUnauthorized: false })
      : http.request(url, options);
  const answered = once(asked, "response") as Promise<[IncomingMessage]>;
  asked.end();
  const [response] = await answered;
  return text(response);
}
