/** The short forms of a batch: an item may be its text alone, and what stands beside `batch` holds for items that do not say otherwise. */
import type { FastifyRequest } from "fastify";
import { SHARED_FIELDS } from "./schemas/submissions.ts";

interface ShortBatch {
  readonly batch?: unknown;
  readonly [field: string]: unknown;
}

/** Writes items out in full, before they are checked. Anything else is left for the check to refuse. */
export function completeItems({ body }: Pick<FastifyRequest, "body">, _reply: unknown, done: () => void): void {
  const { batch, ...rest } = Object(body) as ShortBatch;
  if (Array.isArray(batch)) {
    const shared = SHARED_FIELDS.filter((name) => Object.hasOwn(rest, name)).map((name) => [name, rest[name]] as const);
    for (const [index, item] of batch.entries()) batch[index] = completed(item, shared);
  }
  done();
}

function completed(item: unknown, shared: readonly (readonly [name: string, value: unknown])[]): unknown {
  const full = typeof item === "string" ? { text: item } : item;
  if (full === null || typeof full !== "object" || Array.isArray(full)) return item;
  const fields = full as Record<string, unknown>;
  // A field that is null counts as absent.
  for (const [name, value] of shared) fields[name] ??= value;
  return fields;
}
