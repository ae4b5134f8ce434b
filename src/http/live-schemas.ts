/** Schemas of requests that depend on the configuration: requests are checked as it holds when they come. */
import { isDeepStrictEqual } from "node:util";
import type { Config } from "../config/config.ts";

const renewals = new WeakMap<object, () => object>();

/** Makes schemas for routes. @param make of a configuration; the names of the schemas stay */
export function liveSchemas<Schemas extends Readonly<Record<string, object>>>(
  live: { readonly config: Config },
  make: (config: Config) => Schemas,
): Schemas {
  const first = make(live.config);
  let seen = live.config;
  let current = first;
  const now = (): Schemas => {
    if (live.config === seen) return current;
    seen = live.config;
    const next = make(seen);
    // Compiling them takes milliseconds, and most changes are about something else.
    if (!isDeepStrictEqual(next, current)) current = next;
    return current;
  };
  for (const [name, schema] of Object.entries(first)) renewals.set(schema, () => now()[name]!);
  return first;
}

/** Finds the schema that holds now in the place of one that a route has; undefined: it is always that one. */
export function renewalOf(schema: object): (() => object) | undefined {
  return renewals.get(schema);
}
