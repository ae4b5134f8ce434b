/** One try to bring a message to its receiver. */
import type { LookupAddress } from "node:dns";
import type { ClientRequest } from "node:http";
import https from "node:https";
import type { LookupFunction } from "node:net";
import { http } from "../common/node-http.ts";
import { messageOf } from "../errors.ts";
import type { DeliveryAttempt } from "../store/outbox.ts";
import { VERSION } from "../common/version.ts";
import { type AddressRules, checkUrl, hostOf } from "./address.ts";

/** Bytes of an answer's body that are read; then the connection is cut. */
const MAX_ANSWER = 64 * 1024;
/** Characters of a reason that are kept: a receiver's certificate may put anything into it. */
const MAX_REASON = 300;

/** The result: the status of the answer, and why the try was in vain where the status does not say so. */
export interface Answer extends Pick<DeliveryAttempt, "status" | "error"> {
  /** Whether its time was up; null: nothing was sent, since enough goes to its address. */
  readonly timedOut: boolean | null;
}

/**
 * Checks the address once more, since the name may lead elsewhere by now, and sends the message to the very addresses that were
 * checked. The status decides, even if the rest of the answer never comes. Never rejects.
 * @param admit asks for a place at the addresses; it returns what gives the place back, or null when there is none
 * @param signal aborts when its time is up
 */
export async function send(
  message: { readonly url: string; readonly body: string; readonly headers: Readonly<Record<string, string>> },
  { admit, ...rules }: AddressRules & { readonly admit: (addresses: readonly string[]) => (() => void) | null },
  signal: AbortSignal,
): Promise<Answer> {
  let leave: (() => void) | null = null;
  try {
    const { url, addresses } = await checkUrl(message.url, rules, signal);
    if (addresses.length === 0) return failure(`The name servers do not answer for ${hostOf(url)}.`);
    leave = admit(addresses.map(({ address }) => address));
    if (leave === null) return { ...failure("Enough is sent to its address."), timedOut: null };
    const status = await post(url, addresses, message, signal);
    const error = isRedirect(status) ? "It answered with a redirect, which is not followed." : null;
    return { status, error, timedOut: false };
  } catch (error) {
    if (!signal.aborted) return failure(reasonOf(error));
    return { ...failure("The time for an answer was up."), timedOut: true };
  } finally {
    leave?.();
  }
}

function failure(error: string): Answer {
  const shown = error.length > MAX_REASON ? `${error.slice(0, MAX_REASON - 1)}…` : error;
  return { status: null, error: shown, timedOut: false };
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}

/** Of several addresses that were tried, each has its own error, and the one around them says nothing. */
function reasonOf(error: unknown): string {
  return error instanceof AggregateError ? error.errors.map(messageOf).join("; ") : messageOf(error);
}

/** @returns the status of the answer @throws when there is none */
function post(
  url: URL,
  addresses: readonly LookupAddress[],
  { body, headers }: { readonly body: string; readonly headers: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<number> {
  const { request } = url.protocol === "https:" ? https : http;
  const sent = request(url, {
    method: "POST",
    headers: { "content-type": "application/json", "user-agent": `ALT_LAS/${VERSION}`, ...headers },
    lookup: pinned(addresses),
    // A shared agent could take a connection that was opened to another address of this host, or go through a proxy.
    agent: false,
    signal,
  });
  const status = statusOf(sent);
  sent.end(body);
  return status;
}

/** Gives the checked addresses, whatever the name leads to by now. */
function pinned(addresses: readonly LookupAddress[]): LookupFunction {
  return (_host, { all }, done) => {
    if (all) done(null, [...addresses]);
    else done(null, addresses[0]!.address, addresses[0]!.family);
  };
}

/** Settles when the connection is closed, which is the one thing that always comes: some answers make no other event. */
function statusOf(sent: ClientRequest): Promise<number> {
  return new Promise((resolve, reject) => {
    let status: number | undefined;
    let failed = new Error("The connection was closed without an answer.");
    sent.on("error", (error) => (failed = error));
    sent.on("response", (answer) => {
      status = answer.statusCode;
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes >= MAX_ANSWER) sent.destroy();
      });
      answer.on("error", () => undefined);
    });
    sent.on("close", () => (status === undefined ? reject(failed) : resolve(status)));
  });
}
