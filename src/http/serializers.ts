/**
 * Writes answers by the schemas of the routes. A serializer is made when it is first needed, and once for all: making it for every status
 * of every route, and of its HEAD, is most of what a server would do before it listens.
 */
import { createRequire } from "node:module";
import type { default as Build, Schema } from "fast-json-stringify";
import type { FastifyInstance } from "fastify";
import { isWrittenAsItIs } from "./schemas/long-lists.ts";

const require = createRequire(import.meta.url);

type Write = (answer: unknown) => string;

/** By schema: routes share some, each GET has a HEAD, and tests make many servers. */
const writers = new WeakMap<object, Write>();

/** @param shared the schemas that others refer to by their `$id`; the application gets them, too */
export function setUpSerializers(app: FastifyInstance, shared: readonly object[]): void {
  for (const schema of shared) app.addSchema(schema);
  const named = new Map(shared.map((schema): [string, Schema] => [(schema as { $id: string }).$id, schema as Schema]));
  app.setSerializerCompiler<Schema>(({ schema }) => writerFor(schema, named));
}

function writerFor(schema: Schema, named: ReadonlyMap<string, Schema>): Write {
  if (isWrittenAsItIs(schema)) return JSON.stringify;
  const known = writers.get(schema);
  if (known !== undefined) return known;
  let made: Write | undefined;
  const write: Write = (answer) => (made ??= built(schema, named))(answer);
  writers.set(schema, write);
  return write;
}

/** The schema without what is known of the parts that are written as they are. */
function forWriting(part: unknown): unknown {
  if (typeof part !== "object" || part === null) return part;
  if (isWrittenAsItIs(part)) return {};
  if (Array.isArray(part)) return part.map(forWriting);
  return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, forWriting(value)]));
}

function built(schema: Schema, named: ReadonlyMap<string, Schema>): Write {
  const others = new Map<string, unknown>();
  addNamedIn(schema, named, others);
  // A schema that is shared itself would be there twice.
  others.delete((schema as { readonly $id?: string }).$id ?? "");
  const build = require("fast-json-stringify") as typeof Build;
  return build(forWriting(schema) as Schema, { schema: Object.fromEntries(others) as Record<string, Schema> });
}

/** Adds the schemas that a part refers to, and those that they refer to. It would take all, and check each of them every time. */
function addNamedIn(part: unknown, named: ReadonlyMap<string, Schema>, found: Map<string, unknown>): void {
  if (typeof part !== "object" || part === null || isWrittenAsItIs(part)) return;
  for (const [name, value] of Object.entries(part)) {
    if (name !== "$ref" || typeof value !== "string") addNamedIn(value, named, found);
    else {
      const id = value.split("#")[0]!;
      const other = named.get(id);
      if (other === undefined || found.has(id)) continue;
      found.set(id, forWriting(other));
      addNamedIn(other, named, found);
    }
  }
}
