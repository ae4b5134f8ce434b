/** Notes on what a schema says in vain. JSON Schema allows keywords that nobody knows, so that a misspelt one asks for nothing. */
import { distance, isMistyped } from "../common/mistyped.ts";
import { FORMATS, isFormat } from "./formats.ts";
import { KEYWORDS } from "./keywords.ts";
import { escaped, isObject, type JsonObject, MAPS } from "./schema-node.ts";

/** A part of a schema that is allowed, and was hardly meant. */
export interface Note {
  /** A JSON pointer. */
  readonly pointer: string;
  /** A sentence, as it stands behind a colon. */
  readonly why: string;
}

/** More than anybody is told of. */
const MOST_NOTES = 10;
/** Names that are compared with the keywords. */
const MOST_NAMES = 1000;

/** Keywords that ask for nothing: those of the standard, and what OpenAPI, pydantic, zod and editors write beside them. */
const ANNOTATIONS: ReadonlySet<string> = new Set(
  (
    "$anchor $async $comment $defs $dynamicAnchor $id $recursiveAnchor $schema $vocabulary contentEncoding contentMediaType contentSchema default " +
    "definitions deprecated description deprecationMessage discriminator enumDescriptions enumNames errorMessage example examples externalDocs id " +
    "markdownDescription nullable optional propertyOrdering readOnly title tsType writeOnly xml"
  ).split(" "),
);

/** Keywords whose value is a schema, or a list of schemas. */
const SCHEMAS = [
  "additionalItems",
  "additionalProperties",
  "allOf",
  "anyOf",
  "contains",
  "else",
  "if",
  "items",
  "not",
  "oneOf",
  "prefixItems",
  "propertyNames",
  "then",
  "unevaluatedItems",
  "unevaluatedProperties",
];

/** The notes on a schema that can be compiled, which bounds how deep it is. */
export function notesOf(schema: unknown): readonly Note[] {
  const found: Note[] = [];
  const names = new Map<string, string | undefined>();
  look(schema, "");
  return found.slice(0, MOST_NOTES);

  function look(part: unknown, pointer: string): void {
    if (Array.isArray(part)) return part.forEach((one, at) => look(one, `${pointer}/${at}`));
    if (!isObject(part) || found.length >= MOST_NOTES) return;
    found.push(...namesIn(part, pointer, names), ...formatIn(part, pointer));
    for (const keyword of SCHEMAS) look(part[keyword], `${pointer}/${keyword}`);
    for (const keyword of MAPS) {
      const map = part[keyword];
      if (!isObject(map)) continue;
      for (const [name, value] of Object.entries(map)) look(value, `${pointer}/${keyword}/${escaped(name)}`);
    }
  }
}

/** @param known what is meant by names that were looked at before */
function namesIn(schema: JsonObject, pointer: string, known: Map<string, string | undefined>): readonly Note[] {
  const given = Object.keys(schema);
  // A name that begins with another sign, as x-order or @type, is an extension of somebody's.
  const odd = given.filter((name) => /^(?!x-)[a-z$]/i.test(name) && !KEYWORDS.has(name) && !ANNOTATIONS.has(name));
  const notes = odd.flatMap((name): Note[] => {
    if (!known.has(name) && known.size < MOST_NAMES) known.set(name, keywordMeant(name));
    const meant = known.get(name);
    // A schema that has the keyword itself means something else by a name like it.
    if (meant === undefined || Object.hasOwn(schema, meant)) return [];
    const why = `this is no keyword and does nothing; perhaps ${meant} was meant.`;
    return [{ pointer: `${pointer}/${escaped(name)}`, why }];
  });
  if (notes.length > 0 || odd.length === 0) return notes;
  // Below the root, a schema with a title alone says on purpose that anything will do.
  if (pointer !== "" && given.some((name) => ANNOTATIONS.has(name))) return [];
  // {"type": "object", "city": {…}} at the root: the properties stand where the keywords belong.
  const isObjectAlone = pointer === "" && schema["type"] === "object";
  if (given.some((name) => KEYWORDS.has(name) && !(isObjectAlone && name === "type"))) return [];
  const inner = pointer === "" && isObject(schema["schema"]) ? "; perhaps its field schema was meant" : "";
  const why = isObjectAlone
    ? `it has no keyword beside type, and allows any object${inner}.`
    : `it has no keyword, and allows any JSON${inner}.`;
  return [{ pointer, why }];
}

function keywordMeant(name: string): string | undefined {
  const lower = name.toLowerCase();
  const wrong = name.length > 5 ? 2 : 1;
  // Names of three letters are near to too much.
  return [...KEYWORDS].find(
    (keyword) =>
      keyword.length > 3 &&
      Math.abs(keyword.length - name.length) <= wrong &&
      distance(keyword.toLowerCase(), lower) <= wrong,
  );
}

function formatIn({ format }: JsonObject, pointer: string): readonly Note[] {
  if (typeof format !== "string" || isFormat(format)) return [];
  const meant = FORMATS.find((known) => isMistyped(known, format.toLowerCase()));
  const hint = meant === undefined ? "" : `; perhaps ${meant} was meant`;
  return [{ pointer: `${pointer}/format`, why: `this is no known format and does nothing${hint}.` }];
}
