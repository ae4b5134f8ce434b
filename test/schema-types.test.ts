/** What makes our schemas (src/common/type.ts) makes what TypeBox makes, whose types it has. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Type as TypeBox } from "typebox";
import { Type } from "../src/common/type.ts";

/** Everything that is used of it, in every way in which it is used. */
function schemas(made: typeof Type): object[] {
  const text = made.String({ minLength: 1, allowed: "a text" });
  const inner = made.Object(
    {
      text,
      count: made.Optional(made.Integer({ minimum: 0, default: 3 })),
      share: made.Optional(made.Number()),
      list: made.Array(made.Union([made.Boolean(), made.Null()], { description: "b" }), { minItems: 1 }),
    },
    { additionalProperties: false },
  );
  const optional = made.Optional(made.Unsafe<string>({ type: ["string", "null"] }));
  return [
    inner,
    made.Object({}),
    made.Object({ ...inner.properties, optional }),
    made.Object({ ...made.Partial(inner).properties, more: made.Unknown() }, { description: "all but one" }),
    made.Object(made.Omit(inner, ["text", "share"]).properties),
    made.Object({ twice: made.Optional(optional), copied: { ...text }, unmarked: { ...optional } }),
    made.Record(made.String(), inner, { description: "by name" }),
    made.Enum(["a", "b"], { type: "string", default: "a" }),
    made.Literal(1, { allowed: "1" }),
    made.Literal("x"),
    made.Literal(true),
    made.Array(made.Unknown({ description: "anything" })),
  ];
}

test("schemas are those that TypeBox makes, to the order of their keys", () => {
  const [own, theirs] = [schemas(Type), schemas(TypeBox)].map((all) => all.map((schema) => JSON.stringify(schema)));
  assert.deepEqual(own, theirs);
});
