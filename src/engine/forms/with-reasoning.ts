/**
 * Grammars as a llama.cpp server is sent them. It holds an answer to one from its first token, so that the reasoning is a part of it, which may
 * be any text.
 */
import { EMPTY, type Expression, type Grammar, literal, optional, repeat, sequence } from "../../grammar/expression.ts";
import { textWithout } from "../../grammar/free-text.ts";
import type { AnswerShape } from "../answer-text.ts";

/** Blank lines that models put behind their reasoning. */
const BLANK_LINES = 2;

/** The grammar of an answer from its first token on. @param grammar of its text */
export function withReasoning(grammar: Grammar, shape: Pick<AnswerShape, "marks" | "isInside">): Grammar {
  return sequence(reasoningBefore(shape), grammar);
}

function reasoningBefore({ marks, isInside = false }: Pick<AnswerShape, "marks" | "isInside">): Expression {
  if (marks === null) return EMPTY;
  const rest = sequence(textWithout(marks.close), marks.close, repeat(literal("\n"), 0, BLANK_LINES));
  return isInside ? rest : optional(sequence(marks.open, rest));
}
