/** llama.cpp's own reading of grammars, without a model. */
import { getLlama, LlamaGrammar } from "node-llama-cpp";
import { compileSchema, type CompiledSchema } from "../../src/grammar/compile.ts";
import { type Grammar } from "../../src/grammar/expression.ts";
import { gbnfOf } from "../../src/grammar/gbnf.ts";
import { GRAMMAR_LIMITS } from "../../src/grammar/limits.ts";

const llama = await getLlama({ gpu: false, build: "never", logger: () => undefined });

/** Whether llama.cpp finds that a text is all of what the grammar says. */
export function matcherOf(grammar: Grammar): (text: string) => boolean {
  // Not part of the public interface, but the only matcher that does not need a model.
  const read = new LlamaGrammar(llama, { grammar: gbnfOf(grammar) }) as unknown as Readonly<
    Record<"_testText", (text: string) => boolean>
  >;
  return (text) => read["_testText"](text);
}

export function compiled(schema: unknown): CompiledSchema {
  return compileSchema(schema, GRAMMAR_LIMITS);
}

/** Whether a text matches a schema's grammar. */
export function matcherOfSchema(schema: unknown): (text: string) => boolean {
  return matcherOf(compiled(schema).grammar);
}
