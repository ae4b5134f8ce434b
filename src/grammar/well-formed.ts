/**
 * Checks of the values of keywords. A keyword that is not looked at, since its neighbours decide alone, must not be anything either:
 * whoever checks the answer later reads all of them.
 */
import { SchemaError } from "./limits.ts";
import { escaped, isObject, type JsonObject, nameOf } from "./schema-node.ts";

/** A part of the value that is wrong, behind its pointer, and what it must be; null: it is right. */
type Form = (value: unknown) => { readonly below: string; readonly what: string } | null;

const SCHEMA = is("a schema: an object, true or false", (value) => typeof value === "boolean" || isObject(value));
const FLAG = is("true or false", (value) => typeof value === "boolean");
const COUNT = is("a whole number from 0 on", (value) => Number.isInteger(value) && (value as number) >= 0);
const TEXT = is("a text", (value) => typeof value === "string");
const NAMES = is("a list of names", isListOfNames);
const LIST = is("a list", Array.isArray);
const MAP = is("an object", isObject);
const SCHEMAS = within(LIST, SCHEMA);

/** Those that the groups of keywords.ts may pass over; they read all others themselves. */
const FORMS: ReadonlyMap<string, Form> = new Map([
  ...["$id", "$anchor", "$dynamicAnchor"].map((keyword): [string, Form] => [keyword, TEXT]),
  ...["nullable", "uniqueItems"].map((keyword): [string, Form] => [keyword, FLAG]),
  ...["minContains", "maxContains"].map((keyword): [string, Form] => [keyword, COUNT]),
  ...["additionalItems", "additionalProperties", "contains", "propertyNames"].map((one): [string, Form] => [
    one,
    SCHEMA,
  ]),
  ...["unevaluatedItems", "unevaluatedProperties"].map((keyword): [string, Form] => [keyword, SCHEMA]),
  ...["if", "then", "else", "not"].map((keyword): [string, Form] => [keyword, SCHEMA]),
  ["prefixItems", SCHEMAS],
  ["items", (value) => (Array.isArray(value) ? SCHEMAS : SCHEMA)(value)],
  ...["properties", "patternProperties", "dependentSchemas"].map((one): [string, Form] => [one, within(MAP, SCHEMA)]),
  ["dependentRequired", within(MAP, NAMES)],
  ["dependencies", within(MAP, (value) => (Array.isArray(value) ? NAMES : SCHEMA)(value))],
]);

/** @param pointer of the schema @throws SchemaError naming the keyword whose value is none */
export function checkForms(schema: JsonObject, pointer: string): void {
  for (const [keyword, value] of Object.entries(schema)) {
    const wrong = value === undefined ? null : (FORMS.get(keyword)?.(value) ?? null);
    if (wrong === null) continue;
    const place = `${pointer}/${escaped(keyword)}`;
    const { below, what } = wrong;
    const inner = below === "" ? value : (value as JsonObject)[below];
    if (below === "") throw new SchemaError(place, `${keyword} must be ${what}; got ${nameOf(inner)}.`);
    throw new SchemaError(`${place}/${escaped(below)}`, `a part of ${keyword} must be ${what}; got ${nameOf(inner)}.`);
  }
}

function is(what: string, fits: (value: unknown) => boolean): Form {
  const wrong = { below: "", what };
  return (value) => (fits(value) ? null : wrong);
}

/** @param whole of the list or the object @param part of each value in it */
function within(whole: Form, part: Form): Form {
  return (value) => {
    const wrong = whole(value);
    if (wrong !== null) return wrong;
    for (const [below, one] of Object.entries(value as JsonObject)) {
      const inner = part(one);
      if (inner !== null) return { below, what: inner.what };
    }
    return null;
  };
}

function isListOfNames(value: unknown): boolean {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}
