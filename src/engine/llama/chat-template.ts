/**
 * The chat template of a GGUF file, rendered by llama.cpp's own Jinja. node-llama-cpp has that inside, but in no public interface: this file
 * alone reaches for it, and test/chat-template.test.ts fails when it changes.
 */
import { randomBytes } from "node:crypto";
import { type Llama } from "node-llama-cpp";
import { messageOf } from "../../errors.ts";
import { type Message } from "../../request.ts";
import { type ReasoningMarks } from "../answer-text.ts";
import { EngineFailure } from "../failures.ts";
import { type ModelHeader } from "./header.ts";
import { SpecialTexts } from "./special-texts.ts";

/** A part of a prompt. */
export interface PromptPiece {
  readonly text: string;
  /** Whether what looks like a special token is one; else it is only text, because a caller has sent it. */
  readonly special: boolean;
}

/** Messages as the model was trained to read them, up to where its answer begins. */
export interface RenderedChat {
  /** In order. One alone, if no caller's text could be taken for special tokens: then no border of a piece changes any token. */
  readonly pieces: readonly PromptPiece[];
  /** Whether the template has opened the model's reasoning itself. */
  readonly opensReasoning: boolean;
}

/** What is asked of a model beside its messages. */
export interface Asked {
  /** Whether it may think before it answers, where its template leaves the choice. */
  readonly thinks: boolean;
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

/** What comes before the words of a template that calls `raise_exception`. */
const REFUSAL = "Jinja Exception: ";

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
  /** What stands around the reasoning of this model; null: the template knows no such marks. */
  readonly marks: ReasoningMarks | null;
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
    // No `tools` at all: several templates take an empty list, or null, for tools.
    this.#variables = {
      add_generation_prompt: true,
      bos_token: tokens[bos ?? -1] ?? "",
      eos_token: tokens[eos ?? -1] ?? "",
    };
  }

  /** @throws {EngineFailure} `invalid_input`, with the template's own words: it refuses these messages; `unsupported`: it cannot render them */
  render(messages: readonly Message[], asked: Asked = THINKING): RenderedChat {
    if (!messages.some(({ content }) => this.#specials.areIn(content)))
      return this.#renderedOf([{ text: this.#text(messages, asked), special: true }]);
    const names = new Placeholders([this.#source, ...messages.map(({ content }) => content)]);
    const safe = messages.map(({ role, content }) =>
      this.#specials.areIn(content) ? { role, content: names.instead(content) } : { role, content },
    );
    return this.#renderedOf(names.pieces(this.#text(safe, asked)));
  }

  #text(messages: readonly Message[], { thinks }: Asked): string {
    try {
      return this.#renderer.render({ ...this.#variables, enable_thinking: thinks, messages });
    } catch (error) {
      throw failureOf(messageOf(error), error);
    }
  }

  #renderedOf(pieces: readonly PromptPiece[]): RenderedChat {
    const last = pieces.at(-1);
    const opensReasoning =
      this.marks !== null && last?.special === true && last.text.trimEnd().endsWith(this.marks.open);
    return { pieces, opensReasoning };
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

/** Names that stand for texts of callers while a template is rendered. No text has them in it, so none can be taken for another. */
class Placeholders {
  readonly #nonce: string;
  readonly #kept: string[] = [];

  /** @param texts all that may come out of the template */
  constructor(texts: readonly string[]) {
    do this.#nonce = `x${randomBytes(8).toString("hex")}`;
    while (texts.some((text) => text.includes(this.#nonce)));
  }

  /** The white space around a text stays outside, as templates remove it. */
  instead(text: string): string {
    const kept = text.trim();
    const at = text.indexOf(kept);
    return `${text.slice(0, at)}${this.#nonce}n${this.#kept.push(kept) - 1}e${text.slice(at + kept.length)}`;
  }

  /** @throws {EngineFailure} `unsupported`: the template has changed a name, so that a caller's text is lost */
  pieces(rendered: string): readonly PromptPiece[] {
    const parts = rendered.split(new RegExp(`${this.#nonce}n(\\d+)e`));
    const pieces = parts.map((part, index) =>
      index % 2 === 0 ? { text: part, special: true } : { text: this.#kept[Number(part)]!, special: false },
    );
    if (pieces.some(({ text, special }) => special && text.toLowerCase().includes(this.#nonce))) {
      const sentence =
        "The model's chat template changes the texts of messages, and one of them has a special token's name in it.";
      throw new EngineFailure("unsupported", sentence);
    }
    return pieces.filter(({ text }) => text !== "");
  }
}
