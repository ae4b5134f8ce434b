/** `Idempotency-Key`: a client that heard no answer sends the same again, and nothing happens twice. */
import { createHash } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { AltLasError } from "../errors.ts";
import type { SubmitOptions } from "../tasks/task-api.ts";

/** The ends of their paths: routes that submit tasks, and those that make a batch of a file. */
const HEEDING =
  /\/(?:(?:batch_)?predict|task\/[^/]+\/retry|v1\/(?:batches|completions|chat\/completions|embeddings|messages|responses)|api\/(?:chat|generate|embed|embeddings))$/;

/** Whether requests to such a path do nothing twice where they have a key. @param path as `pathOf` has it, or the pattern of a route */
export function heedsKeys(method: string, path: string): boolean {
  return method === "POST" && HEEDING.test(path);
}

const PRINTABLE_ASCII = /^[\x20-\x7e]{1,255}$/;

/**
 * The client's own name for its request, with what says whether another request is the same; null: it gave none.
 * @throws {AltLasError} `invalid_input`: it cannot be a key
 */
export function idempotencyOf(request: FastifyRequest): SubmitOptions["idempotency"] {
  const given = request.headers["idempotency-key"];
  if (given === undefined) return null;
  const key = String(given);
  if (!PRINTABLE_ASCII.test(key)) throw new AltLasError("invalid_input", unfit(key));
  const { params, body, routeOptions } = request;
  // Another server of a cluster has its clients send again only what is known to heed keys.
  if (!heedsKeys("POST", routeOptions.url ?? "")) throw new Error(`${routeOptions.url} is no route that heeds keys`);
  return { key, fingerprint: fingerprint(`POST ${routeOptions.url}`, params, body) };
}

function unfit({ length }: string): string {
  const got = length >= 1 && length <= 255 ? `${length} with others among them` : String(length);
  return `The Idempotency-Key header must be 1 to 255 printable ASCII characters; got ${got}.`;
}

/**
 * The same for two bodies that say the same, in whatever order; defaults have been filled in by now.
 * @throws {AltLasError} `invalid_input`: fields that are not known may be nested as deep as a body is long
 */
function fingerprint(route: string, params: unknown, body: unknown): string {
  try {
    return hashOf(route, params, body);
  } catch (error) {
    // `JSON.stringify` has no other error for it.
    if (!(error instanceof RangeError)) throw error;
    throw new AltLasError("invalid_input", "The body has too many lists and objects within each other.");
  }
}

function hashOf(route: string, params: unknown, body: unknown): string {
  const hash = createHash("sha256").update(`${route}\n[${JSON.stringify(params, withSortedKeys)},`);
  for (const part of partsOfJson(body)) hash.update(part);
  return hash.update("]").digest("hex");
}

/** The same as one JSON text, with sorted keys, in parts: of a large batch all of it at once would be as large as the body. */
function* partsOfJson(body: unknown): Iterable<string> {
  const sorted = withSortedKeys("", body);
  if (!isObject(sorted)) return yield JSON.stringify(sorted, withSortedKeys) ?? "null";
  let before = "{";
  for (const [name, value] of Object.entries(sorted)) {
    if (value === undefined) continue;
    yield `${before}${JSON.stringify(name)}:`;
    before = ",";
    if (!Array.isArray(value)) {
      yield JSON.stringify(value, withSortedKeys);
      continue;
    }
    for (const [index, item] of value.entries()) {
      yield `${index === 0 ? "[" : ","}${JSON.stringify(item, withSortedKeys)}`;
    }
    yield value.length === 0 ? "[]" : "]";
  }
  yield before === "{" ? "{}" : "}";
}

function withSortedKeys(_key: string, value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function isObject(value: unknown): value is object {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
