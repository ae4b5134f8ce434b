/** The grammars of what is asked for. Programs ask for the same few forms again and again, so the last ones are kept. */
import { compileSchema } from "../../grammar/compile.ts";
import { type Grammar } from "../../grammar/expression.ts";
import { ANY_OBJECT } from "../../grammar/json.ts";
import { type GrammarLimits, SchemaError } from "../../grammar/limits.ts";
import { type AnswerFormat, type JsonSchema } from "../../request.ts";
import { EngineFailure } from "../failures.ts";

const KEPT = 32;

/** Generous: what is too large was refused before it came here. */
const LIMITS: GrammarLimits = { schemaLength: 1e6, depth: 100, steps: 5e6, grammarLength: 4e6 };

/** By the schema as JSON; the least recently used first. */
const kept = new Map<string, Grammar>();

/** @throws {EngineFailure} `invalid_input`: the schema cannot be compiled, with the reason */
export function formGrammar(format: AnswerFormat): Grammar {
  return format.kind === "json" ? ANY_OBJECT : grammarOf(format.schema);
}

/** @param schema undefined: there are none @throws {EngineFailure} as `formGrammar` */
export function argumentsGrammar(schema: JsonSchema = { properties: {}, additionalProperties: false }): Grammar {
  return typeof schema === "boolean" ? ANY_OBJECT : grammarOf({ ...schema, type: "object" });
}

function grammarOf(schema: JsonSchema): Grammar {
  const key = JSON.stringify(schema);
  const grammar = kept.get(key) ?? compiled(schema);
  kept.delete(key);
  kept.set(key, grammar);
  const [oldest] = kept.keys();
  if (kept.size > KEPT) kept.delete(oldest!);
  return grammar;
}

function compiled(schema: JsonSchema): Grammar {
  try {
    return compileSchema(schema, LIMITS).grammar;
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const where = error.pointer === "" ? "" : `, at ${error.pointer}`;
    throw new EngineFailure("invalid_input", `The schema cannot be compiled${where}: ${error.message}`, {
      cause: error,
    });
  }
}
