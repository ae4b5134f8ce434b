/**
 * The grammars of the forms that answers have to have. Programs ask for the same few forms again and again, so the last ones are kept.
 * Whoever took the request has compiled its schema already, to see whether it can be: nothing of that is handed on.
 */
import { compileSchema } from "../grammar/compile.ts";
import { type Grammar } from "../grammar/expression.ts";
import { gbnfOf } from "../grammar/gbnf.ts";
import { ANY_OBJECT } from "../grammar/json.ts";
import { GRAMMAR_LIMITS, SchemaError } from "../grammar/limits.ts";
import { type AnswerFormat, type JsonSchema } from "../request.ts";
import { EngineFailure } from "./failures.ts";

const KEPT = 32;

/** By the schema as JSON, "" for any object; the least recently used first. */
const kept = new Map<string, Form>();

interface Form {
  readonly grammar: Grammar;
  /** undefined: nobody has asked for it yet. */
  gbnf?: string;
}

/** @throws {EngineFailure} `invalid_input`: the schema cannot be compiled, and why */
export function formGrammar(format: AnswerFormat): Grammar {
  return formOf(format).grammar;
}

/**
 * The grammar of a tool's arguments.
 * @param schema absent: there are none @throws {EngineFailure} as `formGrammar`
 */
export function argumentsGrammar(schema: JsonSchema = { properties: {}, additionalProperties: false }): Grammar {
  if (typeof schema === "boolean") return ANY_OBJECT;
  return formGrammar({ kind: "schema", name: "arguments", schema: { ...schema, type: "object" }, strict: false });
}

/** As llama.cpp reads it. @throws {EngineFailure} as `formGrammar` */
export function formGbnf(format: AnswerFormat): string {
  const form = formOf(format);
  return (form.gbnf ??= gbnfOf(form.grammar));
}

function formOf(format: AnswerFormat): Form {
  const key = format.kind === "json" ? "" : JSON.stringify(format.schema);
  const form = kept.get(key) ?? { grammar: format.kind === "json" ? ANY_OBJECT : compiled(format.schema) };
  kept.delete(key);
  kept.set(key, form);
  const [oldest] = kept.keys();
  if (kept.size > KEPT) kept.delete(oldest!);
  return form;
}

function compiled(schema: JsonSchema): Grammar {
  try {
    return compileSchema(schema, GRAMMAR_LIMITS).grammar;
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    const where = error.pointer === "" ? "" : `, at ${error.pointer}`;
    throw new EngineFailure("invalid_input", `The schema cannot be compiled${where}: ${error.message}`, {
      cause: error,
    });
  }
}
