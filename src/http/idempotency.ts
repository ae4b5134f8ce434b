/** `Idempotency-Key`: a client that heard no answer sends the same again, and nothing happens twice. */
import { createHash } from "node:crypto";
import { type FastifyRequest } from "fastify";
import { AltLasError } from "../errors.ts";
import { type SubmitOptions } from "../scheduler/task-api.ts";

const PRINTABLE_ASCII = /^[\x20-\x7e]{1,255}$/;

/**
 * The client's own name for its request, with what says whether another request is the same; null: it gave none.
 * @throws {AltLasError} `invalid_input`: it cannot be a key
 */
export function idempotencyOf({ headers, body, params, routeOptions }: FastifyRequest): SubmitOptions["idempotency"] {
  const given = headers["idempotency-key"];
  if (given === undefined) return null;
  const key = String(given);
  if (!PRINTABLE_ASCII.test(key)) throw new AltLasError("invalid_input", unfit(key));
  return { key, fingerprint: fingerprint(`POST ${routeOptions.url}`, [params, body]) };
}

function unfit({ length }: string): string {
  const got = length >= 1 && length <= 255 ? `${length} with others among them` : String(length);
  return `The Idempotency-Key header must be 1 to 255 printable ASCII characters; got ${got}.`;
}

/** The same for two bodies that say the same, in whatever order; defaults have been filled in by now. */
function fingerprint(route: string, body: unknown): string {
  return createHash("sha256")
    .update(`${route}\n${JSON.stringify(body, withSortedKeys)}`)
    .digest("hex");
}

function withSortedKeys(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
