/** The grammar of an answer, as llama.cpp reads it: of its form, and of the tools that the model has to call or may. */
import { excessOf } from "../../grammar/elements.ts";
import type { Grammar } from "../../grammar/expression.ts";
import { gbnfOf } from "../../grammar/gbnf.ts";
import { GRAMMAR_LIMITS } from "../../grammar/limits.ts";
import type { Tools } from "../../request.ts";
import { EngineFailure } from "../failures.ts";
import { FAMILIES } from "../tools/families.ts";
import { toolGrammar } from "../tools/tool-grammar.ts";
import { formGrammar } from "./form-grammar.ts";
import type { Form } from "./questions.ts";
import { withReasoning } from "./with-reasoning.ts";

/**
 * The whole answer as llama.cpp reads it. Where many tools are too large together, those that are not strict take any arguments: each of them has
 * been taken before the queue.
 * @throws {EngineFailure} `invalid_input`: a schema cannot be compiled, or what has to be kept is too large, and why
 */
export function answerGbnf(form: Form): string {
  const whole = written(form);
  if (whole.excess === null) return whole.gbnf;
  const { gbnf, excess } = form.calls === null ? whole : written({ ...form, calls: loosened(form.calls) });
  if (excess === null) return gbnf;
  throw new EngineFailure("invalid_input", `The grammar of the answer's form and tools ${excess}.`);
}

function written(form: Form): { readonly gbnf: string; readonly excess: string | null } {
  const text = textGrammar(form);
  const grammar = form.reasoning === null ? text : withReasoning(text, form.reasoning);
  const gbnf = gbnfOf(grammar);
  return { gbnf, excess: excessOf(grammar, gbnf, GRAMMAR_LIMITS) };
}

/** Of the text behind the reasoning. @throws {EngineFailure} as `answerGbnf` */
export function textGrammar({ format, calls }: Form): Grammar {
  const document = format === null ? null : formGrammar(format);
  if (calls === null) return document!;
  const { tools, family, severalCalls } = calls;
  const found = FAMILIES.find(({ name }) => name === family);
  if (found === undefined) throw new Error(`No family of calls is called ${family}.`);
  return toolGrammar(tools, { family: found, severalCalls }, document);
}

function loosened<Calls extends { readonly tools: Tools }>(calls: Calls): Calls {
  const list = calls.tools.list.map((tool) => (tool.strict === true ? tool : { ...tool, parameters: true }));
  return { ...calls, tools: { ...calls.tools, list } };
}
