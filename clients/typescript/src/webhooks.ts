/** Webhooks: whether they are from the server (Standard Webhooks 1.0.0, https://www.standardwebhooks.com). */
import { AltLasError } from "./errors.ts";
import type { Batch, Task } from "./types.ts";

const PREFIX = "whsec_";
/** Seconds by which the clocks may differ, and a webhook may be late. */
const TOLERANCE = 300;
/** The server sends two at most. Each is an HMAC of the whole body, of which a stranger could ask for thousands. */
const MOST_SIGNATURES = 8;

export type Webhook =
  | {
      readonly type: "task.running" | "task.completed" | "task.failed" | "task.canceled";
      readonly timestamp: string;
      readonly data: Task;
    }
  | { readonly type: "batch.completed"; readonly timestamp: string; readonly data: Batch };

export interface WebhookHeaders {
  readonly [name: string]: string | readonly string[] | undefined;
}

export interface VerifyOptions {
  /** Seconds; 300 unless it is said. */
  readonly tolerance?: number;
  /** Unix seconds; now unless it is said. */
  readonly now?: number;
}

/**
 * Checks a webhook's signature, and returns what it says. The same event always has the same `webhook-id`, by which a receiver knows
 * those that come twice.
 * @param secret of `GET /webhook_secret`, or several, one of which has to fit
 * @param body as it came, before any parsing
 * @throws {AltLasError} `bad_signature`
 */
export async function verifyWebhook(
  secret: string | readonly string[],
  headers: WebhookHeaders | Headers,
  body: string | Uint8Array,
  { tolerance = TOLERANCE, now = Date.now() / 1000 }: VerifyOptions = {},
): Promise<Webhook> {
  const id = headerOf(headers, "webhook-id");
  const timestamp = headerOf(headers, "webhook-timestamp");
  const given = headerOf(headers, "webhook-signature");
  if (!/^\d{1,15}$/.test(timestamp)) throw bad("webhook-timestamp must be seconds since 1970.");
  if (Math.abs(now - Number(timestamp)) > tolerance)
    throw bad(`The webhook is from another time than now (${timestamp}): more than ${tolerance} seconds off.`);
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const head = new TextEncoder().encode(`${id}.${timestamp}.`);
  const message = new Uint8Array(head.length + bytes.length);
  message.set(head);
  message.set(bytes, head.length);
  const signatures = given.split(" ", MOST_SIGNATURES).filter((one) => one.startsWith("v1,"));
  for (const one of [secret].flat()) {
    const key = await keyOf(one);
    // The platform's own comparison takes the same time whatever differs.
    for (const signature of signatures)
      if (await crypto.subtle.verify("HMAC", key, bytesOf(signature.slice(3)), message))
        return JSON.parse(new TextDecoder().decode(bytes)) as Webhook;
  }
  throw bad("No signature of the webhook is made with this secret.");
}

/** @throws {TypeError} it is no secret of ALT_LAS */
async function keyOf(secret: string): ReturnType<typeof crypto.subtle.importKey> {
  const bytes = secret.startsWith(PREFIX) ? bytesOf(secret.slice(PREFIX.length)) : new Uint8Array();
  if (bytes.length === 0) throw new TypeError(`A webhook secret begins with ${PREFIX}, and base64 follows.`);
  return crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
}

/** Nothing where it is no base64. */
function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

function headerOf(headers: WebhookHeaders | Headers, name: string): string {
  const value = headers instanceof Headers ? headers.get(name) : headers[name];
  if (typeof value !== "string" || value === "") throw bad(`The header ${name} is missing.`);
  return value;
}

function bad(sentence: string): AltLasError {
  return new AltLasError("bad_signature", sentence);
}
