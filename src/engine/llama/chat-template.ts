/**
 * The chat template of a GGUF file, rendered by llama.cpp's own Jinja. node-llama-cpp has that inside, but in no public interface: this file
 * alone reaches for it, and test/chat-template.test.ts fails when it changes.
 */
import type { Llama } from "node-llama-cpp";
import { messageOf } from "../../errors.ts";
import type { Message, Tools } from "../../request.ts";
import type { ReasoningMarks } from "../answer-text.ts";
import { EngineFailure } from "../failures.ts";
import { messagesOf, NO_HABITS, toolsOf } from "../tools/conversation.ts";
import { findSyntax, type ToolSyntax } from "../tools/find-syntax.ts";
import { maySeveral, mustCall } from "../tools/tool-choice.ts";
import type { ToolShape } from "../tools/tool-reader.ts";
import { CallerTexts, type PromptPiece } from "./caller-texts.ts";
import type { ModelHeader } from "./header.ts";
import { SpecialTexts } from "./special-texts.ts";

/** Messages as the model was trained to read them, up to where its answer begins. */
export interface RenderedChat {
  /** In order. One alone, if no caller's text could be taken for special tokens: then no border of a piece changes any token. */
  readonly pieces: readonly PromptPiece[];
  /** Whether the template has opened the model's reasoning itself. */
  readonly isInside: boolean;
  /** The form of tool calls in the answer; absent: the model was told of no tools. */
  readonly tools?: ToolShape;
}

/** The options of a prompt beside its messages. */
export interface Asked {
  /** Whether it may think before it answers, where its template leaves the choice. */
  readonly thinks: boolean;
  /** Absent: the template hears nothing of tools. */
  readonly tools?: Tools | undefined;
}

const THINKING: Asked = { thinks: true };

/** `AddonJinjaRenderer` of node-llama-cpp 3.21. It goes on working after its `Llama` was disposed of. */
interface JinjaRenderer {
  /** @throws {Error} with the template's words behind `REFUSAL`, or those of llama.cpp */
  render(variables: Readonly<Record<string, unknown>>): string;
}

interface Bindings {
  readonly _bindings?: { readonly AddonJinjaRenderer?: new (template: string) => JinjaRenderer };
}

/** The prefix of the words of a template that calls `raise_exception`. */
const REFUSAL = "Jinja Exception: ";

const NO_TOOLS = "The model's chat template tells of no tools, or calls them in a way that is not known here.";

/** Marks of reasoning that templates know. Those of gpt-oss and Gemma are tokens of other roles, and not among them. */
const MARKS: readonly ReasoningMarks[] = [
  { open: "<think>", close: "</think>" },
  { open: "[THINK]", close: "[/THINK]" },
  { open: "<seed:think>", close: "</seed:think>" },
  { open: "<thinking>", close: "</thinking>" },
  { open: "<reasoning>", close: "</reasoning>" },
];

/** @throws {Error} the template cannot be read, or the binding has changed */
function rendererFor(llama: Llama, template: string): JinjaRenderer {
  const { _bindings: bindings } = llama as Bindings;
  const Renderer = bindings?.AddonJinjaRenderer;
  if (Renderer === undefined) throw new Error("node-llama-cpp has no AddonJinjaRenderer any more");
  return new Renderer(template);
}

export class ChatTemplate {
  /** The marks around the reasoning of this model; null: the template knows none. */
  readonly marks: ReasoningMarks | null;
  /** How this model calls tools; null: it is told of none, or calls them in a way that is not known here. */
  readonly tools: ToolSyntax | null;
  readonly #source: string;
  readonly #renderer: JinjaRenderer;
  readonly #specials: SpecialTexts;
  readonly #variables: Readonly<Record<string, unknown>>;

  /** @throws {Error} the template cannot be read */
  constructor(llama: Llama, source: string, header: Pick<ModelHeader, "insights">) {
    this.#source = source;
    this.#renderer = rendererFor(llama, source);
    this.#specials = new SpecialTexts(header);
    this.marks = MARKS.find(({ close }) => source.includes(close)) ?? null;
    const { tokens = [], bos_token_id: bos, eos_token_id: eos } = ggmlOf(header);
    this.#variables = {
      add_generation_prompt: true,
      bos_token: tokens[bos ?? -1] ?? "",
      eos_token: tokens[eos ?? -1] ?? "",
    };
    this.tools = source.includes("tools")
      ? findSyntax((chat) => this.#rendered({ ...chat, enable_thinking: true }))
      : null;
  }

  /** @throws {EngineFailure} `invalid_input`, with the template's own words: it refuses these messages; `unsupported`: it cannot render them */
  render(messages: readonly Message[], { thinks, tools }: Asked = THINKING): RenderedChat {
    const shape = tools === undefined ? undefined : this.#shapeOf(tools);
    // No `tools` at all where there are none: several templates take an empty list, or null, for tools.
    const chat = {
      messages: messagesOf(messages, this.tools ?? NO_HABITS),
      ...(tools && { tools: toolsOf(tools.list) }),
    };
    const texts = new CallerTexts(this.#specials, this.#source);
    const safe = { ...texts.instead(chat), enable_thinking: thinks };
    try {
      return { ...this.#renderedOf(texts.pieces(this.#rendered(safe))), ...(shape && { tools: shape }) };
    } catch (error) {
      throw error instanceof EngineFailure ? error : failureOf(messageOf(error), error);
    }
  }

  /** @throws {EngineFailure} `unsupported` */
  #shapeOf(tools: Tools): ToolShape {
    if (this.tools === null) throw new EngineFailure("unsupported", NO_TOOLS);
    const { family } = this.tools;
    return { family, tools: tools.list, parallel: maySeveral(tools, this.tools), areSure: mustCall(tools) };
  }

  /** @throws {Error} with the template's words, or those of llama.cpp */
  #rendered(chat: object): string {
    return this.#renderer.render({ ...this.#variables, ...chat });
  }

  #renderedOf(pieces: readonly PromptPiece[]): RenderedChat {
    const last = pieces.at(-1);
    const isInside = this.marks !== null && last?.special === true && last.text.trimEnd().endsWith(this.marks.open);
    return { pieces, isInside };
  }
}

export interface FoundTemplate {
  /** null: there is none, or `problem` says why it cannot be used. */
  readonly template: ChatTemplate | null;
  readonly problem: string | null;
}

/** The template of a file. */
export function templateOf(llama: Llama, header: Pick<ModelHeader, "insights">): FoundTemplate {
  const source = header.insights.ggufFileInfo.metadata.tokenizer?.chat_template;
  if (typeof source !== "string" || source.trim() === "") return { template: null, problem: null };
  try {
    return { template: new ChatTemplate(llama, source, header), problem: null };
  } catch (error) {
    return { template: null, problem: messageOf(error) };
  }
}

function ggmlOf({ insights }: Pick<ModelHeader, "insights">) {
  return insights.ggufFileInfo.metadata.tokenizer?.ggml ?? {};
}

function failureOf(message: string, cause: unknown): EngineFailure {
  const at = message.indexOf(REFUSAL);
  if (at !== -1) {
    const words = message
      .slice(at + REFUSAL.length)
      .trim()
      .replace(/\.$/, "");
    return new EngineFailure("invalid_input", `The model's chat template refuses the messages: ${words}.`, { cause });
  }
  const words = message
    .slice(message.lastIndexOf("Error: ") + 1)
    .replace(/^rror: /, "")
    .trim();
  return new EngineFailure("unsupported", `The model's chat template cannot be applied to the messages: ${words}.`, {
    cause,
  });
}
