/**
 * The grammars of the forms that answers have to have. Programs ask for the same few forms again and again, so the last ones are kept.
 * The server has compiled the schema already, to see whether it can be: nothing of that is handed on. One takes up to a second: only the
 * thread of answer-forms.ts makes any.
 */
import { Kept } from "../../common/kept.ts";
import { compileSchema } from "../../grammar/compile.ts";
import type { Grammar } from "../../grammar/expression.ts";
import { ANY_OBJECT } from "../../grammar/json.ts";
import { GRAMMAR_LIMITS, SchemaError } from "../../grammar/limits.ts";
import { type AnswerFormat, argumentsSchema, type JsonSchema } from "../../request.ts";
import { EngineFailure } from "../failures.ts";

/** By the schema as JSON. */
const kept = new Kept<Grammar>(32);

/** Those that allow nothing but what is of their form. */
const exact = new WeakSet<Grammar>([ANY_OBJECT]);

/** Whether a whole text that follows the grammar of a form is of that form. @throws {EngineFailure} as `formGrammar` */
export function isExact(format: AnswerFormat): boolean {
  return exact.has(formGrammar(format));
}

/** The same object for the same form. @throws {EngineFailure} `invalid_input`: the schema cannot be compiled, and why */
export function formGrammar(format: AnswerFormat): Grammar {
  if (format.kind === "json") return ANY_OBJECT;
  return kept.get(JSON.stringify(format.schema), () => compiled(format.schema));
}

/**
 * The grammar of a tool's arguments.
 * @param schema absent: there are none @throws {EngineFailure} as `formGrammar`
 */
export function argumentsGrammar(schema: JsonSchema = { properties: {}, additionalProperties: false }): Grammar {
  if (typeof schema === "boolean") return ANY_OBJECT;
  return formGrammar({ kind: "schema", name: "arguments", schema: argumentsSchema(schema), strict: false });
}

function compiled(schema: JsonSchema): Grammar {
  try {
    const { grammar, inexact } = compileSchema(schema, GRAMMAR_LIMITS);
    if (inexact.length === 0) exact.add(grammar);
    return grammar;
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const where = error.pointer === "" ? "" : `, at ${error.pointer}`;
    throw new EngineFailure("invalid_input", `The schema cannot be compiled${where}: ${error.message}`, {
      cause: error,
    });
  }
}
