/** Sentences about the faults of a value that does not fit its schema. */
import type { ErrorObject, ValidateFunction } from "ajv";
import { isMistyped } from "./mistyped.ts";

/** The parts of a JSON schema that `expected` puts into words. */
interface SchemaPart {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly SchemaPart[];
  readonly items?: SchemaPart;
  readonly properties?: Readonly<Record<string, SchemaPart>>;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  /** Our own keyword: how long a string may be, in bytes of UTF-8. */
  readonly maxBytes?: number;
  /** Our own keyword: what is allowed, in words, where the schema alone would say it badly. */
  readonly allowed?: string;
  /** Our own keyword: the value must not be repeated in a sentence. */
  readonly secret?: boolean;
  /** Our own keyword: what other programs call this field, for hints. */
  readonly alsoCalled?: readonly string[];
  /** Our own keyword: other values would mean something, and nothing here can do it. */
  readonly unsupported?: boolean;
}

/** A value that does not fit its schema. */
export interface Misfit {
  /** Where: the keys and indices from the root to the value. */
  readonly path: readonly (string | number)[];
  /** The field at fault, which may be missing there; null: it is the whole. */
  readonly field: string | null;
  /** Names the field, what was given and what is allowed. */
  readonly sentence: string;
  /** It would mean something, but nothing here can do it. */
  readonly unsupported?: boolean;
}

/** Says what is wrong, for the first thing that is wrong. */
export function misfitOf(validate: ValidateFunction | { errors?: ErrorObject[] | null }, root = "the body"): Misfit {
  // Where alternatives failed, Ajv lists each alternative's error first and the error about all of them last. Not so for "if":
  // what comes last there says only which branch failed.
  const error = validate.errors?.findLast(({ keyword }) => keyword !== "if");
  if (error === undefined) throw new Error("misfitOf was called for a value that fits");
  return describe(error, pathOf(error), root);
}

/** Says everything that is wrong, once for each value, for a function that was made with `allErrors`. */
export function misfitsOf({ errors }: ValidateFunction, root = "the body"): Misfit[] {
  const all = (errors ?? []).filter(({ keyword }) => keyword !== "if");
  // The sentence about all alternatives names what each of them wants.
  const unions = new Set(all.filter(({ keyword }) => keyword === "anyOf").map(({ schemaPath }) => `${schemaPath}/`));
  const isOfBranch = ({ schemaPath }: ErrorObject): boolean =>
    unions.values().some((one) => schemaPath.startsWith(one));
  const misfits = all.filter((error) => !isOfBranch(error)).map((error) => withQuotes(error, root));
  return [...new Map(misfits.map((misfit) => [misfit.sentence, misfit])).values()];
}

/** YAML takes 0042 for the number 42; quotes make a text of anything. */
function withQuotes(error: ErrorObject, root: string): Misfit {
  const misfit = describe(error, pathOf(error), root);
  const { sentence } = misfit;
  const isPlain = typeof error.data === "number" || typeof error.data === "boolean";
  if (error.keyword !== "type" || error.params.type !== "string" || !isPlain) return misfit;
  const what = `got ${kindOf(error.data)}`;
  const told = sentence.endsWith(`${what}.`) ? sentence.slice(0, -1) : `${sentence.slice(0, -1)}, ${what.slice(4)}`;
  return { ...misfit, sentence: `${told}; put it in quotes.` };
}

function pathOf({ instancePath }: ErrorObject): (string | number)[] {
  return instancePath
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
}

function describe(error: ErrorObject, path: (string | number)[], root: string): Misfit {
  const schema = error.parentSchema as SchemaPart;
  const here = fieldName(path, root);
  const field = path.length === 0 ? null : here;
  if (error.keyword === "required") {
    const missing = String(error.params.missingProperty);
    const mistaken = misnamed(missing, error.data, schema);
    if (mistaken !== undefined) return unknownField(mistaken, path, root, schema);
    const wanted = schema.properties?.[missing];
    const name = fieldName([...path, missing], root);
    return { path, field: name, sentence: `${name} is missing; it must be ${wanted ? expected(wanted) : "given"}.` };
  }
  if (error.keyword === "additionalProperties") {
    return unknownField(String(error.params.additionalProperty), path, root, schema);
  }
  if (error.keyword === "maxBytes") {
    const bytes = Buffer.byteLength(String(error.data));
    return { path, field, sentence: `${here} must be at most ${schema.maxBytes} bytes in UTF-8; got ${bytes} bytes.` };
  }
  if (error.keyword === "maxLength" && schema.secret !== true) {
    const characters = Array.from(String(error.data)).length;
    return { path, field, sentence: `${here} must be at most ${error.params.limit} characters; got ${characters}.` };
  }
  if (error.keyword === "maximum" && schema.maximum === Number.MAX_SAFE_INTEGER) {
    return { path, field, sentence: `${here} must be at most ${schema.maximum}; got ${shown(error.data)}.` };
  }
  if ((error.keyword === "minLength" || error.keyword === "minItems") && isItemOfKinds(path, schema)) {
    return { path, field, sentence: `${here} must not be empty.` };
  }
  const given = schema.secret === true ? kindOf(error.data) : shown(error.data);
  const sentence = `${here} must be ${expected(schema)}; got ${given}.`;
  return schema.unsupported === true ? { path, field, sentence, unsupported: true } : { path, field, sentence };
}

/** Whether it is an item that may be several things, of which only being empty is wrong. */
function isItemOfKinds(path: readonly (string | number)[], { type }: SchemaPart): boolean {
  return typeof path.at(-1) === "number" && Array.isArray(type);
}

/** `batch[3].text` for ["batch", 3, "text"]. */
export function fieldName(path: readonly (string | number)[], root: string): string {
  if (path.length === 0) return root;
  return path.map((part, i) => (typeof part === "number" ? `[${part}]` : i === 0 ? part : `.${part}`)).join("");
}

/** The values that a schema allows, in words. */
export function expected(schema: SchemaPart): string {
  if (schema.allowed !== undefined) return schema.allowed;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return `one of ${schema.enum.map((value) => JSON.stringify(value)).join(", ")}`;
  if (schema.anyOf !== undefined) return alternatives(schema.anyOf);
  switch (schema.type) {
    case "integer":
      return `an integer${range(schema)}`;
    case "number":
      return `a number${range(schema)}`;
    case "boolean":
      return "true or false";
    case "string":
      return schema.minLength ? "a string that is not empty" : "a string";
    case "array":
      return `a list${sizes(schema)}${schema.items ? ` of items that are ${expected(schema.items)}` : ""}`;
    case "object":
      return "an object";
    default:
      return "something else";
  }
}

function alternatives(schemas: readonly SchemaPart[]): string {
  if (schemas.every((schema) => schema.const !== undefined)) {
    return `one of ${schemas.map((schema) => JSON.stringify(schema.const)).join(", ")}`;
  }
  return schemas.map(expected).join(", or ");
}

function range({ minimum, maximum: most }: SchemaPart): string {
  // Beyond it integers are not exact, so it is a limit of JSON's readers rather than one of ours.
  const maximum = most === Number.MAX_SAFE_INTEGER ? undefined : most;
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return ` of at least ${minimum}`;
  if (maximum !== undefined) return ` of at most ${maximum}`;
  return "";
}

function sizes({ minItems, maxItems }: SchemaPart): string {
  if (minItems !== undefined && maxItems !== undefined) return ` of ${minItems} to ${maxItems}`;
  return minItems === undefined ? "" : ` of at least ${minItems}`;
}

/** Describes a secret without telling it. */
function kindOf(value: unknown): string {
  if (typeof value === "number") return "a number";
  if (typeof value === "boolean") return "no text";
  if (value === "") return "an empty one";
  return typeof value === "string" ? "something else" : shown(value);
}

/** A value as a person would recognise it, cut to a length that fits a sentence. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value !== null && typeof value === "object") return "an object";
  // JSON has no word for a number like 1e400, which JavaScript reads as Infinity.
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "no value");
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function unknownField(unknown: string, path: (string | number)[], root: string, schema: SchemaPart): Misfit {
  const name = fieldName([...path, unknown], root);
  return {
    path: [...path, unknown],
    field: name,
    sentence: `${name} is not a known field; ${suggestion(unknown, schema)}.`,
  };
}

/** A field that was given and was probably meant to be one that is missing. */
function misnamed(missing: string, given: unknown, schema: SchemaPart): string | undefined {
  const names = Object.keys(Object(given)).filter((name) => !Object.hasOwn(schema.properties ?? {}, name));
  return names.find((name) => meant(name, schema) === missing);
}

/** Names the known field that an unknown one was probably meant to be, else all of them. */
function suggestion(unknown: string, schema: SchemaPart): string {
  const known = Object.keys(schema.properties ?? {});
  if (known.length === 0) return "nothing is allowed there";
  const close = meant(unknown, schema);
  return close === undefined ? `known are ${known.join(", ")}` : `perhaps ${close} was meant`;
}

/** The field that a name means: another program's word for it, the name of a field one level further in, or one mistyped. */
function meant(unknown: string, { properties = {} }: SchemaPart): string | undefined {
  const name = unknown.toLowerCase();
  const fields = Object.entries(properties);
  const deeper = fields.flatMap(([outer, { properties: inner = {} }]) =>
    Object.entries(inner).map(([field, schema]): [string, SchemaPart] => [`${outer}.${field}`, schema]),
  );
  const isCalled = ([path, { alsoCalled = [] }]: [string, SchemaPart]): boolean =>
    path.split(".").at(-1) === name || alsoCalled.includes(name);
  const found = fields.find(isCalled) ?? deeper.find(isCalled) ?? fields.find(([field]) => isMistyped(field, name));
  return found?.[0];
}
