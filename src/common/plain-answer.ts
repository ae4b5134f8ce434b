/** Asks a server for what needs no credentials, and believes nothing secret of the answer. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import { http } from "./node-http.ts";
import { socketIn, urlOfServer } from "./server-address.ts";

/** Milliseconds to wait for an answer: less than the image's HEALTHCHECK waits for the command that asks. */
const PATIENCE = 5000;

/**
 * The body of an answer, whatever its status. A certificate is made for the name that clients use, not for a loopback address, so any will do.
 * @param address of a server, as `socketIn` takes it @param path like `readyz`
 * @throws what the system says: nobody answers, or not in time
 */
export async function plainAnswer(address: string, path: string): Promise<string> {
  const url = new URL(path, `${urlOfServer(address).replace(/\/+$/, "")}/`);
  const socketPath = socketIn(address) ?? undefined;
  const options = { signal: AbortSignal.timeout(PATIENCE), agent: false, socketPath } as const;
  const asked =
    url.protocol === "https:"
      ? requestHttps(url, { ...options, rejectUnauthorized: false })
      : http.request(url, options);
  const answered = once(asked, "response") as Promise<[IncomingMessage]>;
  asked.end();
  const [response] = await answered;
  return text(response);
}
