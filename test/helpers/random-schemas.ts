/** Random JSON Schemas: every keyword with every other one, over few names and values, so that they meet. */
import fc from "fast-check";

const scalar = fc.constantFrom<unknown>(null, true, false, 0, 1, 2, -3, 1.5, "", "a", "ab", "b\n", "é");
const value = fc.oneof(
  { weight: 5, arbitrary: scalar },
  { weight: 1, arbitrary: fc.array(scalar, { maxLength: 2 }) },
  { weight: 1, arbitrary: fc.dictionary(fc.constantFrom("a", "b", "c"), scalar, { maxKeys: 2 }) },
);
const name = fc.constantFrom("a", "b", "c", "ab");
const names = fc.uniqueArray(name, { maxLength: 2 });
const optional = { requiredKeys: [] };

const TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"];

function keywordsWith(schema: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  const one = fc.array(schema, { minLength: 1, maxLength: 3 });
  const keys = fc.dictionary(name, schema, { maxKeys: 3 });
  return fc.oneof(
    fc.record({ type: fc.subarray(TYPES, { minLength: 1 }) }),
    fc.record({ enum: fc.array(value, { minLength: 1, maxLength: 3 }) }),
    fc.record({ const: value }),
    fc.record({ minimum: fc.constantFrom(-3, 0, 1, 1.5), maximum: fc.constantFrom(1.5, 5, 100) }, optional),
    fc.record({ exclusiveMinimum: fc.constantFrom(-3, 0, 1.5), exclusiveMaximum: fc.constantFrom(1.5, 10) }, optional),
    fc.record({ multipleOf: fc.constantFrom(2, 3, 0.5, 10) }),
    fc.record({ minLength: fc.constantFrom(0, 1, 2), maxLength: fc.constantFrom(1, 3) }, optional),
    fc.record({ pattern: fc.constantFrom("^a", "b$", "^[ab]*$", "a|^b", "^(?!a)", "\\d", "^\\S+$", "") }),
    fc.record({ format: fc.constantFrom("date", "ipv4", "uuid", "int32") }),
    fc.record(
      {
        properties: keys,
        required: names,
        additionalProperties: schema,
        patternProperties: fc.dictionary(fc.constantFrom("^a", "b"), schema, { maxKeys: 2 }),
      },
      optional,
    ),
    fc.record({ minProperties: fc.constantFrom(0, 1, 2), maxProperties: fc.constantFrom(1, 2, 3) }, optional),
    fc.record({ propertyNames: schema }),
    fc.record({ dependentRequired: fc.dictionary(name, names, { maxKeys: 2 }) }),
    fc.record({ dependentSchemas: fc.dictionary(name, schema, { maxKeys: 1 }) }),
    fc.record(
      { items: schema, prefixItems: one, minItems: fc.nat(2), maxItems: fc.integer({ min: 1, max: 3 }) },
      optional,
    ),
    fc.record({ uniqueItems: fc.constant(true), items: fc.record({ enum: one }) }, { requiredKeys: ["uniqueItems"] }),
    fc.record({ contains: schema }),
    fc.record({ not: schema }),
    fc.record({ allOf: one }),
    fc.record({ anyOf: one }),
    fc.record({ oneOf: one }),
    fc
      .tuple(schema, schema, schema)
      .map((parts) => Object.fromEntries(parts.map((part, at) => [["if", "then", "else"][at], part]))),
    fc.record({ unevaluatedProperties: fc.constant(false), properties: keys }),
  );
}

const { schema } = fc.letrec<{ schema: unknown; keywords: object }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom<unknown>(
      true,
      false,
      {},
      { type: "string" },
      { type: "integer" },
      { type: "object" },
      { $ref: "#/$defs/x" },
    ),
    tie("keywords"),
    fc.tuple(tie("keywords"), tie("keywords")).map(([one, other]) => ({ ...one, ...other })),
  ),
  keywords: keywordsWith(tie("schema")),
}));

/** As JSON.parse gives them; they may refer to a second one, and that one to itself. */
export const randomSchemas: fc.Arbitrary<unknown> = fc
  .tuple(schema, schema)
  .map(([one, x]): unknown => JSON.parse(JSON.stringify(typeof one === "object" ? { ...one, $defs: { x } } : one)));
