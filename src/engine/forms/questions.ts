/** The questions to the thread that makes an engine's grammars, and its answers; see answer-forms.ts. */
import type { AnswerFormat, TextRequest, Tool, ToolCall, Tools } from "../../request.ts";
import type { AnswerShape } from "../answer-text.ts";
import type { ToolSyntax } from "../tools/find-syntax.ts";
import { mustCall } from "../tools/tool-choice.ts";

/** The form that an answer has to have. Not both of `format` and `calls` are null. */
export interface Form {
  /** Where the model calls no tool; null: any text, or there is no such case. */
  readonly format: AnswerFormat | null;
  /** null: the model calls none, or as it likes. */
  readonly calls: {
    readonly tools: Tools;
    /** The name of its syntax. */
    readonly family: string;
    readonly severalCalls: boolean;
  } | null;
  /** The reasoning that the grammar has to begin with; null: it is of the text behind that alone. */
  readonly reasoning: Pick<AnswerShape, "marks" | "isInside"> | null;
}

/** @param syntax null: the model has no tools @returns null: any text will do */
export function formOf(request: TextRequest, syntax: ToolSyntax | null): Form | null {
  const { format = null } = request;
  const tools = request.kind === "chat" ? request.tools : undefined;
  if (tools === undefined || syntax === null) return format === null ? null : { format, calls: null, reasoning: null };
  if (!mustCall(tools) && format === null) return null;
  const calls = { tools, family: syntax.family.name, severalCalls: syntax.severalCalls };
  return { format, calls, reasoning: null };
}

/** Random texts of a form, or random arguments for tools. */
export type Sayable = { readonly format: AnswerFormat } | { readonly tools: readonly Tool[] };
export type Said = { readonly text: string } | { readonly calls: readonly ToolCall[] };

/** The same is said for the same seed. Behind `most` characters the rest is left out. */
export interface SayQuestion {
  readonly kind: "say";
  readonly what: Sayable;
  readonly seed: number;
  readonly most: number;
}

export type FormQuestion = { readonly kind: "gbnf"; readonly form: Form } | SayQuestion;

export type FormReply =
  | { readonly kind: "gbnf"; readonly gbnf: string; readonly isExact: boolean }
  | { readonly kind: "said"; readonly said: Said; readonly isExact: boolean }
  /** Why it cannot be had, as a sentence for the sender of the request. */
  | { readonly kind: "refused"; readonly why: string };
