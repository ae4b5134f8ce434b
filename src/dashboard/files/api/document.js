/** Reads the server's OpenAPI document: operations by group, fields with their types and limits, examples, and a line for a terminal. */
import { shellWord } from "../playground/snippets.js";

/**
 * @typedef {{
 *   $ref?: string, type?: string | readonly string[], enum?: readonly unknown[], const?: unknown, format?: string, description?: string,
 *   title?: string, properties?: Readonly<Record<string, Schema>>, required?: readonly string[], items?: Schema,
 *   additionalProperties?: Schema | boolean, anyOf?: readonly Schema[], oneOf?: readonly Schema[], allOf?: readonly Schema[],
 *   default?: unknown, example?: unknown, examples?: readonly unknown[], minimum?: number, maximum?: number,
 *   minLength?: number, maxLength?: number, minItems?: number, maxItems?: number, pattern?: string,
 * }} Schema
 */
/** @typedef {{ name: string, in: string, required?: boolean, description?: string, example?: unknown, schema: Schema }} Parameter */
/** @typedef {Readonly<Record<string, { schema?: Schema, example?: unknown, examples?: Readonly<Record<string, { value?: unknown }>> }>>} Content */
/** @typedef {{ description?: string, content?: Content }} Answer */
/**
 * @typedef {{
 *   operationId?: string, summary?: string, description?: string, tags?: readonly string[], security?: readonly object[],
 *   parameters?: readonly Parameter[], requestBody?: { required?: boolean, content: Content }, responses: Readonly<Record<string, Answer>>,
 * }} Written
 */
/**
 * @typedef {{
 *   info: { title: string, version: string, description?: string }, paths: Readonly<Record<string, Readonly<Record<string, Written>>>>,
 *   tags?: readonly { name: string, description?: string }[], components?: { schemas?: Readonly<Record<string, Schema>> },
 * }} Document
 */
/** @typedef {Written & { id: string, method: string, path: string, isOpen: boolean }} Operation */
/** @typedef {{ name: string, description: string, operations: readonly Operation[] }} Group */
/** @typedef {{ name: string, type: string, isRequired: boolean, description: string, limits: string, standard: unknown }} Field */

/**
 * All operations, in the groups of the document and in its order.
 * @param {Document} document
 * @returns {readonly Group[]}
 */
export function groupsOf(document) {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, written]) => ({
      ...written,
      path,
      method: method.toUpperCase(),
      id: written.operationId ?? `${method} ${path}`,
      isOpen: written.security?.length === 0,
    })),
  );
  const named = document.tags ?? [];
  const others = operations.flatMap(({ tags }) => tags ?? []).filter((tag) => !named.some(({ name }) => name === tag));
  const tags = [...named, ...[...new Set(others)].map((name) => ({ name, description: "" }))];
  return tags.flatMap(({ name, description = "" }) => {
    const ofGroup = operations.filter((one) => one.tags?.[0] === name);
    return ofGroup.length === 0 ? [] : [{ name, description, operations: ofGroup }];
  });
}

/**
 * Those that have every word somewhere in what is written of them; groups without any are left out.
 * @param {readonly Group[]} groups
 * @param {string} sought
 */
export function found(groups, sought) {
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return groups;
  return groups.flatMap((group) => {
    const operations = group.operations.filter((operation) => {
      const text = JSON.stringify(searchable(operation)).toLowerCase();
      return words.every((word) => text.includes(word));
    });
    return operations.length === 0 ? [] : [{ ...group, operations }];
  });
}

/** Answers are left out: all routes have the same failures. @param {Operation} operation */
function searchable({ id, method, path, summary, description, parameters, requestBody }) {
  return [id, `${method} ${path}`, summary, description, parameters, requestBody];
}

/**
 * The schema that is meant, where another one is named.
 * @param {Document} document
 * @param {Schema} schema
 * @returns {Schema}
 */
export function resolved(document, schema) {
  const name = schema.$ref?.split("/").at(-1);
  return name === undefined ? schema : (document.components?.schemas?.[name] ?? {});
}

/**
 * A type as TypeScript writes it.
 * @param {Document} document
 * @param {Schema} written
 * @returns {string}
 */
export function typeOf(document, written) {
  if (written.$ref !== undefined) return written.$ref.split("/").at(-1) ?? "";
  const { type, enum: values, const: constant, anyOf, oneOf, items } = written;
  if (values) return values.map((value) => JSON.stringify(value)).join(" | ");
  if (constant !== undefined) return JSON.stringify(constant);
  const forms = anyOf ?? oneOf;
  if (forms) return [...new Set(forms.map((form) => typeOf(document, form)))].join(" | ");
  const types = [type ?? (written.properties ? "object" : "any")].flat();
  return types.map((one) => (one === "array" ? listOf(document, items) : one)).join(" | ");
}

/** @param {Document} document @param {Schema | undefined} items */
function listOf(document, items) {
  const type = items ? typeOf(document, items) : "any";
  return type.includes(" ") ? `(${type})[]` : `${type}[]`;
}

/**
 * The limits of a value, in signs.
 * @param {Schema} schema
 */
export function limitsOf({ minimum, maximum, minLength, maxLength, minItems, maxItems }) {
  const least = minimum ?? minLength ?? minItems;
  const most = maximum ?? maxLength ?? maxItems;
  // A limit of the format is none of the field's.
  const isReal = most !== undefined && Math.abs(most) < Number.MAX_SAFE_INTEGER;
  if (least !== undefined && isReal) return least === most ? `= ${least}` : `${least} … ${most}`;
  if (least !== undefined) return `≥ ${least}`;
  return isReal ? `≤ ${most}` : "";
}

/** Levels of objects in each other that are shown in one table. */
const DEEPEST = 4;

/**
 * The fields of an object, those of objects inside it with a dot between the names.
 * @param {Document} document
 * @param {Schema} written
 * @param {string} [prefix]
 * @param {readonly Schema[]} [above]
 * @returns {Field[]}
 */
export function fieldsOf(document, written, prefix = "", above = []) {
  const schema = resolved(document, written);
  if (above.includes(schema) || above.length > DEEPEST) return [];
  const inside = [...above, schema];
  const forms = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((some) => some ?? []);
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, field]) => {
    const meant = resolved(document, field);
    const name = prefix + key;
    const isRequired = schema.required?.includes(key) ?? false;
    const description = field.description ?? meant.description ?? "";
    const row = {
      name,
      type: typeOf(document, field),
      isRequired,
      description,
      limits: limitsOf(meant),
      standard: meant.default,
    };
    return [row, ...fieldsInside(document, meant, name, inside)];
  });
  return [...own, ...forms.flatMap((form) => fieldsOf(document, form, prefix, inside))];
}

/** @param {Document} document @param {Schema} field @param {string} name @param {readonly Schema[]} above @returns {Field[]} */
function fieldsInside(document, field, name, above) {
  const { items, additionalProperties } = field;
  return [
    ...fieldsOf(document, field, `${name}.`, above),
    ...(items ? fieldsOf(document, items, `${name}[].`, above) : []),
    ...(typeof additionalProperties === "object" ? fieldsOf(document, additionalProperties, `${name}.*.`, above) : []),
  ];
}

/**
 * An example: one that is written, else one made of the types; required fields only where there are any.
 * @param {Document} document
 * @param {Schema} written
 * @param {number} [depth]
 * @returns {unknown}
 */
export function exampleOf(document, written, depth = 0) {
  const schema = resolved(document, written);
  const [given = schema.example ?? schema.const] = schema.examples ?? [];
  if (given !== undefined) return given;
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const form = (schema.anyOf ?? schema.oneOf ?? schema.allOf)?.[0];
  if (form) return exampleOf(document, form, depth + 1);
  const type = [schema.type ?? "object"].flat()[0];
  if (type === "array") return schema.items && depth < DEEPEST ? [exampleOf(document, schema.items, depth + 1)] : [];
  if (type === "object") return objectExample(document, schema, depth);
  return { string: "…", boolean: true, null: null }[String(type)] ?? schema.minimum ?? 0;
}

/** @param {Document} document @param {Schema} schema @param {number} depth */
function objectExample(document, { properties = {}, required }, depth) {
  const names = required ?? Object.keys(properties);
  if (depth > DEEPEST) return {};
  return Object.fromEntries(names.map((name) => [name, exampleOf(document, properties[name] ?? {}, depth + 1)]));
}

/**
 * The example of a body or an answer in one format.
 * @param {Document} document
 * @param {Content[string]} media
 */
export function exampleIn(document, { schema, example, examples }) {
  const [first] = Object.values(examples ?? {});
  return example ?? first?.value ?? (schema === undefined ? undefined : exampleOf(document, schema));
}

/** An example as it stands on the page. @param {unknown} example */
export function exampleText(example) {
  return typeof example === "string" ? example : JSON.stringify(example, null, 2);
}

/** The name of the environment's variable that has the key. */
const KEY = "ALT_LAS_API_KEY";

/**
 * The operation for a terminal. The key is not in it.
 * @param {Document} document
 * @param {Operation} operation
 * @param {string} base the server's address, without a slash at its end
 */
export function curlOf(document, { method, path, parameters = [], requestBody, isOpen, responses }, base) {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_all, name) => {
    const parameter = parameters.find((one) => one.in === "path" && one.name === name);
    const example = parameter?.example ?? (parameter && exampleOf(document, parameter.schema));
    return example === undefined || example === "…" ? name.toUpperCase() : String(example);
  });
  const asked = parameters.filter((one) => one.in === "query" && one.required === true);
  const query = new URLSearchParams(
    asked.map(({ name, example, schema }) => [name, String(example ?? exampleOf(document, schema))]),
  );
  const sent = requestBody && bodyWords(document, requestBody.content);
  const isStream = Object.values(responses).some(
    ({ content }) => Object.keys(content ?? {})[0] === "text/event-stream",
  );
  // With a body curl sends a POST by itself.
  const isPlain = method === "GET" || (method === "POST" && sent !== undefined);
  const lines = [
    `curl -s${isStream ? "N" : ""}${isPlain ? "" : ` -X ${method}`} ${shellWord(base + filled + (asked.length > 0 ? `?${query}` : ""))}`,
    ...(isOpen ? [] : [`-H "Authorization: Bearer $${KEY}"`]),
    ...(sent ?? []),
  ];
  return lines.join(" \\\n  ");
}

/** A body as curl is told it. @param {Document} document @param {Content} content */
function bodyWords(document, content) {
  const form = content["multipart/form-data"];
  if (form?.schema === undefined) {
    const example = exampleIn(document, content["application/json"] ?? {});
    return ["-H 'Content-Type: application/json'", `-d ${shellWord(JSON.stringify(example))}`];
  }
  const { properties = {} } = resolved(document, form.schema);
  return Object.entries(Object(exampleIn(document, form))).map(([name, value]) => {
    const isFile = resolved(document, properties[name] ?? {})["format"] === "binary";
    return `-F ${shellWord(`${name}=${isFile ? `@${name.toUpperCase()}` : value}`)}`;
  });
}
