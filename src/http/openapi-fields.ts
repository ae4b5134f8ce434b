/** The fields of requests, as the document describes them. */

/** The parts of a request's schema that the document changes. */
export interface Schema {
  readonly type?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly allowed?: string;
  readonly maxBytes?: number;
  readonly alsoCalled?: readonly string[];
  readonly shorthand?: string;
  readonly unsupported?: boolean;
  readonly secret?: boolean;
  readonly anyOf?: readonly Schema[];
  readonly examples?: readonly unknown[];
}

/**
 * A request's schema as clients should read it: our own keywords mean nothing to them, a field with a default is not required, in a body
 * whatever is not required may be null, and what has a short form may be that.
 */
export function forClients(schema: Schema, nullable: boolean): Schema {
  const { shorthand, ...long } = schema;
  const short = shorthand === undefined ? undefined : long.properties?.[shorthand];
  if (short !== undefined) return { anyOf: [long, short].map((form) => forClients(form, nullable)) };
  const {
    allowed: _1,
    maxBytes: _2,
    alsoCalled: _3,
    unsupported: _4,
    secret: _5,
    required = [],
    properties,
    items,
    ...rest
  } = long;
  const clear = { ...rest, ...(items && { items: forClients(items, nullable) }) };
  if (properties === undefined) return clear;
  const wanted = required.filter((name) => properties[name]?.default === undefined);
  const fields = Object.entries(properties).map(([name, field]) => {
    const inner = forClients(field, nullable);
    return [name, nullable && !wanted.includes(name) ? orNull(inner) : inner];
  });
  return { ...clear, properties: Object.fromEntries(fields), ...(wanted.length > 0 && { required: wanted }) };
}

function orNull(schema: Schema): Schema {
  if (schema.anyOf !== undefined) return { ...schema, anyOf: [...schema.anyOf, { type: "null" }] };
  // Without a type it may be null already.
  if (schema.type === undefined) return schema;
  const type = [...new Set([schema.type, "null"].flat())];
  return { ...schema, type, ...(schema.enum && { enum: [...schema.enum, null] }) };
}
