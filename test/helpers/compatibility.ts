/**
 * Compares two JSON schemas, and two OpenAPI documents, and lists what a program written for the first one would miss in the second.
 *
 * What a client sends may only gain room: a value that was accepted is accepted still. What a client receives may only gain fields:
 * a value that is sent now would have been valid before, apart from fields that are new.
 */

/** The keywords of JSON Schema that the project uses. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly maxBytes?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

/** Who writes the values: clients and operators (`sent`), or the server (`received`). */
export type Direction = "sent" | "received";

export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}
interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content; readonly headers?: object }>>;
}
interface Parameter {
  readonly in: string;
  readonly name: string;
  readonly required?: boolean;
  readonly schema: Schema;
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>;
type Resolve = (schema: Schema) => Schema;

/** @returns a line for each difference that could break a client of `before`; none: it only grew */
export function documentLosses(before: ApiDocument, after: ApiDocument): string[] {
  const both = { before: resolver(before), after: resolver(after) };
  return Object.entries(before.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, old]) => {
      const at = `${method.toUpperCase()} ${path}`;
      const now = after.paths[path]?.[method];
      return now === undefined ? [`${at} is gone`] : operationLosses(old, now, at, both);
    }),
  );
}

/** As `documentLosses`, for one schema without references. */
export function schemaLosses(before: Schema, after: Schema, direction: Direction, at = ""): string[] {
  return compare(before, after, { direction, at, before: (schema) => schema, after: (schema) => schema });
}

interface Both {
  readonly before: Resolve;
  readonly after: Resolve;
}
interface Place extends Both {
  readonly direction: Direction;
  readonly at: string;
}

function resolver({ components }: ApiDocument): Resolve {
  return (schema) => {
    if (schema.$ref === undefined) return schema;
    const named = components.schemas[schema.$ref.replace("#/components/schemas/", "")];
    if (named === undefined) throw new Error(`${schema.$ref} is not in the document`);
    return named;
  };
}

function operationLosses(before: Operation, after: Operation, at: string, both: Both): string[] {
  const losses: string[] = [];
  if (before.operationId !== after.operationId) losses.push(`${at} is named ${after.operationId} now`);
  for (const old of before.parameters ?? []) {
    const place = `${at} ${old.in} ${old.name}`;
    const now = (after.parameters ?? []).find((one) => one.in === old.in && one.name === old.name);
    if (now === undefined) losses.push(`${place} is gone`);
    else losses.push(...compare(old.schema, now.schema, { ...both, direction: "sent", at: place }));
  }
  for (const now of after.parameters ?? []) {
    const isNew = !(before.parameters ?? []).some((old) => old.in === now.in && old.name === now.name && old.required);
    if (now.required === true && isNew) losses.push(`${at} ${now.in} ${now.name} is required now`);
  }
  if (before.requestBody?.required !== true && after.requestBody?.required === true)
    losses.push(`${at} needs a body now`);
  losses.push(
    ...contentLosses(before.requestBody?.content, after.requestBody?.content, {
      ...both,
      direction: "sent",
      at: `${at} body`,
    }),
  );
  for (const [status, old] of Object.entries(before.responses)) {
    const now = after.responses[status];
    const place = { ...both, direction: "received" as const, at: `${at} ${status}` };
    if (now === undefined) losses.push(`${place.at} is gone`);
    else losses.push(...contentLosses(old.content, now.content, place), ...headerLosses(old, now, place.at));
  }
  return losses;
}

function headerLosses(before: { headers?: object }, after: { headers?: object }, at: string): string[] {
  const gone = Object.keys(before.headers ?? {}).filter((name) => !Object.hasOwn(after.headers ?? {}, name));
  return gone.map((name) => `${at} header ${name} is gone`);
}

function contentLosses(before: Content = {}, after: Content = {}, place: Place): string[] {
  return Object.entries(before).flatMap(([type, old]) => {
    const now = after[type];
    return now === undefined ? [`${place.at} ${type} is gone`] : compare(old.schema, now.schema, place);
  });
}

function compare(old: Schema, now: Schema, place: Place): string[] {
  const before = place.before(old);
  const after = place.after(now);
  if (before.anyOf !== undefined || after.anyOf !== undefined) return alternativeLosses(before, after, place);
  return [
    ...typeLosses(before, after, place),
    ...choiceLosses(before, after, place),
    ...rangeLosses(before, after, place),
    ...sameLosses(before, after, place),
    ...propertyLosses(before, after, place),
    ...innerLosses(before, after, place),
  ];
}

/** In the order (given, allowed): what is sent must have been allowed; what is received must be allowed still. */
function ordered<T>({ direction }: Place, before: T, after: T): [given: T, allowed: T] {
  return direction === "sent" ? [before, after] : [after, before];
}

function typeLosses(before: Schema, after: Schema, place: Place): string[] {
  const [given, allowed] = ordered(place, typesOf(before), typesOf(after));
  if (allowed === null) return [];
  if (given === null) return [`${place.at}: its type was ${String(before.type)} and is ${String(after.type)}`];
  const beyond = given.filter((type) => !allowed.includes(type) && !(type === "integer" && allowed.includes("number")));
  return beyond.length === 0 ? [] : [`${place.at}: its type was ${given.join()} and is ${allowed.join()}`];
}

/** The types of the values, also of those that alternatives allow; null: any. */
function typesOf({ type, enum: values, anyOf }: Schema): readonly string[] | null {
  if (type !== undefined) return [type].flat();
  if (values !== undefined) return [...new Set(values.map((value) => (value === null ? "null" : typeof value)))];
  const each = anyOf?.map(typesOf);
  return each === undefined || each.includes(null) ? null : each.flatMap((types) => types ?? []);
}

function choiceLosses(before: Schema, after: Schema, place: Place): string[] {
  const [given, allowed] = ordered(place, choicesOf(before), choicesOf(after));
  if (allowed === undefined) return [];
  if (given === undefined) return [`${place.at}: it is one of ${allowed.join(", ")} now`];
  const beyond = given.filter((value) => !allowed.includes(value));
  const verb = place.direction === "sent" ? "is refused now" : "is new there";
  return beyond.map((value) => `${place.at}: ${value} ${verb}`);
}

function choicesOf({ enum: values, const: only }: Schema): readonly string[] | undefined {
  if (only !== undefined) return [JSON.stringify(only)];
  return values?.map((value) => JSON.stringify(value));
}

const LOWER = ["minimum", "exclusiveMinimum", "minLength", "minItems"] as const;
const UPPER = ["maximum", "maxLength", "maxItems", "maxBytes"] as const;

function rangeLosses(before: Schema, after: Schema, place: Place): string[] {
  const narrower = (keyword: (typeof LOWER | typeof UPPER)[number], none: number, sign: number): string[] => {
    const [given, allowed] = ordered(place, before[keyword] ?? none, after[keyword] ?? none);
    return sign * allowed > sign * given ? [`${place.at}: ${keyword} was ${given} and is ${allowed}`] : [];
  };
  return [
    ...LOWER.flatMap((keyword) => narrower(keyword, -Infinity, 1)),
    ...UPPER.flatMap((keyword) => narrower(keyword, Infinity, -1)),
  ];
}

/** What cannot be compared by more or less has to stay, or go away where that allows more. */
function sameLosses(before: Schema, after: Schema, place: Place): string[] {
  const losses: string[] = [];
  if (place.direction === "sent") {
    if (after.pattern !== undefined && after.pattern !== before.pattern)
      losses.push(`${place.at}: its pattern changed`);
    if (before.default !== undefined && JSON.stringify(before.default) !== JSON.stringify(after.default))
      losses.push(`${place.at}: its default changed to ${JSON.stringify(after.default)}`);
  }
  return losses;
}

function propertyLosses(before: Schema, after: Schema, place: Place): string[] {
  const losses: string[] = [];
  for (const [name, old] of Object.entries(before.properties ?? {})) {
    const at = `${place.at}.${name}`;
    const now = after.properties?.[name];
    if (now === undefined) losses.push(`${at} is gone`);
    else losses.push(...compare(old, now, { ...place, at }));
  }
  const [given, wanted] =
    place.direction === "sent" ? [before.required, after.required] : [after.required, before.required];
  for (const name of wanted ?? []) {
    if (given?.includes(name)) continue;
    // What is left out gets its default, whatever is required afterwards.
    if (place.direction === "sent" && after.properties?.[name]?.default !== undefined) continue;
    losses.push(`${place.at}.${name} is ${place.direction === "sent" ? "required now" : "not always there any more"}`);
  }
  return losses;
}

function innerLosses(before: Schema, after: Schema, place: Place): string[] {
  const losses: string[] = [];
  if (before.items !== undefined && after.items !== undefined)
    losses.push(...compare(before.items, after.items, { ...place, at: `${place.at}[]` }));
  for (const [pattern, old] of Object.entries(before.patternProperties ?? {})) {
    const now = after.patternProperties?.[pattern];
    const at = `${place.at}.*`;
    if (now === undefined) losses.push(`${at} is gone`);
    else losses.push(...compare(old, now, { ...place, at }));
  }
  if (typeof before.additionalProperties === "object" && typeof after.additionalProperties === "object")
    losses.push(...compare(before.additionalProperties, after.additionalProperties, { ...place, at: `${place.at}.*` }));
  if (before.additionalProperties !== false && after.additionalProperties === false && place.direction === "sent")
    losses.push(`${place.at}: unknown fields are refused now`);
  return losses;
}

/** Each alternative of what is given must fit one of what is allowed. */
function alternativeLosses(before: Schema, after: Schema, place: Place): string[] {
  const [given, allowed] = ordered(place, before.anyOf ?? [before], after.anyOf ?? [after]);
  const fits = (one: Schema, other: Schema): boolean => {
    const pair: [Schema, Schema] = place.direction === "sent" ? [one, other] : [other, one];
    return compare(...pair, place).length === 0;
  };
  const beyond = given.filter((one) => !allowed.some((other) => fits(one, other)));
  return beyond.map((one) => `${place.at}: the alternative ${JSON.stringify(one)} has no counterpart`);
}
