/** What an answer's text has to be, in the grammar of llama.cpp: of its form, and of the tools that the model has to call or may. */
import { Kept } from "../common/kept.ts";
import { type Grammar } from "../grammar/expression.ts";
import { gbnfOf } from "../grammar/gbnf.ts";
import { type TextRequest } from "../request.ts";
import { formGrammar } from "./form-grammar.ts";
import { type ToolSyntax } from "./tools/find-syntax.ts";
import { toolGrammar } from "./tools/tool-grammar.ts";

/** By the tools as JSON; conversations ask for the same ones with each message. */
const kept = new Kept<Grammar | null>(16);
const written = new WeakMap<Grammar, string>();

/**
 * The same object for the same form and tools.
 * @param syntax null: the model has no tools
 * @returns null: any text will do
 * @throws {EngineFailure} `invalid_input`: a schema cannot be compiled, and why
 */
export function answerGrammar(request: TextRequest, syntax: ToolSyntax | null): Grammar | null {
  const { format } = request;
  const tools = request.kind === "chat" ? request.tools : undefined;
  if (tools === undefined || syntax === null) return format === undefined ? null : formGrammar(format);
  if (tools.choice === "auto" && format === undefined) return null;
  const key = JSON.stringify([tools, format, syntax.family.name, syntax.severalCalls]);
  return kept.get(key, () => toolGrammar(tools, syntax, format === undefined ? null : formGrammar(format)));
}

/** As llama.cpp reads it. */
export function gbnfFor(grammar: Grammar): string {
  const text = written.get(grammar) ?? gbnfOf(grammar);
  written.set(grammar, text);
  return text;
}
