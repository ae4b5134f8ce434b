/** Failures on the way to a server, for programs and in words; and how long a server asks to be left alone. */
import { wallTime } from "./clock.ts";

/** Seconds for which a server may ask to be left alone. */
const LONGEST_PAUSE = 3600;

/**
 * `Retry-After` in seconds from now, an hour at most; it may also be a date (RFC 9110, 10.2.3). A date is the server's: its own `Date` says
 * what time it is there, and only without that our clock does. undefined: there is none that can be read.
 */
export function retryAfterIn(headers: Readonly<Record<string, string | string[] | undefined>>): number | undefined {
  const text = String(headers["retry-after"] ?? "").trim();
  const seconds = /^\d+(\.\d+)?$/.test(text)
    ? Number(text)
    : ((dateIn(text) ?? Number.NaN) - (dateIn(String(headers.date ?? "")) ?? wallTime())) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(0, seconds), LONGEST_PAUSE);
}

/** A date of HTTP, in milliseconds; null: it is none. Each of its three forms begins with a day (RFC 9110, 5.6.7). */
function dateIn(text: string): number | null {
  if (!/^(mon|tue|wed|thu|fri|sat|sun)/i.test(text)) return null;
  // The oldest of them leaves out that it is GMT.
  const time = Date.parse(/(GMT|UTC|[+-]\d{4})$/.test(text) ? text : `${text} GMT`);
  return Number.isNaN(time) ? null : time;
}

/** The code of the system or of undici; "" when there is none. */
export function codeOf(error: Error): string {
  // Of a name with several addresses.
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0] as Error);
  return String((error as NodeJS.ErrnoException).code ?? "");
}

export const UNREACHED = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOENT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
]);

export const SAID_OF: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  EHOSTUNREACH: "there is no way to that host",
  ENETUNREACH: "there is no way to that network",
  ENOENT: "its socket is not there",
  ENOTFOUND: "the name of its host is not known",
  EAI_AGAIN: "the name of its host could not be looked up",
  UND_ERR_CONNECT_TIMEOUT: "no connection came about in time",
  ECONNRESET: "it closed the connection",
  EPIPE: "it closed the connection",
  UND_ERR_SOCKET: "it closed the connection",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is signed by nobody who is trusted here",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is signed by nobody who is trusted here",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is signed by nobody who is trusted here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its certificate is signed by nobody who is trusted here",
  CERT_HAS_EXPIRED: "its certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another name",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak HTTPS",
};
