/** Signatures of Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): symmetric, HMAC-SHA256, version `v1`. */
import { createHmac, randomBytes } from "node:crypto";

const PREFIX = "whsec_";
/** Bytes; the specification allows 24 to 64. */
const SECRET_BYTES = 32;

export interface Message {
  /** Without a full stop: it separates the parts of what is signed. */
  readonly id: string;
  /** Unix seconds of the try, not of the event: a receiver refuses old ones. */
  readonly timestamp: number;
  readonly body: string;
}

/** A new secret: `whsec_` and 256 random bits in base64. */
export function newSecret(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString("base64");
}

/** The headers of a message: one signature for each secret, in their order. */
export function signedHeaders(message: Message, secrets: readonly string[]): Record<string, string> {
  return {
    "webhook-id": message.id,
    "webhook-timestamp": String(message.timestamp),
    "webhook-signature": secrets.map((secret) => sign(message, secret)).join(" "),
  };
}

function sign({ id, timestamp, body }: Message, secret: string): string {
  const key = Buffer.from(secret.slice(PREFIX.length), "base64");
  return `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`;
}
